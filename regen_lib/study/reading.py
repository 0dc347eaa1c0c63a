"""A YAML file of parameters, read: plain values, every key once, and no more of anything than parameters need."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from regen_lib.core.errors import StudyError

BYTES = 200_000  # of a file; the largest study here has 10,000
DEPTH = 20  # of mappings in mappings
VALUES = 20_000  # once every alias is written out
LONGEST = 200  # letters of a value without quotes: a number of more digits is none that float64 has
OLD_NUMBER = re.compile(r"[-+]?0[0-7_]+|[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")  # 010 and 1:30: 8 and 90 to YAML 1.1, and not to DVC
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # YAML's plain types only; libyaml's, where PyYAML has it, ten times as fast


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; :class:`StudyError` for anything else, for a key given twice, and for a bomb."""
    with path.open("rb") as file:
        data = file.read(BYTES + 1)
    if len(data) > BYTES:
        raise StudyError(f"{path} is larger than {BYTES:,} bytes: parameters are not; is it the right file?")
    try:
        text = data.decode("utf-8")
        bounded(yaml.parse(text, Loader=Loader))
        content = yaml.load(text, Loader=UniqueKeys)
    except UnicodeDecodeError as error:
        raise StudyError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is no YAML ({' '.join(str(error).split())}): mend it there") from error
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from error
    except (ValueError, OverflowError) as error:  # a date that is none, a number of thousands of digits
        raise StudyError(f"{path} holds a value that YAML cannot read ({error}): mend it") from error
    if not isinstance(content, dict):
        raise StudyError(f"{path} holds a {type(content).__name__}: expected sections with keys")
    return content


def bounded(events: Iterable[Any]) -> None:
    """Refuse tags, and what is nested too deep or would be too large with its aliases (``*name``) written out."""
    sizes: dict[str, int] = {}  # of what each anchor (``&name``) stands for
    within: list[tuple[str | None, int]] = [(None, 0)]  # the collections that are open: anchor, and values so far
    for event in events:
        anchor = getattr(event, "anchor", None)
        if getattr(event, "tag", None) is not None:
            raise StudyError(f"{place(event)}: the tag {event.tag} is no parameter: give plain values")
        if isinstance(event, yaml.CollectionStartEvent):
            within.append((anchor, 1))
        elif isinstance(event, yaml.AliasEvent | yaml.ScalarEvent | yaml.CollectionEndEvent):
            anchor, size = within.pop() if isinstance(event, yaml.CollectionEndEvent) else (anchor, 1)
            if isinstance(event, yaml.AliasEvent):
                if any(anchor == opened for opened, _ in within):
                    raise StudyError(f"{place(event)}: *{anchor} contains itself: write out what it should hold")
                size = sizes.get(str(anchor), 1)
            elif anchor:
                sizes[anchor] = size
            within[-1] = (within[-1][0], within[-1][1] + size)
        if len(within) > DEPTH:
            raise StudyError(f"{place(event)}: more than {DEPTH} levels deep: parameters are not; close a bracket?")
        if sum(size for _, size in within) > VALUES:
            raise StudyError(
                f"{place(event)}: more than {VALUES:,} values, aliases (*name) written out: parameters have fewer; remove some"
            )


def place(event: Any) -> str:
    """Where something stands in the file."""
    return f"line {event.start_mark.line + 1}"


class UniqueKeys(Loader):  # type: ignore[misc]
    """Every key once: YAML itself would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [str(key.value) for key, _ in node.value if key.value != "<<"]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise StudyError(f"{place(node)}: {', '.join(sorted(twice))} given twice: remove one of them")
        self.flatten_mapping(node)  # what is merged (<<) is looked at too
        for key, value in node.value:
            plain("a key", key)
            plain(str(key.value), value)
        content: dict[Any, Any] = super().construct_mapping(node, deep)
        return content


def plain(name: str, node: yaml.Node) -> None:
    """Refuse a value without quotes, or one in a list, that YAML 1.1 converts in its own way, or that is longer than any number."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            plain(f"{name}.{index}", item)
    elif isinstance(node, yaml.ScalarNode) and not node.style:
        if len(node.value) > LONGEST:
            raise StudyError(f"{place(node)}: {name[:LONGEST]} has {len(node.value):,} letters or digits: give fewer, or a text in quotes")
        if OLD_NUMBER.fullmatch(node.value):
            raise StudyError(
                f"{place(node)}: {name[:LONGEST]} is {node.value}, which YAML 1.1 converts: write a decimal number, like 10, or quote it"
            )
