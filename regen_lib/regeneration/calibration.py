"""The scale on which a unit sees its channels."""

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.hooks import hooked
from regen_lib.core.inference import logits
from regen_lib.regeneration.unit import units


def calibrate(defended: nn.Module, pixels: Tensor | None) -> None:
    """Set every unit's ``scale`` to the deviation of its channels over the clean images ``pixels`` ``[N, C, H, W]``.

    For networks fed pixels that nobody divides: there features have deviations of hundreds, while a unit with BN inside
    puts out values about one, and learns nothing. Without images (None) nothing changes; :class:`StudyError` for a set of them that is
    empty, for a network without units, and for units that were calibrated or trained before: they know their scale.
    """
    if pixels is None:
        return
    if not len(pixels):
        raise StudyError("calibration on 0 images: give at least one, or None to leave the units' scale at 1")
    if not units(defended):
        raise StudyError("the network has no units to calibrate: make them with regenerate")
    for name, unit in units(defended).items():
        if not bool((unit.scale == 1).all()) or bool(unit.state_dict()["bn1.num_batches_tracked"]):
            raise StudyError(f"the unit on {name} was calibrated or trained before: calibrate new ones, of regenerate, and train them then")
    moments = {name: Moments() for name in units(defended)}
    with hooked(defended.get_submodule(f"{name}.conv").register_forward_hook(moment) for name, moment in moments.items()):
        for _ in logits(defended, pixels):
            pass
    for name, unit in units(defended).items():
        unit.scale.copy_(moments[name].deviation()[unit.channels].clamp_min(1e-6))


class Moments:
    """Counts, sums and squares per channel of the outputs that a hooked layer gives."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, torch.zeros(()), torch.zeros(())

    def __call__(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        values = output.double()
        self.count += values.numel() // values.shape[1]
        self.total, self.squares = self.total + values.sum((0, 2, 3)), self.squares + values.square().sum((0, 2, 3))

    def deviation(self) -> Tensor:
        """Standard deviation of each channel ``[C]``."""
        average = self.total / self.count
        return (self.squares / self.count - average**2).clamp_min(0).sqrt().float()
