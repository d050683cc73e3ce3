"""Strings that hold JSON, a column at once.

```
wants x at meta.x        meta: large_string          x
                         {"x": 1}                    1
                         {"x": "2", "y": [3]}        2
                         no JSON                     null
                         null                        null
```

Objects are put on lines and read as a block of them (`json_objects.py`), anything else one by one.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import CONTENTS
from byline.transforms.corpora.json_columns import JsonColumns
from byline.transforms.corpora.json_objects import BLOCK_BYTES, parse_lines
from byline.transforms.corpora.json_values import MalformedError, load
from byline.transforms.corpora.record_values import Columns, Lead


def parse_texts(texts: pa.Array, leads: tuple[Lead, ...]) -> Columns:
    """What paths lead to in the JSON of strings.

    Args:
        texts: large_string [n], with nulls.
        leads: what is wanted of each.

    Returns:
        Columns of n rows, null where a string is null or no JSON; that makes a record malformed only where a document's
        text is wanted of it.
    """
    columns = _kept_columns(leads)
    is_object = pc.fill_null(pc.and_(pc.starts_with(texts, "{"), pc.ends_with(texts, "}")), False)
    rows = np.flatnonzero(is_object.to_numpy(zero_copy_only=False))
    pieces, reasons = [], {}
    objects = texts if len(rows) == len(texts) else texts.take(pa.array(rows))
    for low, high in _cuts(objects):
        arrays, why = parse_lines(*_as_lines(objects.slice(low, high - low)), columns)
        pieces.append(arrays)
        reasons.update({int(rows[low + row]): reason for row, reason in why.items()})
    others = np.flatnonzero(pc.and_not(texts.is_valid(), is_object).to_numpy(zero_copy_only=False))
    values, why = _read_texts(texts.take(pa.array(others)), columns)
    reasons.update({int(others[row]): reason for row, reason in why.items()})
    pieces.append(values)
    # Where each row is among objects and others.
    order = np.zeros(len(texts), np.int64)
    order[rows], order[others] = np.arange(len(rows)), len(rows) + np.arange(len(others))
    indices = pa.array(order, mask=texts.is_null().to_numpy(zero_copy_only=False))
    made = Columns()
    for lead, parts in zip(_first_leads(columns), zip(*pieces, strict=True), strict=True):
        made.add(lead, pa.concat_arrays(parts).take(indices))
    if any(want.field.name in CONTENTS for want in columns.wants):
        made.reasons = {row: _in_text(columns, reason) for row, reason in reasons.items()}
    return made


def json_columns(leads: Iterable[Lead]) -> JsonColumns:
    """What to take from objects, also from inside of strings."""
    return JsonColumns(leads, parse_texts)


# What was learnt of some strings serves the next ones.
_kept_columns = functools.lru_cache(maxsize=64)(json_columns)


def _first_leads(columns: JsonColumns) -> list[Lead]:
    return [next(lead for lead in columns.leads if lead.want == want) for want in columns.wants]


def _in_text(columns: JsonColumns, reason: str) -> str:
    path = next(want.path for want in columns.wants if want.field.name in CONTENTS)
    return f"{path!r} leads into a string: {reason}"


def _cuts(texts: pa.Array) -> Iterator[tuple[int, int]]:
    """Cuts texts into stretches of about a block."""
    blocks = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False)) // BLOCK_BYTES
    cuts = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(texts)]
    yield from itertools.pairwise(cuts)


def _as_lines(texts: pa.Array) -> tuple[bytes, np.ndarray]:
    """Objects as a block of lines, and where they are in it."""
    if pc.any(pc.match_substring(texts, "\n")).as_py():
        # As wrong as a newline inside of a string, and as right outside of one.
        texts = pc.replace_substring(texts, "\n", "\t")
    joined = pc.binary_join_element_wise(texts, pa.scalar("", texts.type), pa.scalar("\n", texts.type))
    _, offsets, data = joined.buffers()
    bounds = np.frombuffer(offsets, np.int64)[joined.offset : joined.offset + len(joined) + 1]
    block = data[bounds[0] : bounds[-1]].to_pybytes() if len(joined) else b""
    return block, np.stack([bounds[:-1], bounds[1:] - 1], axis=1) - bounds[0]


def _read_texts(texts: pa.Array, columns: JsonColumns) -> tuple[list[pa.Array], dict[int, str]]:
    """Reads JSON one by one, each text once."""
    distinct = texts.dictionary_encode()
    rows, wrong = [], {}
    for number, text in enumerate(distinct.dictionary.to_pylist()):
        try:
            rows.append(_values_in(text, columns))
        except MalformedError as reason:
            rows.append([None] * len(columns.wants))
            wrong[number] = str(reason)
    numbers = distinct.indices.to_pylist() if wrong else []
    reasons = {row: wrong[number] for row, number in enumerate(numbers) if number in wrong}
    return [array.take(distinct.indices) for array in columns.arrays(rows)], reasons


def _values_in(text: str, columns: JsonColumns) -> list[Any]:
    try:
        value = load(text.encode())
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"expected JSON, found: {error.msg} (character {error.pos})") from None
    return columns.values(value)
