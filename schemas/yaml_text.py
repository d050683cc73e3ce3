"""YAML of keys and plain values, read in bounded time and memory.

```
seed: 1                     {"seed": 1}
a: &x [1, 2]                anchors are read, but what they stand for counts each time: at most 50,000 values in all
b: [*x, *x]
seed: 2001-01-01            line 1, column 7: a date is no value here; put quotes around it
seed: !!int x               line 1, column 7: 'x' is no value of its kind; put quotes around it
seed: 1:30                  line 1, column 7: '1:30' would be a number to the base of 60; put quotes around it, ...
```

A file has at most 4 MB, values stand in at most 32 others, and a text has at most 65,536 characters, none of them a
control character other than a tab or a line end, and no half of a surrogate pair. Whole numbers have 64 bits and the
base of ten (or 16, or 2, with `0x`, `0b`); there is no NaN and no infinity.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from byline.errors import BylineError
from byline.printable import one_line, printable, shown
from byline.regular_files import read_regular

MOST_BYTES = 4 << 20
MOST_VALUES = 50_000
MOST_DEPTH = 32
MOST_CHARACTERS = 1 << 16
_LARGEST = 2**63 - 1
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
# What a plain value may say of itself; every other tag builds an object, or is a misunderstanding.
_PREFIX = "tag:yaml.org,2002:"
_TAGS = {f"{_PREFIX}{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}
# Texts that are numbers to YAML 1.1 alone.
_OLD_NUMBERS = {
    60: re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"),
    8: re.compile(r"[-+]?0[0-7_]+"),
}
_PLAIN = (str, int, float, bool, type(None))
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """What is wrong with a text, and where: `problem`, and as a text `, line 3, column 7: problem`."""

    def __init__(self, problem: str, location: str = "") -> None:
        super().__init__(f"{location}: {problem}")
        self.problem = problem


class YamlSyntaxError(YamlError):
    """The text is no YAML at all."""


class _Loader(_Base):
    """Safe YAML that refuses a key given twice, where plain YAML would silently keep the last one."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        # PyYAML's own constructors fail so on `!!int x` or the 99th day of a month.
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
            problem = f"{shown(node.value)} is no value of its kind; put quotes around it"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        # A tag may call a text a mapping.
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in keys:
                    problem = f"the key {shown(key.value)} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                keys.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load_yaml(path: Path) -> Any:
    """The values of a YAML file.

    Raises:
        BylineError: one line: it cannot be read, is no YAML, or exceeds a limit.
    """
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BylineError(f"{path}: the configuration cannot be read (not UTF-8 text, byte {error.start})") from None
    except OSError as error:
        raise BylineError(f"{path}: the configuration cannot be read ({error.strerror or error})") from None
    try:
        return parse_yaml(text)
    except YamlError as error:
        raise BylineError(f"{path}{error}") from None


def parse_yaml(text: str) -> Any:
    """Plain values: mappings, lists, texts, numbers, truth values and None; no two share a part.

    Raises:
        YamlError: it is no YAML, holds other values than these, or exceeds a limit.
    """
    if match := _CONTROL.search(text):
        line, column = text.count("\n", 0, match.start()), match.start() - text.rfind("\n", 0, match.start())
        raise YamlError(
            f"has the control character {_named(match[0])}; remove it", f", line {line + 1}, column {column}"
        )
    try:
        _check_events(text)
        values = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        problem = one_line(getattr(error, "problem", None) or error)
        location = _location(getattr(error, "problem_mark", None))
        raise YamlSyntaxError(f"not valid YAML: {problem}", location) from None
    return _plain(values, ())


@dataclass
class _Size:
    """What has been read of a text.

    Attributes:
        values: how many values stand in it by now, those of anchors counted wherever they are named.
        anchors: name -> how many values it stands for.
        opened: (name of the anchor or None, `values` before) for each collection that is not closed yet.
    """

    values: int = 0
    anchors: dict[str, int] = field(default_factory=dict)
    opened: list[tuple[str | None, int]] = field(default_factory=list)

    def add(self, event: Any) -> None:
        """Counts one event of the parser. Raises: YamlError."""
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors:
                self.values += self.anchors[event.anchor]
            elif any(event.anchor == name for name, _ in self.opened):
                raise _at(event, f"{event.anchor!r} stands in itself; remove the alias")
            # An unknown anchor is an error of the composer.
        elif isinstance(event, yaml.ScalarEvent):
            self.values += 1
            if event.anchor is not None:
                self.anchors[event.anchor] = 1
            if len(event.value) > MOST_CHARACTERS:
                raise _at(event, f"a text of {len(event.value):,} characters; at most {MOST_CHARACTERS:,} are read")
            _check_number(event)
            _check_tag(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.opened.append((event.anchor, self.values))
            self.values += 1
            if len(self.opened) > MOST_DEPTH:
                raise _at(event, f"values stand in more than {MOST_DEPTH} others; write fewer brackets")
            _check_tag(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            name, before = self.opened.pop()
            if name is not None:
                self.anchors[name] = self.values - before
        if self.values > MOST_VALUES:
            raise _at(
                event,
                f"more than {MOST_VALUES:,} values, those of anchors counted wherever they are named; put long lists "
                "into text files",
            )


def _check_events(text: str) -> None:
    size, documents = _Size(), 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _at(event, "a second document begins; one file holds one")
        size.add(event)


def _check_number(event: Any) -> None:
    if not event.style and event.value[:1] in "+-0123456789":
        for base, form in _OLD_NUMBERS.items():
            if form.fullmatch(event.value):
                raise _at(
                    event,
                    f"{shown(event.value)} would be a number to the base of {base}; put quotes around it, or write the "
                    "number to the base of ten",
                )


def _check_tag(event: Any) -> None:
    if event.tag is not None and event.tag not in _TAGS and event.tag != "!":
        tag = event.tag.replace(_PREFIX, "!!", 1)
        raise _at(event, f"the tag {printable(tag)} is not known here; only plain values are read, so remove it")


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    """A copy of its own, so that a change of one value changes no other that an anchor made the same."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise YamlError(f"{_dotted(path)}the key {shown(key)} is not a text; put quotes around it")
            check_text(key, path)
        return {key: _plain(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, (*path, str(number))) for number, item in enumerate(value)]
    if isinstance(value, str):
        check_text(value, path)
    elif not isinstance(value, _PLAIN):
        kind = {"date": "a date", "datetime": "a time"}.get(type(value).__name__, f"of type {type(value).__name__}")
        raise YamlError(f"{_dotted(path)}{shown(str(value))} is {kind}, which is no value here; put quotes around it")
    elif isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        raise YamlError(f"{_dotted(path)}a whole number beyond 64 bits; write a smaller one")
    elif isinstance(value, float) and not math.isfinite(value):
        raise YamlError(f"{_dotted(path)}expected a number, found {value}")
    return value


def check_text(text: str, path: tuple[str, ...] = ()) -> None:
    """Refuses control characters in a text; `path` has the keys that lead to it. Raises: YamlError."""
    if match := _CONTROL.search(text):
        character = _named(match[0])
        raise YamlError(f"{_dotted(path)}{shown(text)} has the control character {character}; remove it")


def _dotted(path: tuple[str, ...]) -> str:
    return f"{printable('.'.join(path))}: " if path else ""


def _named(character: str) -> str:
    return f"U+{ord(character):04X}"


def _at(event: Any, problem: str) -> YamlError:
    return YamlError(problem, _location(event.start_mark))


def _location(mark: Any) -> str:
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
