"""PRN with its detector (Akhtar, Liu, Mian, CVPR 2018): only images that look perturbed are rectified."""

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.extras import need
from regen_lib.core.images import as_input
from regen_lib.core.inference import draw
from regen_lib.core.options import Count, Probability
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.base import Defended, TrainingData
from regen_lib.defenses.prn import PRN
from regen_lib.training.recipe import Recipe

fft = need("scipy.fft", what="the detector of PRN+det", package="scipy", extra="defenses")
preprocessing, svm = (
    need(f"sklearn.{name}", what="the detector of PRN+det", package="scikit-learn", extra="defenses") for name in ("preprocessing", "svm")
)

GREY = (0.299, 0.587, 0.114)  # of red, green and blue


class DetectingPRN(PRN):
    """A PRN, and a linear detector on what the rectifier changed: an image that scores above 0 is rectified, others pass."""

    weight: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, channels: int, maps: int, blocks: int, size: int) -> None:
        super().__init__(network, channels, maps, blocks)
        self.register_buffer("weight", torch.zeros(size * size))
        self.register_buffer("bias", torch.ones(()))  # until the detector is trained, every image is rectified

    def scores(self, x: Tensor, rectified: Tensor) -> Tensor:
        """How far each image is on the perturbed side ``[N]``."""
        return torch.from_numpy(features(x, rectified)).to(self.weight) @ self.weight + self.bias

    def perturbed(self, x: Tensor) -> Tensor:
        """Which of the images the detector calls perturbed: ``[N]``."""
        with torch.no_grad():
            return self.scores(x, super().transform(x)) > 0

    def transform(self, x: Tensor) -> Tensor:
        rectified = super().transform(x)
        perturbed = self.scores(x.detach(), rectified.detach()) > 0
        return torch.where(perturbed.view(-1, 1, 1, 1), rectified, x)


def features(x: Tensor, rectified: Tensor) -> np.ndarray:
    """Logarithm of the absolute DCT coefficients of the grey difference between image and rectified image: ``[N, H * W]``."""
    difference = (x - rectified).numpy(force=True)
    grey = np.tensordot(GREY, difference, axes=(0, 1)) if difference.shape[1] == len(GREY) else difference.mean(1)
    logs: np.ndarray = np.log(np.abs(fft.dctn(grey, axes=(1, 2), norm="ortho")) + 1e-3).reshape(len(x), -1)
    return logs


def prn_det(network: nn.Module, *, channels: int, size: int, maps: Count = 64, blocks: Count = 5) -> DetectingPRN:
    """``network`` behind an untrained rectifier and detector, for images of ``channels`` and ``size x size`` pixels."""
    return DetectingPRN(network, channels, maps, blocks, size)


def train(
    defended: DetectingPRN,
    data: TrainingData,
    recipe: Recipe | None,  # noqa: ARG001  # scikit-learn's solver needs none
    *,
    seed: int,
    name: str,
    images: Annotated[int, Ge(4)] = 4000,
    alarms: Probability = 0.05,
) -> None:
    """Take the rectifier of a trained PRN, and train the detector on ``images`` training images, each clean and perturbed.

    A linear SVM on standardised features; its threshold leaves ``alarms`` of held-out clean images above it.
    :class:`StudyError` unless ``data.built_on`` is a PRN of the same shape.
    """
    take_rectifier(defended, data.built_on)
    rng = generator(seed, "detector", name)
    x = as_input(data.images.first(images).pixels)
    v = data.bank.perturbations[draw(len(x), len(data.bank), rng)]
    rows = {}
    with torch.no_grad():
        for kind, batch in (("clean", x), ("perturbed", x + v)):
            rows[kind] = np.concatenate([features(part, PRN.transform(defended, part)) for part in batch.split(500)])
    fitted = len(x) * 3 // 4
    scaler = preprocessing.StandardScaler().fit(np.concatenate([rows["clean"][:fitted], rows["perturbed"][:fitted]]))
    line = svm.LinearSVC(C=0.01, dual=False, random_state=seed)
    line.fit(np.concatenate([scaler.transform(rows[kind][:fitted]) for kind in rows]), np.repeat([0, 1], fitted))
    weight = line.coef_[0] / scaler.scale_
    held_out = np.quantile(rows["clean"][fitted:] @ weight, 1 - alarms)
    defended.weight.copy_(torch.from_numpy(weight))
    defended.bias.fill_(-float(held_out))


def take_rectifier(defended: PRN, trained: Defended | None) -> None:
    """Give ``defended`` the weights of the rectifier in ``trained``."""
    if not isinstance(trained, PRN):
        raise StudyError("prn_det takes its rectifier from a trained PRN: set built_on to defenses/prn")
    try:
        defended.rectifier.load_state_dict(trained.rectifier.state_dict())
    except RuntimeError as error:
        raise StudyError("prn_det and the PRN that it is built upon differ in maps or blocks: give both the same options") from error
