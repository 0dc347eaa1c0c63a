"""The network families: every file here with a function of its own name is one, found and built by that name.

A family's file is imported only when it is built, so that a change to one family leaves the stages of the others cached.
"""

from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regen_lib.core.errors import StudyError
from regen_lib.core.options import check, plain

if TYPE_CHECKING:  # rows.py asks for the names alone, and should not wait for torch
    from torch import nn

    from regen_lib.networks.blocks import Task

NETWORKS = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if f"\ndef {path.stem}(" in path.read_text("utf-8", "replace"))
)


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
    options = {key: plain(value) for key, value in options.items()}
    network = builder(name)(task, **options)
    network.family = name  # type: ignore[assignment]  # banks and tables name it
    network.made = (name, task, options)  # type: ignore[assignment]  # what save_network writes
    return network


def save_network(path: Path | str, network: "nn.Module") -> None:
    """Write the weights of a network that :func:`build` made, with what it needs to build it again.

    :class:`StudyError` for any other network, keep that as you got it, ``torch.save(model.state_dict(), ...)`` for one; for one that has
    units by now, or another head, and for weights that are not finite: what :func:`load_network` cannot read is not written.
    """
    from regen_lib.core.storage import as_path, check_reads_back, write_tensors
    from regen_lib.core.wrappers import is_module
    from regen_lib.networks.blocks import Task

    is_module(network)
    made: tuple[str, Task, dict[str, Any]] | None = getattr(network, "made", None)
    if made is None or len(made) != 3:  # a defence keeps its name and options under that name
        other = "keep its state_dict with torch.save, as it came" if made is None else "keep it with save_defense"
        raise StudyError(f"{type(network).__name__} was not made by networks.build: {other}")
    name, task, options = made
    remedy = "keep units with save_units, any other change with torch.save(network.state_dict(), ...)"
    check_reads_back(network, lambda: build(name, task, **options), f"{name} that networks.build", remedy)
    write_tensors(as_path(path), "network", network.state_dict(), network=name, task=asdict(task), options=options)


def load_network(path: Path | str) -> "nn.Module":
    """Read a network: in evaluation mode, frozen, in the study's memory format. :class:`StudyError` for a damaged file."""
    from regen_lib.core.devices import memory_format
    from regen_lib.core.storage import as_path, fill, opened
    from regen_lib.networks.blocks import Task

    with opened(as_path(path), "network") as (tensors, metadata):
        task = metadata["task"]
        task = Task(tuple(task["shape"]), task["classes"], tuple(task["mean"]), tuple(task["std"]))
        network = build(metadata["network"], task, **metadata["options"])
        fill(network, tensors)
    return network.eval().requires_grad_(False).to(memory_format=memory_format())
