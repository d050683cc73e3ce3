"""Frames one document, token by token, as in the table in docs/formats.md.

```
position: before         id    50279  12     8      5    6    50279
                         kind  bos    prefix prefix doc  doc  eos
                         loss  0      0      0      1    1    1
none or dropped out            1                    1    1    1
position: after                1      (doc doc prefix prefix eos, all 1)
loss span over the last doc    0      0      0      0    1    1      (masked: the range 0..1 of its own tokens)
```

A prefix is `begin`, the tokens of the filled template, `end`; markers are ids, never text.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer


class Token(NamedTuple):
    """One position: token id, whether predicting it counts (0 or 1), `bos`, `prefix`, `doc` or `eos`, and how much."""

    id: int
    loss: int
    kind: str
    weight: float = 1.0


@dataclass(frozen=True)
class Condition:
    """What a phase adds to its documents.

    Attributes:
        begin, end: ids of the markers around the filled template; None for no marker.
        dropout: share of documents that go without a prefix.
        empty: share of the others that get only the markers.
        top: field -> the values that are kept; any other is unknown.
        bins: name of a number -> borders between its bins, ascending.
    """

    template: str
    position: str = "before"
    dropout: Fraction = Fraction(0)
    unknown: str = "unknown"
    begin: int | None = None
    end: int | None = None
    empty: Fraction = Fraction(0)
    top: Mapping[str, Iterable[str]] = field(default_factory=dict)
    bins: Mapping[str, Sequence[float | Fraction]] = field(default_factory=dict)

    def marked(self, ids: list[int]) -> list[int]:
        """The ids, put between the markers."""
        begin, end = ([] if marker is None else [marker] for marker in (self.begin, self.end))
        return begin + ids + end


def load_tokenizer(file: str | Path) -> Tokenizer:
    """A tokenizer that treats text that looks like a special token as text, and neither cuts nor pads."""
    return as_text_only(Tokenizer.from_file(str(file)))


def as_text_only(tokenizer: Tokenizer) -> Tokenizer:
    # A post-processor changes none of these ids, but some leave the spaces before a word out of its offsets.
    tokenizer = Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), "post_processor": None}))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenize(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def tokenize_marked(
    tokenizer: Tokenizer,
    text: str,
    loss_spans: list[int] | None,
    special_spans: list[int] | None,
    names: Mapping[str, int],
) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids of a formatted text, and the ranges of its tokens that do not count in the loss.

    Args:
        loss_spans, special_spans: start, end, ... in characters of the text, as in `byline.schemas.documents`.
        names: name -> id of the tokens that special spans name.
    """
    spans = [(0, len(text))] if loss_spans is None else pairs_of(loss_spans)
    tokens = list(_marked(tokenizer, text, special_spans, names))
    trained = [any(max(low, first) < min(high, last) for first, last in spans) for _, low, high in tokens]
    return [id_ for id_, _, _ in tokens], ranges_of(number for number, counts in enumerate(trained) if not counts)


def token_weights(
    tokenizer: Tokenizer,
    text: str,
    loss_spans: list[int] | None,
    special_spans: list[int] | None,
    names: Mapping[str, int],
    loss_weights: list[float] | None,
) -> list[float]:
    """What a formatter weighs each token of `tokenize_marked`: the largest of the spans it is in, 1 for one in none.

    Args:
        loss_weights: of the loss spans, or one of all of a text without them; None for 1.
    """
    tokens = list(_marked(tokenizer, text, special_spans, names))
    if loss_weights is None:
        return [1.0] * len(tokens)
    if loss_spans is None:
        return loss_weights * len(tokens)
    spans = list(zip(pairs_of(loss_spans), loss_weights, strict=True))
    return [
        max((weight for (first, last), weight in spans if max(low, first) < min(high, last)), default=1.0)
        for _, low, high in tokens
    ]


def _marked(
    tokenizer: Tokenizer, text: str, special_spans: list[int] | None, names: Mapping[str, int]
) -> Iterable[tuple[int, int, int]]:
    """The id of each token and where it begins and ends, in characters of the text."""
    borders = [0, *(special_spans or ()), len(text)]
    for number, (start, stop) in enumerate(pairwise(borders)):
        if number % 2 == 1:
            yield from [(names[text[start:stop]], start, stop)] if start < stop else []
            continue
        encoding = tokenizer.encode(text[start:stop], add_special_tokens=False)
        for id_, (low, high) in zip(encoding.ids, encoding.offsets, strict=True):
            yield id_, start + low, start + high


def pairs_of(borders: Sequence[int] | None) -> list[tuple[int, int]]:
    """Ranges (start, end) of borders start, end, ...; none of None."""
    return list(zip((borders or [])[::2], (borders or [])[1::2], strict=True))


def ranges_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending integers as ranges (start, end), each as long as possible."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges


def fill(template: str, values: Mapping[str, str | None], unknown: str) -> str:
    """Fills `{field}`; a value that is None or absent becomes `unknown`; `{{` and `}}` are the braces themselves."""
    filled, index = "", 0
    while index < len(template):
        if template[index : index + 2] in ("{{", "}}"):
            filled, index = filled + template[index], index + 2
        elif template[index] == "{":
            end = template.index("}", index)
            name = template[index + 1 : end]
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
                raise ValueError(f"{template!r}: {name!r} is not a field")
            value = values.get(name)
            filled, index = filled + (unknown if value is None else value), end + 1
        elif template[index] == "}":
            raise ValueError(f"{template!r}: a lone brace at {index}")
        else:
            filled, index = filled + template[index], index + 1
    return filled


def prefix_of(
    condition: Condition,
    values: Mapping[str, str | None],
    tokenizer: Tokenizer,
    length: int,
    numbers: Mapping[str, float | None] | None = None,
) -> tuple[list[int], bool]:
    """The prefix of a document, and whether it is the unknown one because its own is longer than `length // 2`.

    Args:
        values: fields that hold text.
        numbers: numbers for `bins`.
    """
    known = known_values(condition, values, numbers or {})
    prefix = condition.marked(tokenize(tokenizer, fill(condition.template, known, condition.unknown)))
    if len(prefix) <= length // 2:
        return prefix, False
    prefix = condition.marked(tokenize(tokenizer, fill(condition.template, {}, condition.unknown)))
    if len(prefix) > length // 2:
        raise ValueError(
            f"{condition.template!r} takes {len(prefix)} tokens without any value; half a row is {length // 2}"
        )
    return prefix, True


def known_values(
    condition: Condition, values: Mapping[str, str | None], numbers: Mapping[str, float | None]
) -> dict[str, str | None]:
    """The values for the template: for numbers in bins the bin, for `top` fields only the kept values."""
    known = dict(values)
    for name, borders in condition.bins.items():
        number = numbers.get(name)
        is_known = number is not None and not math.isnan(number)
        known[name] = str(sum(border <= number for border in borders)) if is_known else None
    for name, kept in condition.top.items():
        known[name] = known.get(name) if known.get(name) in kept else None
    return known


def frame(
    tokens: list[int],
    prefix: list[int] | None,
    position: str,
    bos_id: int | None,
    eos_id: int | None,
    untrained: Iterable[tuple[int, int]] = (),
    weights: Sequence[float] | None = None,
) -> list[Token]:
    """Frames one use of a document.

    Args:
        tokens: the document's own ids.
        prefix: ids of its prefix; None without a condition or when dropped out. An empty one is no prefix.
        position: `before` or `after`, where the prefix goes.
        bos_id, eos_id: None if the configuration names none.
        untrained: ranges (start, end) of the document's own tokens that do not count in the loss.
        weights: of the document's own tokens; None for 1.
    """
    outside = {number for start, end in untrained for number in range(start, end)}
    masked = bool(prefix) and position == "before"
    bos = [] if bos_id is None else [Token(bos_id, 0 if masked else 1, "bos")]
    eos = [] if eos_id is None else [Token(eos_id, 1, "eos")]
    document = [
        Token(token, 0 if number in outside else 1, "doc", 1.0 if weights is None else weights[number])
        for number, token in enumerate(tokens)
    ]
    prefix_tokens = [Token(token, 0 if masked else 1, "prefix") for token in prefix or []]
    return bos + (document + prefix_tokens if position == "after" else prefix_tokens + document) + eos
