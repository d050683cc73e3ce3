"""The framed document of one document, token by token, as the table in docs/formats.md has it.

```
position: before            id    50279  12    8     5    6    50279
                         kind  bos  prefix prefix doc  doc  eos
                         loss   0     0     0     1    1     1
none or dropped out             1                 1    1     1
position: after                    1    (doc doc prefix prefix eos, all 1)
loss span over the last doc     0     0     0     0    1     1      (masked: the range 0..1 of its own tokens)
```

A prefix is `begin`, the filled template tokenized, `end`: markers are ids and never text.
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
    """One position: token id, whether predicting it counts (0 or 1), and `bos`, `prefix`, `doc` or `eos`."""

    id: int
    loss: int
    kind: str


@dataclass(frozen=True)
class Condition:
    """What a phase puts to its documents.

    Attributes:
        begin, end: ids of the markers around the filled template; None for none.
        dropout: share of documents that go without any of it.
        empty: share of the others that keep the markers alone.
        top: field -> the values that stay; any other is unknown.
        bins: number -> borders between its bins, ascending.
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
        """The ids between the markers."""
        begin, end = ([] if marker is None else [marker] for marker in (self.begin, self.end))
        return begin + ids + end


def load_tokenizer(file: str | Path) -> Tokenizer:
    """A tokenizer that leaves text which looks like a special token as text, and neither cuts nor pads."""
    return as_text_only(Tokenizer.from_file(str(file)))


def as_text_only(tokenizer: Tokenizer) -> Tokenizer:
    # A post-processor changes no ids of ours, and some cut the spaces before a word off its offsets.
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
    """Ids of a formatted text, and the ranges of its tokens whose loss does not count.

    Args:
        loss_spans, special_spans: start, end, ... in characters of the text, as `byline.schemas.documents` has them.
        names: name -> id of the tokens that special spans name.
    """
    ids: list[int] = []
    trained: list[bool] = []
    spans = [(0, len(text))] if loss_spans is None else list(zip(loss_spans[::2], loss_spans[1::2], strict=True))
    borders = [0, *(special_spans or ()), len(text)]
    for number, (start, stop) in enumerate(pairwise(borders)):
        if number % 2 == 1:
            found = [(names[text[start:stop]], start, stop)] if start < stop else []
        else:
            encoding = tokenizer.encode(text[start:stop], add_special_tokens=False)
            shuffle_keys = [(start + low, start + high) for low, high in encoding.offsets]
            found = [(id_, low, high) for id_, (low, high) in zip(encoding.ids, shuffle_keys, strict=True)]
        for id_, low, high in found:
            ids.append(id_)
            trained.append(any(max(low, first) < min(high, last) for first, last in spans))
    return ids, ranges_of(at for at, counts in enumerate(trained) if not counts)


def ranges_of(shuffle_keys: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending integers as ranges (start, end), each as long as it can be."""
    ranges: list[tuple[int, int]] = []
    for shuffle_key in shuffle_keys:
        if ranges and ranges[-1][1] == shuffle_key:
            ranges[-1] = (ranges[-1][0], shuffle_key + 1)
        else:
            ranges.append((shuffle_key, shuffle_key + 1))
    return ranges


def fill(template: str, values: Mapping[str, str | None], unknown: str) -> str:
    """Fills `{field}`; a value that is None or absent becomes `unknown`; `{{` and `}}` are the braces themselves."""
    filled, at = "", 0
    while at < len(template):
        if template[at : at + 2] in ("{{", "}}"):
            filled, at = filled + template[at], at + 2
        elif template[at] == "{":
            end = template.index("}", at)
            name = template[at + 1 : end]
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
                raise ValueError(f"{template!r}: {name!r} is no field")
            value = values.get(name)
            filled, at = filled + (unknown if value is None else value), end + 1
        elif template[at] == "}":
            raise ValueError(f"{template!r}: a lone brace at {at}")
        else:
            filled, at = filled + template[at], at + 1
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
        values: fields that are text.
        numbers: those that `bins` cuts.
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
    """The values that the template is filled with: of binned numbers the bin, of `top` fields the kept values alone."""
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
    where: str,
    bos_id: int | None,
    eos_id: int | None,
    untrained: Iterable[tuple[int, int]] = (),
) -> list[Token]:
    """The framed document of one use of a document.

    Args:
        tokens: the document's own ids.
        prefix: ids of its prefix; None without condition or when dropped out. One without tokens is no prefix.
        where: `before` or `after`, the prefix's shuffle key.
        bos_id, eos_id: None where the configuration gives none.
        untrained: ranges (start, end) of the document's own tokens whose loss does not count.
    """
    outside = {at for start, end in untrained for at in range(start, end)}
    masked = bool(prefix) and where == "before"
    bos = [] if bos_id is None else [Token(bos_id, 0 if masked else 1, "bos")]
    eos = [] if eos_id is None else [Token(eos_id, 1, "eos")]
    document = [Token(token, 0 if at in outside else 1, "doc") for at, token in enumerate(tokens)]
    given = [Token(token, 0 if masked else 1, "prefix") for token in prefix or []]
    return bos + (document + given if where == "after" else given + document) + eos
