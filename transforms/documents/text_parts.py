"""Texts made of parts, a column at a time, and lists of spans that say where the parts are.

```
parts      "Q: "   ["Why?", "How?"]   "\\n"         joined     "Q: Why?\\n"  "Q: How?\\n"
texts      "a"  "b"  "c"    counts   2  1          regrouped  "ab"  "c"
rows       0  0  2    starts  1  5  0    ends  3  6  4        span_lists (of 3 rows)   [1, 3, 5, 6]  []  [0, 4]
```
"""

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.documents import SPANS_TYPE, WEIGHTS_TYPE

STRING = pa.large_string()


def is_blank(texts: pa.Array) -> pa.Array:
    """bool [n]: texts that are null, empty, or only white space (Unicode's, as `str.isspace` has it)."""
    # Stops at the first character that is no white space, so it costs nothing on real text.
    return pc.fill_null(pc.or_(pc.utf8_is_space(texts), pc.equal(pc.binary_length(texts), 0)), True)


def joined(*parts: pa.Array | str) -> pa.Array:
    """Joins parts row by row: large_string [rows], null where a part is; a `str` is the same in every row."""
    columns = [pa.scalar(part, STRING) if isinstance(part, str) else part.cast(STRING) for part in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar("", STRING))


def characters(texts: pa.Array) -> np.ndarray:
    """Characters (code points) of each text, int64 [n]; a null has none."""
    return pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def text_buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The buffers of a large_string [n], without a copy: int64 offsets [n + 1], and the uint8 bytes they point into."""
    _, offsets, data = texts.buffers()
    if offsets is None:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    borders = np.frombuffer(offsets, np.int64, len(texts) + 1, 8 * texts.offset)
    return borders, np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)


def texts_of(borders: np.ndarray, data: np.ndarray) -> pa.Array:
    """large_string [n], cut out of UTF-8 bytes at int64 borders [n + 1], without a copy."""
    return pa.LargeStringArray.from_buffers(len(borders) - 1, pa.py_buffer(borders), pa.py_buffer(data))


def regrouped(texts: pa.Array, counts: np.ndarray) -> pa.Array:
    """Joins each next `counts[i]` texts (without nulls) into one; no text is copied."""
    borders, data = text_buffers(texts)
    return texts_of(borders[np.concatenate([[0], np.cumsum(counts)])], data)


def list_lengths(lists: pa.Array) -> np.ndarray:
    """Items of each list of any kind, int64 [n]; a null has none."""
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def flat_lists(lists: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """All items of a list [n] (int64), and offsets into them, int64 [n + 1]; a null counts as empty."""
    items = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    return items, np.concatenate([[0], np.cumsum(list_lengths(lists))])


def span_lists(
    rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, num_rows: int, missing: np.ndarray | None = None
) -> pa.Array:
    """A column of spans.

    Args:
        rows: the row of each span, int [spans], ascending.
        starts, ends: int [spans].
        num_rows: rows of the column.
        missing: bool [num_rows], rows that are null; they have no spans.
    """
    offsets = 2 * np.searchsorted(rows, np.arange(num_rows + 1))
    items = np.stack([starts, ends], axis=1).reshape(-1)
    mask = None if missing is None else pa.array(missing)
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(items, pa.int32()), type=SPANS_TYPE, mask=mask
    )


def weight_lists(rows: np.ndarray, weights: np.ndarray, num_rows: int, missing: np.ndarray | None = None) -> pa.Array:
    """A column of weights, one (float64) for each span that `span_lists` makes a column of; arguments as there."""
    offsets = np.searchsorted(rows, np.arange(num_rows + 1))
    mask = None if missing is None else pa.array(missing)
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(weights, pa.float64()), type=WEIGHTS_TYPE, mask=mask
    )


def byte_positions(texts: pa.Array, positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Converts positions in characters to positions in the byte buffer of all texts.

    Args:
        texts: large_string [n] without nulls.
        positions: int64, ascending within a text, at most its characters.
        offsets: into `positions`, int64 [n + 1].

    Returns:
        int64 [positions], counted like the offsets of `texts`.
    """
    borders, data = text_buffers(texts)
    in_bytes = np.empty(len(positions), np.int64)
    _convert_positions(data, borders, characters(texts) == np.diff(borders), positions, offsets, in_bytes)
    return in_bytes


@numba.njit(cache=True, nogil=True)
def _convert_positions(
    data: np.ndarray,
    borders: np.ndarray,
    is_ascii: np.ndarray,
    positions: np.ndarray,
    offsets: np.ndarray,
    in_bytes: np.ndarray,
) -> None:
    for row in range(len(is_ascii)):
        byte, character = borders[row], 0
        for index in range(offsets[row], offsets[row + 1]):
            target = positions[index]
            if is_ascii[row]:
                in_bytes[index] = borders[row] + target
                continue
            while character < target:
                byte += 1
                # A byte 10xxxxxx continues a character.
                while byte < borders[row + 1] and data[byte] & 0xC0 == 0x80:
                    byte += 1
                character += 1
            in_bytes[index] = byte


def character_positions(texts: pa.Array, positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Converts positions in the byte buffer of all texts to positions in characters, as `byte_positions` the other way.

    Args:
        texts: large_string [n] without nulls.
        positions: int64, where characters of the text begin or end, ascending within a text.
        offsets: into `positions`, int64 [n + 1].

    Returns:
        int64 [positions], from the beginning of each text.
    """
    borders, data = text_buffers(texts)
    in_characters = np.empty(len(positions), np.int64)
    _count_characters(data, borders, positions, offsets, in_characters)
    return in_characters


@numba.njit(cache=True, nogil=True)
def _count_characters(
    data: np.ndarray, borders: np.ndarray, positions: np.ndarray, offsets: np.ndarray, in_characters: np.ndarray
) -> None:
    for row in range(len(offsets) - 1):
        byte, character = borders[row], 0
        for index in range(offsets[row], offsets[row + 1]):
            while byte < positions[index]:
                character += data[byte] & 0xC0 != 0x80
                byte += 1
            in_characters[index] = character
