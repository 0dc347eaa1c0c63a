"""A median filter, an untrained rule as a control: each value becomes the median of its neighbourhood."""

from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn
from torch.nn.functional import pad

from regen_lib.core.errors import StudyError
from regen_lib.defenses._shared.base import Defended


class MedianFilter(Defended):
    """``network`` on images ``[N, C, H, W]`` whose values are medians over ``window`` by ``window`` pixels, reflected at the border."""

    def __init__(self, network: nn.Module, window: int) -> None:
        super().__init__(network)
        self.window = window

    def transform(self, x: Tensor) -> Tensor:
        around = pad(x, [self.window // 2] * 4, mode="reflect").unfold(2, self.window, 1).unfold(3, self.window, 1)
        return around.flatten(4).median(dim=4).values


def median_filter(network: nn.Module, *, window: Annotated[int, Ge(3)] = 3) -> MedianFilter:
    """``network`` behind a median filter; :class:`StudyError` for an even ``window``, which has no centre."""
    if window % 2 == 0:
        raise StudyError(f"median_filter: window is {window}: give an odd number, so that a pixel is its centre")
    return MedianFilter(network, window)
