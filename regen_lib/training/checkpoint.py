"""A training that was killed goes on from its last whole epoch."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor, nn

from regen_lib.core import processes
from regen_lib.core.errors import StudyError, StudyWarning
from regen_lib.core.storage import check_finite, read_tensors, write_tensors
from regen_lib.training.identity import identity


class Checkpoint:
    """The state of a training after each epoch, in one file of ``folder`` (none: nothing is kept).

    ``made_of`` names what the training is made of (:func:`regen_lib.training.identity.identity`): a file that differs in a part of
    it, is damaged or holds NaN is thrown away, and a :class:`StudyWarning` says so. Otherwise the parts, the optimiser's momenta, the
    generator and dropout's are put back where they were; ``losses`` says how many epochs that is.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        made_of: Mapping[str, object],
        parts: list[nn.Module],
        optimizer: torch.optim.Optimizer,
        rng: torch.Generator,
    ) -> None:
        self.path = None if folder is None else folder / f"{file_name(name)}.safetensors"
        self.parts, self.optimizer, self.rng = nn.ModuleList(parts), optimizer, rng
        self.losses: list[float] = []
        self.identity = identity(**made_of) if folder else {}
        if self.path is not None and self.path.is_dir():
            raise StudyError(f"{self.path} is a folder, where the training keeps its epochs: remove it")
        if self.path is not None and self.path.exists():
            try:
                tensors, losses = self.kept(self.path)
            except StudyError as reason:
                warnings.warn(f"{self.path} is thrown away, the training starts anew: {reason}", StudyWarning, stacklevel=3)
                self.remove()
            else:
                self.restore(tensors)
                self.losses = losses

    def kept(self, path: Path) -> tuple[dict[str, Tensor], list[float]]:
        """The tensors and losses that ``path`` keeps; :class:`StudyError` says why this training cannot go on from them."""
        try:
            tensors, metadata = read_tensors(path, "training")
        except StudyError as error:
            raise StudyError("the file is damaged or of another version") from error
        kept, losses = metadata.get("identity"), metadata.get("losses")
        if not isinstance(kept, dict) or kept.keys() != self.identity.keys():
            raise StudyError("another version kept it")
        if other := sorted(key for key, value in self.identity.items() if kept[key] != value):
            raise StudyError(f"it was made with other {', '.join(other)}")
        if not isinstance(losses, list) or not self.fits(tensors, losses):
            raise StudyError("it does not hold what this training keeps")
        check_finite(tensors)
        if not all(map(math.isfinite, losses)):
            raise StudyError("a loss is not finite")
        return tensors, losses

    def fits(self, tensors: Mapping[str, Tensor], losses: list[object]) -> bool:
        """Whether a file holds a loss for each epoch, all parts, an optimiser's state for every weight, and the generators' states."""
        wanted = {f"part|{key}": tensor for key, tensor in self.parts.state_dict().items()}
        wanted |= {"rng": self.rng.get_state(), "dropout": torch.get_rng_state()}
        if torch.get_default_device().type == "cuda":
            wanted["dropout_cuda"] = torch.cuda.get_rng_state()
        momenta = {key: tensor for key, tensor in tensors.items() if key.startswith("momentum|")}
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        kinds = {key.rpartition("|")[2] for key in momenta}
        expected = {f"momentum|{index}|{kind}": weight for index, weight in enumerate(weights) for kind in kinds}
        return (
            bool(losses)
            and all(type(loss) in (int, float) for loss in losses)
            and momenta.keys() == expected.keys()
            and all(tensor.shape in (expected[key].shape, ()) and tensor.dtype == expected[key].dtype for key, tensor in momenta.items())
            and {key: (tensor.shape, tensor.dtype) for key, tensor in tensors.items() if key not in momenta}
            == {key: (tensor.shape, tensor.dtype) for key, tensor in wanted.items()}
        )

    def restore(self, tensors: dict[str, Tensor]) -> None:
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
