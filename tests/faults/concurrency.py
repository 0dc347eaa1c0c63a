"""Several at once: writers of one file, readers of a file that is being replaced, two runs of one piece of work."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import torch

from regen_lib.core.errors import StudyError
from regen_lib.core.storage import read_tensors, write_tensors
from regen_lib.study.files import bank_file
from tests.faults import resuming, work
from tests.faults.artifacts import KINDS, Kind, digest, lay, wholes
from tests.faults.boxes import started
from tests.faults.command import STUDY, run
from tests.faults.environments import small_study, study
from tests.faults.fault import Fault, expect

TIMES = 40  # that each writer writes, each reader reads


def shifted(kind: Kind) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """An artifact's content."""
    tensors, metadata = read_tensors(kind.file, kind.kind)
    return {name: tensor.clone() for name, tensor in tensors.items()}, metadata


def writer(kind: Kind, tensors: dict[str, torch.Tensor], metadata: dict[str, object]) -> None:
    """Write one content over and over."""
    for _ in range(TIMES):
        write_tensors(kind.file, kind.kind, tensors, **metadata)


def reader(kind: Kind, allowed: set[str]) -> None:
    """Read over and over: each time one content or the other, never a mixture, never an error."""
    for _ in range(TIMES):
        expect(digest(read_tensors(kind.file, kind.kind)[0]) in allowed, "a mixture of two writers")


def writers(kind: Kind, count: int, project: Path) -> None:
    """``count`` writers of one file with two contents, and two readers."""
    lay(project)
    tensors, metadata = shifted(kind)
    largest = max(tensors, key=lambda name: tensors[name].numel())
    other = {**tensors, largest: tensors[largest].flip(0)}
    allowed = {digest(tensors), digest(other)}
    waiting = [started(partial(writer, kind, content, metadata)) for content in (tensors, other) * (count // 2)]
    waiting += [started(partial(reader, kind, allowed)) for _ in range(2)]
    for result in waiting:
        result()
    expect(digest(read_tensors(kind.file, kind.kind)[0]) in allowed, "a mixture of two writers")


def replaced_while_used(kind: Kind, project: Path) -> None:
    """What was read keeps its values when the file is replaced, or is gone."""
    lay(project)
    tensors, metadata = read_tensors(kind.file, kind.kind)
    right = digest({name: tensor.clone() for name, tensor in tensors.items()})
    zeros = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    write_tensors(kind.file, kind.kind, zeros, **metadata)
    expect(digest(tensors) == right, "a tensor changed after it was read")
    kind.file.unlink()
    expect(digest(tensors) == right, "a tensor changed after its file was gone")


def twice(task: Callable[[], object], right: Callable[[], object], delay: float, project: Path) -> None:
    """One piece of work in two processes at once: each ends right, or one of them is refused."""
    expected = right()
    first = started(task, 90)
    time.sleep(delay)
    ends = [ended(first), ended(started(task, 90))]
    refused = [end for end in ends if isinstance(end, StudyError)]
    expect(all(end in (expected, *refused) for end in ends), "one of two runs has another result")
    expect(len(refused) < 2, "both were refused")
    if refused:
        raise refused[0]


def ended(result: Callable[[], object]) -> object:
    """A result, or a refusal."""
    try:
        return result()
    except StudyError as error:
        return error


def train() -> str:
    """A training that keeps its epochs in a folder that others use as well."""
    return resuming.train(resuming.base(), Path("data/training"))


def decode() -> str:
    """Photographs, decoded to a file that others write as well."""
    return digest(work.decoded(Path("raw"), Path()))


def decode_right() -> str:
    """The same alone, elsewhere."""
    work.photographs(Path("raw"))
    return digest(work.decoded(Path("raw"), Path("alone")))


def command(*words: str) -> str:
    """A command of the study in the project at hand."""
    run([*STUDY, *words], seconds=150)
    return "done"


def two_commands(words: tuple[str, ...], project: Path) -> None:
    """A command twice at the same moment."""
    (study if {"raw", "run"} & set(words) else small_study)(project)
    first, second = (started(partial(command, *words), 170) for _ in range(2))
    ends = [ended(first), ended(second)]
    expect("done" in ends, f"neither ran: {ends[0]}")
    for end in ends:
        if isinstance(end, StudyError):
            raise end


def doubled(project: Path) -> None:
    """Two banks of one name, made by two stages: which is meant?"""
    lay(project)
    bank = next(kind for kind in KINDS if kind.name == "bank").file
    other = Path("data/banks/other/net") / bank.name
    other.parent.mkdir(parents=True)
    other.write_bytes(wholes()[bank])
    bank_file(Path("data"), "net", "uap")
    expect(False, "one of two banks was taken")


def faults(rng: Random) -> Iterator[Fault]:
    """Every kind of artifact under several writers; trainings, decodings and commands twice."""
    for kind in KINDS:
        for count in (2, 4):
            yield Fault("concurrency", f"{kind.name}: {count} writers, 2 readers", partial(writers, kind, count), cost=1.0, bound=90)
        yield Fault("concurrency", f"{kind.name}: replaced while it is used", partial(replaced_while_used, kind), cost=0.1)
    for _ in range(4):
        delay = rng.random() * 0.3
        alone = partial(resuming.train, resuming.base(), None)
        yield Fault(
            "concurrency", f"two trainings of one name, {delay:.2f} s apart", partial(twice, train, alone, delay), cost=2.0, bound=90
        )
        yield Fault(
            "concurrency",
            f"two decodings of one folder, {delay:.2f} s apart",
            partial(twice, decode, decode_right, delay),
            cost=2.0,
            bound=90,
        )
    for words in (("check",), ("code",), ("raw",), ("run", "00a_images", "--as", "images", "--section", "images")):
        yield Fault(
            "concurrency", f"twice: {' '.join(words)}", partial(two_commands, words), cost=4.0 if len(words) == 1 else 20.0, bound=200
        )
    yield Fault("concurrency", "a bank that two stages made", doubled)
