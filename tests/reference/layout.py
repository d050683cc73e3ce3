"""The stream of one document, token by token, as the table in docs/formats.md has it.

```
place: before            id    50279  12    8     5    6    50279
                         kind  bos  prefix prefix doc  doc  eos
                         loss   0     0     0     1    1     1
none or dropped out             1                 1    1     1
place: after                    1    (doc doc prefix prefix eos, all 1)
```
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
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
    """What a phase puts to its documents."""

    template: str
    place: str = "before"
    dropout: Fraction = Fraction(0)
    unknown: str = "unknown"


def load_tokenizer(file: str | Path) -> Tokenizer:
    """A tokenizer that leaves text which looks like a special token as text, and neither cuts nor pads."""
    return as_text_only(Tokenizer.from_file(str(file)))


def as_text_only(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenize(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


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
    condition: Condition, values: Mapping[str, str | None], tokenizer: Tokenizer, length: int
) -> tuple[list[int], bool]:
    """The prefix of a document, and whether it is the unknown one because its own is longer than `length // 2`."""
    prefix = tokenize(tokenizer, fill(condition.template, values, condition.unknown))
    if len(prefix) <= length // 2:
        return prefix, False
    prefix = tokenize(tokenizer, fill(condition.template, {}, condition.unknown))
    if len(prefix) > length // 2:
        raise ValueError(
            f"{condition.template!r} takes {len(prefix)} tokens without any value; half a row is {length // 2}"
        )
    return prefix, True


def stream(
    tokens: list[int], prefix: list[int] | None, where: str, bos_id: int | None, eos_id: int | None
) -> list[Token]:
    """The stream of one use of a document.

    Args:
        tokens: the document's own ids.
        prefix: ids of its prefix; None without condition or when dropped out. One without tokens is no prefix.
        where: `before` or `after`, the prefix's place.
        bos_id, eos_id: None where the configuration gives none.
    """
    masked = bool(prefix) and where == "before"
    bos = [] if bos_id is None else [Token(bos_id, 0 if masked else 1, "bos")]
    eos = [] if eos_id is None else [Token(eos_id, 1, "eos")]
    document = [Token(token, 1, "doc") for token in tokens]
    given = [Token(token, 0 if masked else 1, "prefix") for token in prefix or []]
    return bos + (document + given if where == "after" else given + document) + eos
