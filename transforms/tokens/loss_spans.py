"""Spans of a text in characters -> the tokens that are trained, through bytes.

```
text            H  é  (  l  <X>  l  o          <X> names a special token: `special_spans` 4, 7
bytes           0  1  3  4  5  6  7  8  9  10
elements        [ H é ( l ][<X>][ l o ]        texts between special tokens are tokenized on their own
tokens            H  é( l   X     lo
loss_spans      2, 4 and 8, 9                  "(l" and "o"
trained           0  1  1   0     1            tokens with a byte in a span, so also those that straddle its border
masked            0,1 3,4                      ranges of the other tokens
```

A text does not say which of its bytes a token stands for. But if the tokens' bytes, joined, equal the text's, then each
token stands for its own bytes; `find_trained` compares them. Documents for which they differ (the tokenizer is not
byte-level, or a normalizer changed the text) are returned, for the caller to handle.
"""

from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.transforms.documents.text_parts import (
    byte_positions,
    flat_lists,
    span_lists,
    text_buffers,
    texts_of,
)
from byline.transforms.tokens.token_bytes import TokenBytes, stands_at, words_at


class Elements(NamedTuple):
    """Texts cut at their special spans.

    Attributes:
        texts: large_string [elements], document after document, each: text, name, text, name, ..., text.
        firsts: number of each document's first element, int64 [documents + 1].
        is_name: bool [elements], whether it is the name of a token; an empty name is only a cut.
    """

    texts: pa.Array
    firsts: np.ndarray
    is_name: np.ndarray


def cut_texts(texts: pa.Array, special_spans: pa.Array) -> Elements:
    """Cuts texts (large_string without nulls) at their special spans, without a copy."""
    borders, data = text_buffers(texts)
    spans, offsets = flat_lists(special_spans)
    firsts = offsets + np.arange(len(offsets))
    if len(spans) == 0:
        return Elements(texts, firsts, np.zeros(len(texts), bool))
    cuts = np.empty(firsts[-1] + 1, np.int64)
    is_inside = np.ones(len(cuts), bool)
    # A document begins where the previous one ends, so they share a border.
    is_inside[firsts] = False
    cuts[firsts] = borders
    cuts[is_inside] = byte_positions(texts, spans, offsets)
    numbers = np.arange(firsts[-1]) - np.repeat(firsts[:-1], np.diff(firsts))
    return Elements(texts_of(cuts, data), firsts, numbers % 2 == 1)


class Trained(NamedTuple):
    """Which tokens of a batch are trained.

    Attributes:
        flags: uint8 [tokens], 1 where the token counts in the loss.
        unknown: int64, documents whose tokens' bytes differ from the text's; their flags mean nothing.
    """

    flags: np.ndarray
    unknown: np.ndarray


def find_trained(
    elements: Elements,
    texts: pa.Array,
    loss_spans: pa.Array,
    ids: np.ndarray,
    offsets: np.ndarray,
    token_bytes: TokenBytes,
) -> Trained:
    """Finds the tokens with a byte in a span.

    Args:
        elements: from `cut_texts`.
        texts: large_string [n] without nulls.
        loss_spans: as in `byline.schemas.documents` [n]; null means that all tokens are trained.
        ids: tokens of all elements in order; a name that is not empty is one token.
        offsets: of each element's tokens, int64 [elements + 1].
        token_bytes: of the tokenizer.
    """
    flags = np.ones(len(ids), np.uint8)
    has_spans = loss_spans.is_valid().to_numpy(zero_copy_only=False)
    if not has_spans.any():
        return Trained(flags, np.zeros(0, np.int64))
    spans, firsts = flat_lists(loss_spans)
    borders, data = text_buffers(elements.texts)
    is_known = np.ones(len(texts), bool)
    begin = borders[0]
    _mark(
        words_at(data[begin : borders[-1]]), borders - begin, elements.firsts, elements.is_name,
        has_spans, byte_positions(texts, spans, firsts) - begin, firsts,
        ids, offsets, *token_bytes,
        flags, is_known,
    )  # fmt: skip
    return Trained(flags, np.flatnonzero(~is_known))


@numba.njit(cache=True, nogil=True)
def _mark(
    words: np.ndarray,
    borders: np.ndarray,
    elements: np.ndarray,
    is_name: np.ndarray,
    has_spans: np.ndarray,
    spans: np.ndarray,
    span_offsets: np.ndarray,
    ids: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    token_words: np.ndarray,
    token_firsts: np.ndarray,
    flags: np.ndarray,
    is_known: np.ndarray,
) -> None:
    for row in range(len(has_spans)):
        if not has_spans[row]:
            continue
        span, last_span = span_offsets[row], span_offsets[row + 1]
        for element in range(elements[row], elements[row + 1]):
            begin, stop = borders[element], borders[element + 1]
            for index in range(offsets[element], offsets[element + 1]):
                end = stop
                if not is_name[element]:
                    end = begin + sizes[ids[index]]
                    if not begin < end <= stop or not stands_at(
                        words, begin, ids[index], sizes, token_words, token_firsts
                    ):
                        is_known[row] = False
                        break
                # Skip spans that end before the token, and empty ones.
                while span < last_span and (spans[span + 1] <= begin or spans[span + 1] == spans[span]):
                    span += 2
                flags[index] = span < last_span and spans[span] < end
                begin = end
            # An empty name has no token, and ends where it begins.
            if begin != stop:
                is_known[row] = False


def masked_ranges(flags: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """The column `masked`: ranges of tokens that are not trained.

    Args:
        flags: uint8 [tokens], 1 for trained tokens.
        offsets: of the documents' tokens, int64 [n + 1].
    """
    is_masked = flags == 0
    first, last = np.zeros(len(flags) + 1, bool), np.zeros(len(flags) + 1, bool)
    first[offsets[:-1]] = True
    last[offsets[1:][offsets[1:] > 0] - 1] = True
    starts = np.flatnonzero(is_masked & (first[:-1] | ~np.concatenate([[False], is_masked[:-1]])))
    ends = np.flatnonzero(is_masked & (last[:-1] | ~np.concatenate([is_masked[1:], [False]]))) + 1
    rows = np.searchsorted(offsets, starts, side="right") - 1
    return span_lists(rows, starts - offsets[rows], ends - offsets[rows], len(offsets) - 1)


def document_offsets(elements: Elements, offsets: np.ndarray) -> np.ndarray:
    """Offsets of documents' tokens, from those of their elements; both int64."""
    return offsets[elements.firsts]


def names_of(elements: Elements) -> tuple[pa.Array, np.ndarray]:
    """The distinct names of special tokens (large_string), and the number of each element's name, -1 for the others."""
    is_token = elements.is_name & (pc.binary_length(elements.texts).to_numpy(zero_copy_only=False) > 0)
    encoded = elements.texts.filter(pa.array(is_token)).dictionary_encode()
    numbers = np.full(len(is_token), -1, np.int64)
    numbers[is_token] = encoded.indices.to_numpy()
    return encoded.dictionary, numbers


def with_names(
    elements: Elements, name_ids: np.ndarray, values: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Inserts the named tokens between those of the texts.

    Args:
        elements: from `cut_texts`.
        name_ids: the id of each element that names a token, -1 for the others, int64 [elements].
        values: ids of the elements that are not names, in order.
        offsets: of each such element's tokens, int64.

    Returns:
        Ids and offsets of all elements.
    """
    counts = (name_ids >= 0).astype(np.int64)
    counts[~elements.is_name] = np.diff(offsets)
    merged = np.empty(counts.sum(), values.dtype)
    is_name = np.repeat(elements.is_name, counts)
    merged[~is_name] = values
    merged[is_name] = name_ids[name_ids >= 0]
    return merged, np.concatenate([[0], np.cumsum(counts)])
