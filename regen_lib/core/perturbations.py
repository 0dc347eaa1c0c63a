"""Threat models, and banks of universal perturbations made under them."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regen_lib.core.errors import MismatchError, StudyError
from regen_lib.core.options import check_given, plain, shown
from regen_lib.core.seeding import whole
from regen_lib.core.storage import as_path, check_finite, made_for, opened, write_tensors


def save_perturbations(path: Path, perturbations: Tensor, **origin: Any) -> None:
    """Write synthetic perturbations ``[n, C, H, W]`` with their origin."""
    write_tensors(path, "perturbations", {"perturbations": perturbations}, **origin)


def load_perturbations(path: Path) -> Tensor:
    """Read synthetic perturbations ``[n, C, H, W]``; :class:`StudyError` for a damaged file, or where a value is not finite."""
    with opened(as_path(path), "perturbations") as (tensors, _):
        perturbations = tensors["perturbations"]
        check_stack(perturbations)
    return perturbations.to(torch.get_default_device())


def check_stack(v: Tensor) -> None:
    """:class:`StudyError` unless ``v`` is float32 ``[K, C, H, W]``, K at least 1, and finite."""
    if v.ndim != 4 or v.dtype != torch.float32 or not len(v):
        raise StudyError(f"perturbations of shape {tuple(v.shape)}, {v.dtype}: expected float32 [K, C, H, W] with K > 0")
    check_finite({"perturbations": v})


NORM_SLACK = 1e-5  # relative: float32 rounding of a projection
KINDS = {
    "attack": str,
    "network": str,
    "network_hash": str,
    "seed": int,
    "gradients": int | float,
}  # what a bank's file says beside its threat


RATIOS = ("fooling", "history")  # of a bank; those of somebody else's perturbations are NaN: nobody measured them


def ratios(name: str, values: Iterable[float]) -> tuple[float, ...]:
    """Ratios as plain numbers; :class:`StudyError` for what is none."""
    found = tuple(values) if isinstance(values, Iterable) else (values,)
    if wrong := [value for value in found if isinstance(value, bool) or not isinstance(value, Real)]:
        raise StudyError(f"{name} holds {shown(wrong[0])}: give a list of numbers")
    return tuple(map(plain, found))


@dataclass(frozen=True)
class Threat:
    """What a universal perturbation may do (Eq. 1): ``norm`` (``inf`` or 2) at most ``xi`` pixels, ``target`` fooling ratio.

    An attack stops once it fools the target fraction of its images.
    """

    norm: float
    xi: float
    target: float = 0.8

    def __post_init__(self) -> None:
        if not isinstance(self.norm, Real) or self.norm not in (2, math.inf):
            raise StudyError(f"norm {self.norm!r}: give math.inf (or torch.inf) or 2, no other norm is defined here")
        if any(isinstance(value, bool) or not isinstance(value, Real) for value in (self.xi, self.target)):
            raise StudyError(f"xi {self.xi!r} and target {self.target!r}: give numbers")
        for name in ("norm", "xi", "target"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        if not (0 < self.xi < math.inf and 0 < self.target <= 1):
            raise StudyError(f"xi {self.xi} must be positive and finite, and target {self.target} in (0, 1]")

    def size(self, perturbations: Tensor) -> Tensor:
        """The norm of each perturbation: ``[K, C, H, W]`` to ``[K]``, in pixels."""
        return torch.linalg.vector_norm(perturbations.flatten(1), self.norm, dim=1)

    def project(self, perturbations: Tensor) -> Tensor:
        """The nearest perturbations within the ball of radius ``xi``: ``[K, C, H, W]`` to the same shape."""
        if self.norm == math.inf:
            return perturbations.clamp(-self.xi, self.xi)
        factor = (self.xi / self.size(perturbations).clamp_min(1e-12)).clamp_max(1)
        return perturbations * factor.view(-1, 1, 1, 1)

    def at_full_norm(self, perturbations: Tensor) -> Tensor:
        """The same directions at the full norm ``xi``: ``[K, C, H, W]`` to the same shape."""
        return self.project(perturbations * (self.xi / self.size(perturbations).clamp_min(1e-12)).view(-1, 1, 1, 1))


@dataclass(frozen=True)
class Bank:
    """Universal perturbations ``[K, C, H, W]`` float32 in pixels, and how they came about.

    ``network_hash`` names the weights they were made for, ``fooling`` is each one's fooling ratio on the images it was
    made from, ``history`` their mean after each pass over the images, ``gradients`` what each cost: images whose gradient was taken.
    """

    perturbations: Tensor
    threat: Threat
    attack: str
    network: str
    network_hash: str
    seed: int
    fooling: tuple[float, ...]
    history: tuple[float, ...] = field(default=())
    gradients: float = 0.0

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "seed", whole(self.seed))
            check_given(Bank, {name: value for name, value in vars(self).items() if name not in RATIOS})
            check_stack(self.perturbations)
            for name in RATIOS:
                object.__setattr__(self, name, ratios(name, getattr(self, name)))
            if len(self.fooling) != len(self):
                raise StudyError(
                    f"{len(self.fooling)} fooling ratios of {len(self)} perturbations: give one of each, math.nan if not known"
                )
            if self.measured > self.threat.xi * (1 + NORM_SLACK):
                raise StudyError(f"norm {self.measured:.6g} exceeds xi {self.threat.xi:g}")
        except StudyError as error:
            raise StudyError(f"bank of {self.attack} for {self.network}: {error}") from error

    def __len__(self) -> int:
        return len(self.perturbations)

    @property
    def measured(self) -> float:
        """The largest norm in the bank, in pixels."""
        return float(self.threat.size(self.perturbations).max())

    def largest_cosine(self) -> float:
        """The largest absolute normalised inner product between two members (the paper bounds it by 0.15); 0 for one."""
        unit = torch.nn.functional.normalize(self.perturbations.flatten(1), dim=1)
        return float((unit @ unit.T).fill_diagonal_(0).abs().max())

    def scaled(self, xi: float) -> "Bank":
        """The same directions at another ``xi``."""
        threat = replace(self.threat, xi=xi)
        return replace(self, perturbations=threat.project(self.perturbations * (xi / self.threat.xi)), threat=threat)


def save_bank(path: Path | str, bank: Bank) -> None:
    """Write a bank of perturbations with its threat, origin and measured norm."""
    check_given(save_bank, {"bank": bank})
    metadata = asdict(bank)
    del metadata["perturbations"], metadata["threat"]
    threat = {"norm": str(bank.threat.norm), "xi": bank.threat.xi, "target": bank.threat.target}
    write_tensors(as_path(path), "bank", {"perturbations": bank.perturbations}, **metadata, threat=threat, xi_measured=bank.measured)


def load_bank(path: Path | str, *, network: nn.Module | None = None, shape: tuple[int, int, int] | None = None) -> Bank:
    """Read a bank, checked: whole, finite, within its xi, and where given, of ``shape`` ``(C, H, W)`` and made for ``network``.

    :class:`StudyError` otherwise; where the file is sound, and only what was given is another, it says so.
    """
    check_given(load_bank, {"network": network, "shape": shape})
    with opened(as_path(path), "bank") as (tensors, metadata):
        threat = Threat(float(metadata["threat"]["norm"]), metadata["threat"]["xi"], metadata["threat"]["target"])
        fields = {key: metadata[key] for key in KINDS}
        if wrong := [key for key, kind in KINDS.items() if not isinstance(fields[key], kind) or isinstance(fields[key], bool)]:
            raise StudyError(f"{wrong[0]} is {str(fields[wrong[0]])[:60]!r}")
        for key in RATIOS:
            if not isinstance(metadata[key], list) or any(type(ratio) not in (int, float) for ratio in metadata[key]):
                raise StudyError(f"{key} is no list of ratios")
            fields[key] = tuple(metadata[key])
        bank = Bank(tensors["perturbations"].to(torch.get_default_device()), threat, **fields)
        if not math.isclose(bank.measured, metadata["xi_measured"], rel_tol=1e-6):
            raise StudyError(f"norm {bank.measured:g}, but {metadata['xi_measured']:g} was written")
        if shape is not None and tuple(bank.perturbations.shape[1:]) != tuple(shape):
            there = tuple(bank.perturbations.shape[1:])
            raise MismatchError(f"perturbations of {there}, images of {tuple(shape)}: give images of the shape that it was made for")
        if network is not None:
            made_for(f"made for other weights of {bank.network}", bank.network_hash, network)
    return bank
