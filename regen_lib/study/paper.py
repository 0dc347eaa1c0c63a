"""The paper's own figures, quoted so that they can stand beside ours."""

from collections.abc import Mapping, Sequence

NETWORKS = ("caffenet", "vgg_f", "googlenet", "vgg16", "resnet152")
CLEAN = dict(zip(NETWORKS, (0.564, 0.584, 0.686, 0.684, 0.79), strict=True))
# Table 1: top-1 under UAPs made for the network of each column; rows undefended, ours
TABLE1 = {
    "caffenet": ((0.109, 0.298, 0.456, 0.431, 0.405), (0.542, 0.524, 0.510, 0.457, 0.470)),
    "vgg_f": ((0.299, 0.150, 0.461, 0.417, 0.426), (0.556, 0.550, 0.548, 0.492, 0.513)),
    "googlenet": ((0.519, 0.539, 0.260, 0.472, 0.473), (0.651, 0.653, 0.653, 0.637, 0.642)),
    "vgg16": ((0.549, 0.559, 0.519, 0.240, 0.484), (0.615, 0.622, 0.646, 0.655, 0.631)),
    "resnet152": ((0.720, 0.726, 0.692, 0.626, 0.270), (0.764, 0.769, 0.769, 0.763, 0.761)),
}


# Tables 2 (same norm, xi = 10) and 3 (cross norm, l2): restoration accuracy, a value per network; None where the paper has none
TABLE2: dict[str, tuple[float | None, ...]] = {
    "undefended": (0.596, 0.628, 0.691, 0.681, 0.670),
    "ours": (0.976, 0.967, 0.970, 0.963, 0.982),
    "prn": (0.936, 0.903, 0.956, 0.690, 0.834),
    "prn_det": (0.952, 0.922, 0.964, 0.690, 0.834),
    "pixel_deflection": (0.873, 0.813, 0.884, 0.818, 0.845),
    "jpeg": (0.554, 0.697, 0.830, 0.693, 0.670),
    "feature_distillation": (0.671, 0.689, 0.851, 0.717, 0.676),
    "hgd": (None, None, None, None, 0.739),
    "adversarial_training": (None, None, None, None, 0.778),
    "feature_denoising": (None, None, None, None, 0.819),
}


TABLE3: dict[str, tuple[float | None, ...]] = {
    "undefended": (0.677, 0.671, 0.682, 0.697, 0.709),
    "ours": (0.964, 0.961, 0.912, 0.876, 0.926),
    "prn": (0.922, 0.880, 0.971, 0.834, 0.868),
    "prn_det": (0.936, 0.900, 0.975, 0.835, 0.868),
    "pixel_deflection": (0.782, 0.784, 0.857, 0.809, 0.840),
    "hgd": (None, None, None, None, 0.730),
    "adversarial_training": (None, None, None, None, 0.778),
    "feature_denoising": (None, None, None, None, 0.818),
}
# Table 4: CaffeNet at 1, 1.5, 2 and 2.5 times xi
TABLE4 = {
    "undefended": (0.596, 0.543, 0.525, 0.519),
    "ours": (0.976, 0.952, 0.896, 0.854),
    "prn": (0.936, 0.603, 0.555, 0.526),
    "prn_det": (0.952, 0.604, 0.555, 0.526),
    "pixel_deflection": (0.873, 0.616, 0.549, 0.524),
}
# Table 5: unseen attacks, where the paper has them
TABLE5 = {
    ("caffenet", "fff"): {"undefended": 0.645, "ours": 0.941, "prn": 0.729, "pixel_deflection": 0.847},
    ("caffenet", "nag"): {"undefended": 0.670, "ours": 0.840, "prn": 0.660, "pixel_deflection": 0.767},
    ("caffenet", "singular_fool"): {"undefended": 0.815, "ours": 0.914, "prn": 0.732, "pixel_deflection": 0.871},
    ("resnet152", "gap"): {"undefended": 0.640, "ours": 0.922, "prn": 0.774, "pixel_deflection": 0.784}
    | {"hgd": 0.663, "adversarial_training": 0.776, "feature_denoising": 0.815},
    ("resnet152", "gd_uap_data"): {"undefended": 0.726, "ours": 0.914, "prn": 0.777, "pixel_deflection": 0.807}
    | {"hgd": 0.782, "adversarial_training": 0.777, "feature_denoising": 0.813},
    ("resnet152", "spgd"): {"undefended": 0.671, "ours": 0.976, "prn": 0.823, "pixel_deflection": 0.890}
    | {"hgd": 0.932, "adversarial_training": 0.775, "feature_denoising": 0.815},
}
FIG6_HARDENED = 0.42  # Fig. 6: CaffeNet, what the white-box UAP attacker reaches after iterative training
# Table 6: top-1 under white-box sPGD, where the paper has it
TABLE6 = {
    "resnet152": {("undefended", "spgd"): 0.270, ("ours", "spgd"): 0.731, ("feature_denoising", "spgd"): 0.641}
    | {("adversarial_training", "spgd"): 0.635, ("hgd", "spgd"): 0.689, ("shared_adversarial_training", "spgd"): 0.727}
}


def table6(network: str) -> dict[tuple[str, str], float]:
    """Table 6's cells of a network: (defence, attack) to top-1."""
    return TABLE6.get(network, {})


def table1(network: str) -> dict[tuple[str, str], float]:
    """Table 1's row of a network: (defence, network attacked) to top-1; nothing for a network that the paper does not have."""
    if network not in NETWORKS:
        return {}
    rows = zip(("undefended", "ours"), TABLE1[network], strict=True)
    return {(defense, other): value for defense, row in rows for other, value in zip(NETWORKS, row, strict=True)}


def column(table: Mapping[str, Sequence[float | None]], network: str, attack: str) -> dict[tuple[str, str], float]:
    """A network's column of Table 2 or 3: (defence, attack) to restoration accuracy, where the paper has it."""
    if network not in NETWORKS:
        return {}
    values = {(defense, attack): row[NETWORKS.index(network)] for defense, row in table.items()}
    return {key: value for key, value in values.items() if value is not None}


def table4(attacks: list[str]) -> dict[tuple[str, str], float]:
    """Table 4: (defence, attack) to restoration accuracy, ``attacks`` in the order of growing strength."""
    return {(defense, name): value for defense, row in TABLE4.items() for name, value in zip(attacks, row, strict=False)}


def table5(network: str) -> dict[tuple[str, str], float]:
    """Table 5's cells of a network: (defence, attack) to restoration accuracy."""
    cells = {key: value for (of, key), value in TABLE5.items() if of == network}
    return {(defense, attack): value for attack, row in cells.items() for defense, value in row.items()}


def restorations(network: str) -> dict[tuple[str, str], float]:
    """A network's cells of Tables 2, 3 and 5 together."""
    return column(TABLE2, network, "test") | column(TABLE3, network, "test_l2") | table5(network)
