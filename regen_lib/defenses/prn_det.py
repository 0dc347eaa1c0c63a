"""PRN with its detector (Akhtar, Liu, Mian, CVPR 2018): only images that look perturbed are rectified."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import as_input
from regen_lib.core.inference import draw
from regen_lib.core.options import Count, Probability
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.base import Defended, TrainingData
from regen_lib.defenses._shared.dct import dct_matrix
from regen_lib.defenses.prn import PRN
from regen_lib.training.recipe import Recipe

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
        return features(x, rectified).to(self.weight) @ self.weight + self.bias

    def perturbed(self, x: Tensor) -> Tensor:
        """Which of the images the detector calls perturbed: ``[N]``."""
        with torch.no_grad():
            return self.scores(x, super().transform(x)) > 0

    def transform(self, x: Tensor) -> Tensor:
        """The rectified image or ``x`` itself; going back, the decision is the sigmoid of the score (BPDA), which attacks can lower."""
        rectified = super().transform(x)
        score = self.scores(x, rectified).view(-1, 1, 1, 1)
        soft = score.sigmoid()  # the SVM's margin is 1: scores are of that order, where it has a slope
        return torch.where(score > 0, rectified, x) + (soft - soft.detach()) * (rectified - x).detach()  # the second term is zero


def features(x: Tensor, rectified: Tensor) -> Tensor:
    """Logarithm of the absolute DCT coefficients of the grey difference between image and rectified image: float64 ``[N, H * W]``."""
    difference = (x - rectified).double()
    if x.shape[1] == len(GREY):
        difference = difference * difference.new_tensor(GREY).view(-1, 1, 1) * len(GREY)
    rows, columns = (dct_matrix(size).to(x.device) for size in x.shape[2:])
    return (rows @ difference.mean(1) @ columns.T).abs().add(1e-3).log().flatten(1)


def prn_det(network: nn.Module, *, channels: int, size: int, maps: Count = 64, blocks: Count = 5) -> DetectingPRN:
    """``network`` behind an untrained rectifier and detector, for images of ``channels`` and ``size x size`` pixels."""
    return DetectingPRN(network, channels, maps, blocks, size)


def train(
    defended: DetectingPRN,
    data: TrainingData,
    recipe: Recipe | None,  # noqa: ARG001  # the detector's fit has one minimum
    *,
    seed: int,
    name: str,
    images: Annotated[int, Ge(4)] = 4000,
    alarms: Probability = 0.05,
) -> None:
    """Take the rectifier of a trained PRN, and train the detector on ``images`` training images, each clean and perturbed.

    A linear SVM on standardised features, in float64; its threshold leaves ``alarms`` of held-out clean images above it.
    :class:`StudyError` unless ``data.built_on`` is a PRN of the same shape.
    """
    take_rectifier(defended, data.built_on)
    rng = generator(seed, "detector", name)
    x = as_input(data.images.first(images).pixels)
    v = data.bank.perturbations[draw(len(x), len(data.bank), rng)]
    rows = {}
    with torch.no_grad():
        for kind, batch in (("clean", x), ("perturbed", x + v)):
            rows[kind] = torch.cat([features(part, PRN.transform(defended, part)) for part in batch.split(500)])
    fitted = len(x) * 3 // 4
    clean, perturbed = rows["clean"][:fitted], rows["perturbed"][:fitted]
    deviation, mean = torch.std_mean(torch.cat([clean, perturbed]), dim=0, correction=0)
    deviation[deviation == 0] = 1
    weight = support_vector_machine((clean - mean) / deviation, (perturbed - mean) / deviation) / deviation
    defended.weight.copy_(weight)
    defended.bias.copy_(-torch.quantile(rows["clean"][fitted:] @ weight, 1 - alarms))


def support_vector_machine(negative: Tensor, positive: Tensor, *, cost: float = 0.01) -> Tensor:
    """The direction ``[D]`` of the linear SVM that tells ``positive`` ``[N, D]`` from ``negative`` ``[M, D]``, both float64.

    scikit-learn's ``LinearSVC``: half the squared norm of weights and offset, plus ``cost`` times the squared hinge losses. Fitted here,
    since the bytes of a solver in NumPy follow the kernel that its BLAS picks by the processor and the environment.
    """
    rows = torch.cat([positive, -negative])
    offset = torch.ones(len(rows), dtype=rows.dtype)
    offset[len(positive) :] = -1
    rows = torch.cat([rows, offset[:, None]], dim=1)
    weight = torch.zeros(rows.shape[1], dtype=rows.dtype, requires_grad=True)
    solver = torch.optim.LBFGS([weight], max_iter=2000, tolerance_grad=1e-5, tolerance_change=0, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = weight.square().sum() / 2 + cost * (1 - rows @ weight).clamp_min(0).square().sum()
        value.backward()
        return value

    solver.step(loss)
    return weight.detach()[:-1]


def take_rectifier(defended: PRN, trained: Defended | None) -> None:
    """Give ``defended`` the weights of the rectifier in ``trained``."""
    if not isinstance(trained, PRN):
        raise StudyError("prn_det takes its rectifier from a trained PRN: set built_on to defenses/prn")
    try:
        defended.rectifier.load_state_dict(trained.rectifier.state_dict())
    except RuntimeError as error:
        raise StudyError("prn_det and the PRN that it is built upon differ in maps or blocks: give both the same options") from error
