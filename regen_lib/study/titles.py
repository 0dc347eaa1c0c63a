"""How tables and figures call networks, attacks and defences."""


class Titles(dict[str, str]):
    """Titles by name; what has none is called by its name."""

    def __missing__(self, name: str) -> str:
        return name


TITLES = Titles(
    caffenet="CaffeNet",
    vgg_f="VGG-F",
    googlenet="GoogLeNet",
    vgg16="VGG-16",
    resnet152="ResNet-152",
    squeezenet="SqueezeNet",  # not one of the paper's
)
ATTACK_TITLES = Titles(
    {
        "uap": "UAP",
        "uap_l2": "UAP, l2",
        "fff": "FFF",
        "nag": "NAG",
        "singular_fool": "S. Fool",
        "gap": "GAP",
        "gd_uap_none": "G-UAP",
        "gd_uap_range": "G-UAP, range",
        "gd_uap_data": "G-UAP, data",
        "spgd": "sPGD",
        "sga": "SGA",
        "spgd_targeted": "sPGD, targeted",
        "spgd_truth": "sPGD, true labels",
        "random_signs": "random signs",
        "random_l2": "random, l2",
        "mean_unseen": "mean, unseen",
    }
)
DEFENSE_TITLES = Titles(
    {
        "undefended": "undefended",
        "ours": "regeneration (ours)",
        "hardened": "ours, iterative training",
        "regeneration_outputs": "ours, towards clean outputs",
        "regeneration_first": "ours, first layer alone",
        "prn": "PRN",
        "prn_det": "PRN+det",
        "pixel_deflection": "Pixel Deflection",
        "jpeg": "JPEG",
        "feature_distillation": "Feature Distillation",
        "dead_zone": "dead zone (untrained)",
        "clamp": "clamp (untrained)",
        "median_filter": "median (untrained)",
        "gaussian_blur": "blur (untrained)",
        "hgd": "HGD",
        "adversarial_training": "adversarial training",
        "feature_denoising": "Feature Denoising",
        "shared_adversarial_training": "shared adv. training",
        "universal_adversarial_training": "universal adv. training",
        "democratic_training": "Democratic Training",
        "feature_norm_clipping": "Feature Norm Clipping",
    }
)
