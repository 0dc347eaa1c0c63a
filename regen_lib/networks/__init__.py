"""The network families: every file here with a function of its own name is one, found and built by that name.

A family's file is imported only when it is built, so that a change to one family leaves the stages of the others cached.
"""

from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regen_lib.core.errors import StudyError
from regen_lib.core.options import check

if TYPE_CHECKING:  # rows.py asks for the names alone, and should not wait for torch
    from torch import nn

    from regen_lib.networks.blocks import Task

NETWORKS = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if f"\ndef {path.stem}(" in path.read_text("utf-8")))


def builder(name: str) -> "Callable[..., nn.Module]":
    """The function that builds the networks of that name; :class:`StudyError` for an unknown one."""
    if name not in NETWORKS:
        raise StudyError(f"network {name!r} is unknown: choose one of {', '.join(NETWORKS)}")
    found: Callable[..., nn.Module] = getattr(import_module(f"regen_lib.networks.{name}"), name)
    return found


def build(name: str, task: "Task", **options: Any) -> "nn.Module":
    """Build a network by name for ``task``: pixels ``[N, C, H, W]`` in 0-255 to logits ``[N, classes]``.

    ``options`` are the builder's own (width, stem, ...). :class:`StudyError` for an unknown name or option.
    """
    check(builder(name), options, name=f"network {name}")
    network = builder(name)(task, **options)
    network.family = name  # type: ignore[assignment]  # banks and tables name it
    network.made = (name, task, options)  # type: ignore[assignment]  # what save_network writes
    return network


def save_network(path: Path | str, network: "nn.Module") -> None:
    """Write the weights of a network that :func:`build` made, with what it needs to build it again.

    :class:`StudyError` for any other network: keep that as you got it, ``torch.save(model.state_dict(), ...)`` for one.
    """
    from regen_lib.core.storage import write_tensors
    from regen_lib.networks.blocks import Task

    made: tuple[str, Task, dict[str, Any]] | None = getattr(network, "made", None)
    if made is None:
        raise StudyError(f"{type(network).__name__} was not made by networks.build: keep its state_dict with torch.save, as it came")
    name, task, options = made
    write_tensors(Path(path), "network", network.state_dict(), network=name, task=asdict(task), options=options)


def load_network(path: Path | str) -> "nn.Module":
    """Read a network: in evaluation mode, frozen, in the study's memory format. :class:`StudyError` for a damaged file."""
    from regen_lib.core.devices import memory_format
    from regen_lib.core.storage import fill, opened
    from regen_lib.networks.blocks import Task

    with opened(Path(path), "network") as (tensors, metadata):
        task = metadata["task"]
        task = Task(tuple(task["shape"]), task["classes"], tuple(task["mean"]), tuple(task["std"]))
        network = build(metadata["network"], task, **metadata["options"])
        fill(network, tensors)
    return network.eval().requires_grad_(False).to(memory_format=memory_format())
