"""What a training is made of: code, data and settings. Two that agree in it give the same weights, and only they share epochs."""

from typing import Any

import torch

from regen_lib.core import processes
from regen_lib.core.devices import memory_format
from regen_lib.core.errors import StudyError
from regen_lib.core.source import digest
from regen_lib.training.description import described
from regen_lib.training.written import source


def identity(**parts: Any) -> dict[str, str]:
    """A hash of each of ``parts`` (network, images, objective, recipe ...), of the code of the training, and of what it runs on.

    :class:`StudyError` for a part that holds what no hash tells apart, an open file say.
    """
    tf32 = torch.backends.cudnn.allow_tf32
    machine = (torch.get_default_device().type, torch.get_num_threads(), memory_format(), tf32, processes.world())
    found = {"code": digest(source(__package__ + ".loop")), "machine": described(machine)}
    try:
        return found | {name: described(part) for name, part in parts.items()}
    except RecursionError as error:
        raise StudyError("something in the training is nested too deep to be told from another: train without resume") from error
