"""What an option may be: its type and range, declared once, in the signature of what takes it.

The door of every attack, defence, network and recipe asks here, and so does the check of params.yaml. Ranges are those of
``annotated_types``: ``passes: Count = 10``, ``share: Share = 0.5``, ``stem: tuple[Count, Count]``.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from inspect import Parameter, signature
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen

from regen_lib.core.errors import StudyError

Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Amount = Annotated[float, Gt(0)]
Pixels = Annotated[float, Gt(0), Le(255)]  # an amount of 0-255
Share = Annotated[float, Gt(0), Le(1)]
Probability = Annotated[float, Ge(0), Le(1)]
Width = Annotated[float, Gt(0), Le(100)]  # times as many channels: the widest residual networks have some ten times
Size = Annotated[int, Ge(1), Le(100_000)]  # channels of a layer, classes: published networks have up to some 20,000

WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}
LISTS = (tuple, list, Sequence)
SHOWN = 120  # characters of a value in a message: a tensor's would fill pages


class Mistake(NamedTuple):
    """A value that cannot be used: where it stands, what it is, and what is wrong with it or should stand there instead."""

    key: str
    value: Any
    why: str


class Option(NamedTuple):
    """An option: its kind, a type with its range, and whether it must be given."""

    kind: Any
    needed: bool


@cache
def options(taker: Callable[..., Any]) -> Mapping[str, Option]:
    """The options of a function, which are its keyword-only parameters, or the fields of a dataclass."""
    hints = get_type_hints(taker, include_extras=True)
    taken = [p for p in signature(taker).parameters.values() if p.kind is Parameter.KEYWORD_ONLY or is_dataclass(taker)]
    return {p.name: Option(hints.get(p.name, Any), p.default is Parameter.empty) for p in taken}


def mistakes(taker: Callable[..., Any], given: Mapping[str, Any], filled: Iterable[str] = ()) -> Iterator[Mistake]:
    """What is wrong with the options ``given`` to ``taker``, ``filled`` being those that it gets from elsewhere."""
    known = {name: option for name, option in options(taker).items() if name not in filled}
    for name, value in given.items():
        if name not in known:
            yield Mistake(name, value, f"{taker.__name__} has no such option: choose from {', '.join(known) or 'none, it has none'}")
        elif not fits(value, known[name].kind):
            yield Mistake(name, value, f"give {described(known[name].kind)}")
    for name, option in known.items():
        if option.needed and name not in given:
            yield Mistake(name, ..., f"is missing: give {described(option.kind)}")


def check(taker: Callable[..., Any], given: Mapping[str, Any], filled: Iterable[str] = (), name: str = "") -> None:
    """:class:`StudyError` for the first of the :func:`mistakes`."""
    for key, value, why in mistakes(taker, given, filled):
        raise StudyError(
            f"{name or taker.__name__}: {key} {why}" if value is ... else f"{name or taker.__name__}: {key} is {shown(value)}: {why}"
        )


def check_given(taker: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """:class:`StudyError` for the first of the arguments ``given`` to ``taker``, positional ones too, that does not fit its annotation."""
    kinds = get_type_hints(taker, include_extras=True)
    for key, value in given.items():
        check_value(taker.__name__, key, value, kinds[key])


def check_value(where: str, key: str, value: Any, kind: Any) -> None:
    """:class:`StudyError` for a ``value`` that is not of its ``kind``."""
    if not fits(value, kind):
        raise StudyError(f"{where}: {key} is {shown(value)}: give {described(kind)}")


def shown(value: Any) -> str:
    """A value in one line of a message, shortened where it is long."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def plain(value: Any) -> Any:
    """A number of NumPy (or of a fraction) as the int or the float that it stands for; all else as it is."""
    if type(value) in (bool, int, float) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def fits(value: Any, kind: Any) -> bool:
    """Whether ``value`` is of ``kind`` and within its range. True is no number, text no list, and numbers are finite."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return fits(value, arguments[0]) and all(within(value, bound) for bound in arguments[1:])
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return any(value is each or (type(value) is type(each) and value == each) for each in arguments)
    if origin in LISTS:
        return isinstance(value, list | tuple) and fit_all(value, arguments)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in value.items())
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)


def fit_all(values: Sequence[Any], kinds: tuple[Any, ...]) -> bool:
    """Whether each of a list's ``values`` fits: ``tuple[int, int]`` says one kind for each, ``list[int]`` one for all."""
    if len(kinds) == 1 or kinds[-1] is ...:
        return all(fits(value, kinds[0]) for value in values)
    return len(values) == len(kinds) and all(fits(value, kind) for value, kind in zip(values, kinds, strict=True))


def within(value: Any, bound: Any) -> bool:
    """Whether ``value`` keeps one bound of its range."""
    match bound:
        case Ge(ge):
            return bool(value >= ge)
        case Gt(gt):
            return bool(value > gt)
        case Le(le):
            return bool(value <= le)
        case Lt(lt):
            return bool(value < lt)
        case MinLen(least):
            return len(value) >= least
    return True


def described(kind: Any) -> str:
    """A kind in words: ``a whole number, 1 or more``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = [words(bound) for bound in arguments[1:]]
        apart = "," if bounds[0][0].isdigit() or "them" in bounds[0] else ""
        return f"{described(arguments[0])}{apart} {' and '.join(bounds)}"
    if origin in (Union, UnionType):
        return ", or ".join(described(each) for each in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in LISTS:
        each = [described(argument) for argument in arguments if argument is not ...]
        return f"a list, each {each[0]}" if len(each) < 2 else f"a list of {len(each)}, each {each[0]}"
    if origin is Mapping:
        return f"keys with values, each {described(arguments[1])}"
    name = str(getattr(kind, "__name__", kind))
    return WORDS.get(kind, f"{'an' if name[0] in 'AEIOU' else 'a'} {name}")


def words(bound: Any) -> str:
    """One bound of a range in words."""
    match bound:
        case Ge(ge):
            return f"{ge} or more"
        case Gt(gt):
            return f"above {gt}"
        case Le(le):
            return f"at most {le}"
        case Lt(lt):
            return f"below {lt}"
        case MinLen(least):
            return f"at least {least} of them"
    return str(bound)
