"""A training that was killed goes on from its last whole epoch."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor, nn

from regen_lib.core import processes
from regen_lib.core.errors import StudyError
from regen_lib.core.storage import read_tensors, write_tensors


class Checkpoint:
    """The state of a training after each epoch, in one file of ``folder`` (none: nothing is kept).

    ``identity`` is what makes two trainings of one name the same: a file of another is left alone and written over. On
    creation the parts, the optimiser's momenta, the generator and dropout's are put back where they were; ``losses`` says
    how many epochs that is.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        identity: object,
        parts: list[nn.Module],
        optimizer: torch.optim.Optimizer,
        rng: torch.Generator,
    ) -> None:
        self.path = None if folder is None else folder / f"{file_name(name)}.safetensors"
        self.identity, self.parts, self.optimizer, self.rng = repr(identity), nn.ModuleList(parts), optimizer, rng
        self.losses: list[float] = []
        if self.path is not None and self.path.is_file():
            tensors, metadata = read_tensors(self.path, "training")
            if metadata["identity"] == self.identity:
                self.restore(tensors, metadata["losses"])

    def restore(self, tensors: dict[str, Tensor], losses: list[float]) -> None:
        """Put everything back as :meth:`save` found it."""
        found = {
            kind: {key.split("|", 1)[1]: t for key, t in tensors.items() if key.startswith(f"{kind}|")} for kind in ("part", "momentum")
        }
        self.parts.load_state_dict(found["part"])
        state: dict[int, dict[str, Any]] = {}
        for key, tensor in found["momentum"].items():
            index, _, name = key.partition("|")
            state.setdefault(int(index), {})[name] = tensor.clone()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.rng.set_state(tensors["rng"].clone())
        torch.set_rng_state(tensors["dropout"].clone())
        if "dropout_cuda" in tensors:
            torch.cuda.set_rng_state(tensors["dropout_cuda"].clone())
        self.losses = losses

    def save(self, losses: list[float]) -> None:
        """Write the state after an epoch."""
        if self.path is None:
            return
        tensors = {f"part|{key}": tensor for key, tensor in self.parts.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"momentum|{index}|{key}": value for key, value in state.items() if isinstance(value, Tensor)}
        tensors |= {"rng": self.rng.get_state(), "dropout": torch.get_rng_state()}
        if torch.get_default_device().type == "cuda":
            tensors["dropout_cuda"] = torch.cuda.get_rng_state()
        write_tensors(self.path, "training", tensors, identity=self.identity, losses=losses)

    def remove(self) -> None:
        """After the training: it has left its result elsewhere, or will be done again."""
        if self.path is not None and processes.rank() == 0:
            self.path.unlink(missing_ok=True)


def file_name(name: str) -> str:
    """What a training's file is called: its name, whatever it holds, within one folder. :class:`StudyError` for a name that is too long."""
    quoted = quote(name.replace(" ", "-"), safe="", errors="backslashreplace")
    if len(quoted) > 200:
        raise StudyError(f"training {name[:40]!r}...: its kept epochs are named after it: use at most 200 letters")
    return quoted
