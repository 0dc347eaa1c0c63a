"""A network from elsewhere as the library wants it: pixels of 0-255 in, logits out."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from regen_lib.core.devices import memory_format
from regen_lib.core.errors import StudyError
from regen_lib.core.options import Amount, check_given
from regen_lib.networks.blocks import Normalize


def from_pixels(model: nn.Module, mean: Sequence[float], std: Sequence[float], *, scale: Amount = 255.0) -> nn.Module:
    """``model`` with its normalisation in front: pixels ``[N, C, H, W]`` in 0-255 to what it gives, logits ``[N, classes]``.

    ``mean`` and ``std`` are per channel and for images in [0, 1], as torchvision prints them; for values in pixels set ``scale=1``.
    The model is shared, not copied, and is the child ``network`` of the result: its layer ``conv1`` is called ``network.conv1``. Both
    are put in evaluation mode. :class:`StudyError` for what is no module, for lists of different lengths (a tensor's is ``.tolist()``) and
    for values that belong to another scale.
    """
    check_given(from_pixels, {"model": model, "mean": mean, "std": std, "scale": scale})
    if len(mean) != len(std) or not mean:
        raise StudyError(f"mean {list(mean)} and std {list(std)}: give one value of each for every channel")
    if not all(0 <= value * scale <= 255 for value in mean) or not all(0 < value * scale <= 255 for value in std):
        found = f"mean {list(mean)} and std {list(std)} times {scale:g} lie outside 0-255"
        raise StudyError(f"{found}: set scale to 255 for values of images in [0, 1], to 1 for values in pixels")
    normalize = Normalize([value * scale for value in mean], [value * scale for value in std])
    whole = nn.Sequential(OrderedDict(normalize=normalize, network=model))
    whole.family = type(model).__name__  # type: ignore[assignment]  # banks and tables name it
    return whole.eval().to(memory_format=memory_format())
