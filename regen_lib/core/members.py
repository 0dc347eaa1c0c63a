"""The members of a bank, each on images of its own."""

from collections.abc import Sequence

from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.inference import predict
from regen_lib.core.metrics import fooling_ratio


def split(pixels: Tensor, count: int) -> Tensor:
    """``pixels`` ``[N, C, H, W]`` as ``count`` disjoint parts of equal size: ``[count, n, C, H, W]``."""
    if count < 1 or len(pixels) < count:
        raise StudyError(f"{count} perturbations from {len(pixels)} images: each needs at least one image of its own")
    each = len(pixels) // count
    return pixels[: count * each].unflatten(0, (count, each))


def predictions(network: nn.Module, parts: Tensor) -> Tensor:
    """The network's clean predictions on every member's images: ``[K, n, C, H, W]`` to ``[K, n]``."""
    return predict(network, parts.flatten(0, 1)).unflatten(0, parts.shape[:2])


def member_fooling(network: nn.Module, parts: Tensor, clean: Tensor, v: Tensor, members: Sequence[int]) -> list[float]:
    """Fooling ratio of each listed member of ``v`` ``[K, C, H, W]`` on its own images ``parts[k]``, predicted ``clean[k]`` unperturbed."""
    return [fooling_ratio(clean[k], predict(network, parts[k], v[k : k + 1])) for k in members]
