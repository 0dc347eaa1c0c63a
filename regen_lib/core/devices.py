"""Where tensors live and how they lie: on this process's GPU where there is one, on the CPU otherwise; ``channels_last``.

Networks, perturbations, labels and all that is computed are on the device; images stay in the CPU's memory (of a mapped file,
where they are many) and are copied batch by batch. Random numbers are drawn on the CPU and taken over, so that they are the same
numbers everywhere.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from regen_lib.core.environment import MEMORY_FORMAT
from regen_lib.core.errors import StudyError

FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def memory_format() -> torch.memory_format:
    """How images, features and filters ``[N, C, H, W]`` lie in memory: as params.yaml says, ``channels_last`` where nobody says."""
    return FORMATS[os.environ.get(MEMORY_FORMAT, "channels_last")]


def best() -> torch.device:
    """This process's device; :class:`StudyError` where torchrun started more processes than there are GPUs."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= count:
        raise StudyError(f"process {index + 1} on a machine of {count} GPUs: set run.processes to {count}")
    return torch.device("cuda", index)


def use(device: torch.device) -> None:
    """From here on tensors are made on ``device``; where they are made there anyway, as on the CPU, nothing changes."""
    if device == torch.get_default_device():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.set_default_device(device)
    DrawnOnCPU().__enter__()  # type: ignore[no-untyped-call]


class DrawnOnCPU(TorchFunctionMode):
    """Within, every function that is given a CPU generator draws on the CPU, whatever the default device."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        rng = kwargs.get("generator")
        if not isinstance(rng, torch.Generator) or rng.device.type != "cpu":
            return func(*args, **kwargs)
        target = kwargs.pop("tensor", args[0] if args else None)  # torch.nn.init names its tensor, methods do not
        if not isinstance(target, torch.Tensor):
            return func(*args, **{**kwargs, "device": "cpu"}).to(torch.get_default_device())
        drawn = target.detach().cpu()
        func(drawn, *args[1:], **kwargs)
        with torch.no_grad():
            return target.copy_(drawn)
