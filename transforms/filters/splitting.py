"""Splitting texts into words and lines, in one pass over the bytes of many documents.

```
text     "One  two\\r\\n \\n- three..."
words    One | two | - | three...        between white space (str.isspace), as by str.split
lines    One  two | - three...           between \\n, stripped, without blank ones
starts   True       True                 lines that begin a paragraph: the first, and those behind a blank line
```

Positions are bytes of the buffer that all documents share, so nothing is copied.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from byline.transforms.documents.white_space import BYTE_KINDS, MAYBE_SPACE, SPACE, WORD, space_length, strip

_LINE_END = ord("\n")
_ZERO, _ONE = np.uint64(0), np.uint64(1)


class Spans(NamedTuple):
    """Words or lines of documents.

    Attributes:
        begins, ends: int64 [spans], bytes of the texts' buffer.
        lengths: int64 [spans], characters.
        offsets: int64 [documents + 1], the spans of each document.
    """

    begins: np.ndarray
    ends: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """int64 [documents]: how many each document has."""
        return np.diff(self.offsets)

    @property
    def characters(self) -> np.ndarray:
        """int64 [documents]: characters of all spans of each document."""
        total = np.concatenate([[0], np.cumsum(self.lengths)])
        return total[self.offsets[1:]] - total[self.offsets[:-1]]


@njit(nogil=True, cache=True, forceinline=True)
def _wide_space(data: np.ndarray, at: int, end: int) -> int:
    """The same, all uint64: numba tests a signed index for being negative."""
    return np.uint64(space_length(data, np.int64(at), np.int64(end)))


@njit(nogil=True, cache=True)
def _characters(data: np.ndarray, begin: int, end: int) -> int:
    count = 0
    for at in range(begin, end):
        count += data[at] & 0xC0 != 0x80
    return count


@njit(nogil=True, cache=True)
def _fill_words(data: np.ndarray, offsets: np.ndarray, spans: np.ndarray, firsts: np.ndarray) -> int:
    """Fills rows begin, end, length of `spans` and the documents' first words; returns the number of words."""
    used = _ZERO
    for row in range(len(offsets) - 1):
        firsts[row] = used
        at, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        while at < end:
            kind = BYTE_KINDS[data[at]]
            size = _ZERO if kind == WORD else _ONE if kind == SPACE else _wide_space(data, at, end)
            if size > _ZERO:
                at += size
                continue
            begin, more = at, _ZERO  # `more`: bytes that begin no character
            while at < end:
                kind = BYTE_KINDS[data[at]]
                if kind == SPACE or (kind == MAYBE_SPACE and _wide_space(data, at, end) > _ZERO):
                    break
                more += np.uint64(data[at] & 0xC0 == 0x80)
                at += _ONE
            spans[0, used], spans[1, used], spans[2, used] = begin, at, at - begin - more
            used += _ONE
    firsts[-1] = used
    return used


def split_words(data: np.ndarray, offsets: np.ndarray) -> Spans:
    """The words of each document.

    Args:
        data, offsets: uint8 and int64 [documents + 1], the buffers of an Arrow large_string array.
    """
    # A word is followed by at least a byte of white space. Pages that are not filled are not touched and cost nothing.
    spans = np.empty((3, int(offsets[-1] - offsets[0]) // 2 + len(offsets) + 1), np.int64)
    firsts = np.empty(len(offsets), np.int64)
    used = _fill_words(data, offsets, spans, firsts)
    return Spans(spans[0, :used], spans[1, :used], spans[2, :used], firsts)


@njit(nogil=True, cache=True)
def _fill_lines(
    data: np.ndarray,
    offsets: np.ndarray,
    line_ends: np.ndarray,
    spans: np.ndarray,
    starts: np.ndarray,
    firsts: np.ndarray,
) -> int:
    """As `_fill_words`; `line_ends` is where all of them are, `starts` which lines begin a paragraph."""
    used, following = 0, 0
    for row in range(len(offsets) - 1):
        firsts[row] = used
        at, end, is_first = offsets[row], offsets[row + 1], True
        while at < end:
            stop = end
            if following < len(line_ends) and line_ends[following] < end:
                stop = line_ends[following]
                following += 1
            first, last = strip(data, at, stop)
            if first < last:
                spans[0, used], spans[1, used], spans[2, used] = first, last, _characters(data, first, last)
                starts[used] = is_first
                used += 1
            is_first = first >= last or used == firsts[row]
            at = stop + 1
    firsts[-1] = used
    return used


def split_lines(data: np.ndarray, offsets: np.ndarray) -> tuple[Spans, np.ndarray]:
    """The lines of each document that are not blank, and which of them begin a paragraph (bool [lines]).

    Args:
        data, offsets: as `split_words` takes them.
    """
    line_ends = np.flatnonzero(data[offsets[0] : offsets[-1]] == _LINE_END) + offsets[0]
    most = len(line_ends) + len(offsets) - 1
    spans, starts = np.empty((3, most), np.int64), np.empty(most, np.bool_)
    firsts = np.empty(len(offsets), np.int64)
    used = _fill_lines(data, offsets, line_ends, spans, starts, firsts)
    return Spans(spans[0, :used], spans[1, :used], spans[2, :used], firsts), starts[:used]


def join_paragraphs(data: np.ndarray, lines: Spans, starts: np.ndarray) -> Spans:
    """Paragraphs: consecutive lines without a blank line between them."""
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(starts)) - 1 if len(first) else first
    begins, ends = lines.begins[first], lines.ends[last]
    offsets = np.searchsorted(first, lines.offsets)
    return Spans(begins, ends, _span_lengths(data, begins, ends), offsets)


@njit(nogil=True, cache=True)
def _span_lengths(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    lengths = np.empty(len(begins), np.int64)
    for span in range(len(begins)):
        lengths[span] = _characters(data, begins[span], ends[span])
    return lengths
