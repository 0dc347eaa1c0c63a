"""Parameter files with one mistake each: wrong types, ranges, names, references and structures, and a few changes that are no mistake.

``mutations`` walks the default study's params.yaml and spoils every value in turn; what cannot be had so is in lists by hand
(:mod:`tests.faults.parameter_values`).
"""

import copy
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any, NamedTuple

import yaml

from tests.faults.parameter_values import FACTS, HARMLESS, MANY, SIZES, TABLES
from tests.repository import REPOSITORY

Path = tuple[Any, ...]  # of keys and indices
TEXT = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
BASE: dict[str, Any] = yaml.safe_load(TEXT)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FREE = {("study", "source"), ("run", "launcher"), ("images", "raw")}  # texts that only the machine can judge
TURNS = ("unseen", "singular_fool", "depths")  # perturbations take these layers in turn, so one may be there twice
FROM_ZERO = {
    "seed",
    "start",
    "padding",
    "dropout",
    "weight_decay",
    "residual",
    "probability",
    "towards",
    "fractions",
    "diversity",
    "patience",
}
BAD_NAMES: list[Any] = [
    "../x",
    "../../../../x",
    "a/b",
    "/tmp/x",
    ".",
    "..",
    "",
    " ",
    "a b",
    "a\nb",
    "a\0b",
    "n\u00e4me",
    "*",
    "~",
    "${study.seed}",
    "--help",
]
BAD_NAMES += ["a" * 300, "a.b", "a:b", "a\\b", "\u202eab", "a;b", "a'b", "{x}", 7, None, True]


class Mutation(NamedTuple):
    """A parameter file: its ``kind`` and ``name``, what makes its text, and what ``check`` should do: refuse it, in one message.

    ``key`` is what the message must name, or what is above or below it; empty where that is not for us to say.
    """

    kind: str
    name: str
    make: Callable[[], str | bytes]
    refused: bool = True
    single: bool = True  # one mistake; others may be several
    key: str = ""

    def named(self, said: str) -> bool:
        """Whether a message names the key: as it is, by a part of it, or by what it is a part of."""
        keys = re.findall(r"[\w.-]+", said)
        return not self.key or any(
            key and (key == self.key or key.startswith(f"{self.key}.") or self.key.startswith(f"{key}.")) for key in keys
        )


def mutations(seed: int = 0) -> Iterator[Mutation]:
    """Every mutation, in an order drawn from ``seed``."""
    kinds = (types, ranges, names, references, structures, facts, harmless)
    found = [mutation for kind in kinds for mutation in kind()]
    Random(seed).shuffle(found)
    yield from found


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is no mapping and no list, and where it is."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


def inner(value: Any, kind: type, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every mapping, or every list."""
    if isinstance(value, kind):
        yield path, value
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from inner(below, kind, (*path, key))


def changed(path: Path, change: Callable[[Any, Any], None]) -> Callable[[], str]:
    """What writes the parameters after ``change(container, key)`` of what is at ``path``."""

    def make() -> str:
        params = copy.deepcopy(BASE)
        container: Any = params
        for key in path[:-1]:
            container = container[key]
        change(container, path[-1])
        return yaml.dump(params, Dumper=DUMPER, sort_keys=False)

    return make


def put(path: Path, value: Any) -> Callable[[], str]:
    """What writes the parameters with ``value`` at ``path``."""
    return changed(path, lambda container, key: container.__setitem__(key, value))


def dotted(path: Path) -> str:
    return ".".join(map(str, path))


def at(text: str) -> Path:
    return tuple(text.split("."))


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def types() -> Iterator[Mutation]:
    """Every value as another type."""
    for path, value in leaves(BASE):
        wrong: list[Any] = [{"x": 1}, [[1]]]
        wrong += ["1e-1", "many", True, [value], "2026-11-27"] if number(value) else []
        wrong += ["maybe", 7, "false"] if isinstance(value, bool) else []
        wrong += [7, True, [7]] if isinstance(value, str) else []
        for each in wrong:
            yield Mutation("type", f"{dotted(path)} = {each!r}", put(path, each), key=dotted(path))
    for path, _ in inner(BASE, dict):
        if path:
            for each in (7, "text", [1]):
                yield Mutation("type", f"{dotted(path)} = {each!r}", put(path, each), single=False)


def ranges() -> Iterator[Mutation]:
    """Every number out of its range."""
    for path, value in leaves(BASE):
        key = next(part for part in reversed(path) if isinstance(part, str))
        if number(value):
            for each in (-1, -0.5, math.nan, math.inf, -math.inf, *((0,) if key not in FROM_ZERO else ())):
                yield Mutation("range", f"{dotted(path)} = {each!r}", put(path, each), key=dotted(path))
        if (
            key in ("images", "start", "count", "batch", "validation")
            and number(value)
            and "synthesis" not in path
            and "training" not in path[1:2]
        ):
            yield Mutation("range", f"{dotted(path)} = {MANY}", put(path, MANY), single=False, key=dotted(path))
        if key in ("share", "probability", "target", "ratio", "fractions", "alarms", "dropout", "eta_scale", "old_bank_share"):
            yield Mutation("range", f"{dotted(path)} = 1.5", put(path, 1.5), key=dotted(path))


def names() -> Iterator[Mutation]:
    """Rows under names that are no names, or that nobody knows."""
    for text in (
        "uaps.banks",
        "strengths.banks",
        "unseen",
        "unseen.spgd.banks",
        "ablation.variants",
        "ablation.choices",
        "secondary.fig6.banks",
    ):
        path = at(text)
        for bad in BAD_NAMES:
            yield Mutation("name", f"{text}.{bad!r}", changed(path, partial(copied, name=bad)), single=False)
    for text in ("training.variants", "networks", "units", "rivals", "threats.inf", "study", "images"):
        for bad in ("../x", "nobody", 7, ""):
            yield Mutation("name", f"{text}.{bad!r}", changed(at(text), partial(copied, name=bad)), single=False)
    for path, mapping in inner(BASE, dict):
        if path and (path[-1] != "banks" or mapping):
            yield Mutation("name", f"{dotted(path)}.bogus_key", changed(path, lambda c, k: c[k].__setitem__("bogus_key", 1)))


def copied(container: Any, key: Any, name: Any) -> None:
    """Another row like the first, called ``name``."""
    container[key][name] = copy.deepcopy(next(iter(container[key].values())))


def references() -> Iterator[Mutation]:
    """Every text that names something, naming nothing; every list that names something twice; every row that others name, gone."""
    for path, value in leaves(BASE):
        if isinstance(value, str) and path not in FREE:
            yield Mutation("reference", f"{dotted(path)} = 'nowhere'", put(path, "nowhere"), key=dotted(path))
    for path, values in inner(BASE, list):
        if path != TURNS:
            yield Mutation(
                "reference", f"{dotted(path)}: {values[0]!r} twice", put(path, [*values, values[0]]), single=False, key=dotted(path)
            )
    gone = ["units.vgg16", "networks.caffenet", "uaps.banks.train", "uaps.banks.uap", "unseen.fff", "unseen.spgd.banks.spgd_targeted"]
    gone += ["secondary.white_box.banks.sga", "rivals.prn", "training.variants.ours", "threats.l2", "threats.inf", "bank_defaults.threat"]
    for text in (*gone, *BASE):
        if text != "positions":
            yield Mutation("reference", f"{text} removed", changed(at(text), lambda c, k: c.__delitem__(k)), single=False)
    for text, value in {
        "comparison.towards": 3,
        "comparison.targeted": "spgd",
        "rivals.prn.built_on": "defenses/prn_det",
        "rivals.jpeg.built_on": "defenses/../../x",
        "rivals.dead_zone.built_on": "prn",
        "strengths.network": "squeezenet",
        "secondary.fig6_network": "vgg16",
        "generalization.control": "random",
        "unseen.sga.attack": "sgaa",
        "ablation.network": "squeezenet",
    }.items():
        yield Mutation("reference", f"{text} = {value!r}", put(at(text), value))
    yield Mutation("reference", "a bank in two sections", put(at("unseen.spgd.banks.uap"), {}))


def structures() -> Iterator[Mutation]:
    """Files that are no parameters, or are too much."""
    for section in BASE:
        yield Mutation("structure", f"{section} given twice", partial(str, f"{TEXT}\n{section}: {{}}\n"))
    tenfold = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    nested = ", ".join(["*x"] * 10)
    options = "  options: {}"
    files: dict[str, str | bytes] = {
        "empty": "",
        "a scalar": "42\n",
        "a list": "- 1\n",
        "null bytes": "study:\x00",
        "UTF-16": TEXT.encode("utf-16"),
        "Latin-1": TEXT.encode() + "# caf\xe9".encode("latin-1"),
        "tabs": "study:\n\tseed: 0\n",
        "two documents": f"{TEXT}\n---\nstudy: {{}}\n",
        "an open bracket": "study: [",
        "ten levels of ten aliases": f"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n{tenfold}{TEXT}",
        "merges of merges": "b0: &b0 {k: 1}\n"
        + "".join(f"b{i}: &b{i} {{<<: [{', '.join([f'*b{i - 1}'] * 9)}]}}\n" for i in range(1, 9))
        + TEXT,
        "aliases in options": TEXT.replace(options, f"  options: {{x: [&x [1, 1, 1, 1], {nested}]}}", 1),
        "an anchor in itself": TEXT.replace(options, "  options: &o {x: *o}", 1),
        "nested 5000 deep": TEXT.replace(options, "  options: {x: " + "[" * 5000 + "]" * 5000 + "}", 1),
        "mappings 200 deep": TEXT.replace(options, "  options: " + "{x: " * 200 + "1" + "}" * 200, 1),
        "a key of a million letters": f"{'k' * 10**6}: 1\n{TEXT}",
        "a million lines": "\n".join(f"k{i}: 1" for i in range(10**6)),
        "thirty thousand values": TEXT.replace(options, f"  options: {{x: [{'1,' * 30000}]}}", 1),
        "a command": TEXT.replace("seed: 0", 'seed: !!python/object/apply:os.system ["touch x"]', 1),
        "a name of Python": TEXT.replace("seed: 0", "seed: !!python/name:os.system", 1),
        "a tag of ours": TEXT.replace("seed: 0", "seed: !seed 0", 1),
        "an empty int": TEXT.replace("seed: 0", 'seed: !!int ""', 1),
        "an empty float": TEXT.replace("seed: 0", 'seed: !!float ""', 1),
        "a broken date": TEXT.replace("seed: 0", "seed: 2026-99-99", 1),
        "a number of 5000 digits": TEXT.replace("seed: 0", f"seed: {'9' * 5000}", 1),
        "a number of 4000 digits": TEXT.replace("seed: 0", f"seed: {'9' * 4000}", 1),
        "a list as key": TEXT + "\n? [a]\n: 1\n",
        "a mapping as key": TEXT + "\n? {a: 1}\n: 1\n",
        "a number as key": TEXT + "\n1: 2\n",
        "an unknown alias": TEXT.replace("seed: 0", "seed: *nobody", 1),
        "seed twice": TEXT.replace("  seed: 0", "  seed: 0\n  seed: 7", 1),
        "norm as a number": TEXT.replace("norm: inf", "norm: .inf", 1),
        "a rate without its dot": TEXT.replace("rate: 2.0e-3", "rate: 2e-3", 1),
        "a rate without its sign": TEXT.replace("rate: 2.0e-3", "rate: 2.0e3", 1),
    }
    for name, text in files.items():
        yield Mutation("structure", name, partial(type(text), text))


def facts() -> Iterator[Mutation]:
    """Values that only what they are used by can judge."""
    for text, values in (FACTS | TABLES | SIZES).items():
        for value in values:
            yield Mutation("fact", f"{text} = {value!r:.100}", put(at(text), value), single=False, key=text)


def harmless() -> Iterator[Mutation]:
    """Changes that are no mistake."""
    yield Mutation("harmless", "as it is", partial(str, TEXT), refused=False)
    for text, value in HARMLESS.items():
        yield Mutation("harmless", f"{text} = {value!r}", put(at(text), value), refused=False)
