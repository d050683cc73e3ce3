"""Spans of a text in characters -> the tokens that are trained, through bytes.

```
text            H  é  (  l  <X>  l  o          <X> names a special token: `special_spans` 4, 7
bytes           0  1  3  4  5  6  7  8  9  10
elements        [ H é ( l ][<X>][ l o ]        texts between special tokens are tokenized on their own
tokens            H  é( l   X     lo
loss_spans      2, 4 and 8, 9                  "(l" and "o"
trained           0  1  1   0     1            tokens with a byte in a span, so also those that straddle its border
masked            0,1 3,4                      ranges of the other tokens
loss_weights    2, 0.5                       one for each loss span
weighed           1,3 4,5                      ranges of trained tokens of another weight than 1
range_weights     2   0.5                      a token of several spans has the largest of their weights
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
    list_lengths,
    span_lists,
    text_buffers,
    texts_of,
    weight_lists,
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
        weights: float64 [tokens], of the tokens that count, 1 where no span says otherwise; without weights empty.
        unknown: int64, documents whose tokens' bytes differ from the text's; their flags mean nothing.
    """

    flags: np.ndarray
    weights: np.ndarray
    unknown: np.ndarray


def find_trained(
    elements: Elements,
    texts: pa.Array,
    loss_spans: pa.Array,
    ids: np.ndarray,
    offsets: np.ndarray,
    token_bytes: TokenBytes,
    loss_weights: pa.Array | None = None,
) -> Trained:
    """Finds the tokens with a byte in a span.

    Args:
        elements: from `cut_texts`.
        texts: large_string [n] without nulls.
        loss_spans: as in `byline.schemas.documents` [n]; null means that all tokens are trained.
        ids: tokens of all elements in order; a name that is not empty is one token.
        offsets: of each element's tokens, int64 [elements + 1].
        token_bytes: of the tokenizer.
        loss_weights: as in `byline.schemas.documents` [n], where the texts have such.
    """
    flags = np.ones(len(ids), np.uint8)
    has_spans = loss_spans.is_valid().to_numpy(zero_copy_only=False)
    span_weights, weights = np.ones(0), np.ones(0)
    if loss_weights is not None:
        span_weights = _span_weights(loss_spans, loss_weights)
        of_texts = np.ones(len(texts))
        is_whole = ~has_spans & loss_weights.is_valid().to_numpy(zero_copy_only=False)
        of_texts[is_whole] = loss_weights.filter(pa.array(is_whole)).flatten().to_numpy()
        weights = np.repeat(of_texts, np.diff(document_offsets(elements, offsets)))
    if not has_spans.any():
        return Trained(flags, weights, np.zeros(0, np.int64))
    spans, firsts = flat_lists(loss_spans)
    borders, data = text_buffers(elements.texts)
    is_known = np.ones(len(texts), bool)
    begin = borders[0]
    _mark(
        words_at(data[begin : borders[-1]]), borders - begin, elements.firsts, elements.is_name,
        has_spans, byte_positions(texts, spans, firsts) - begin, firsts,
        ids, offsets, *token_bytes, span_weights,
        flags, weights, is_known,
    )  # fmt: skip
    return Trained(flags, weights, np.flatnonzero(~is_known))


def _span_weights(loss_spans: pa.Array, loss_weights: pa.Array) -> np.ndarray:
    """float64 [spans]: the weight of each loss span of all texts."""
    weights = np.ones(int(list_lengths(loss_spans).sum()) // 2)
    is_weighed = loss_spans.is_valid().to_numpy(zero_copy_only=False)
    is_weighed &= loss_weights.is_valid().to_numpy(zero_copy_only=False)
    of_weighed = np.repeat(is_weighed, list_lengths(loss_spans) // 2)
    weights[of_weighed] = loss_weights.filter(pa.array(is_weighed)).flatten().to_numpy()
    return weights


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
    span_weights: np.ndarray,
    flags: np.ndarray,
    weights: np.ndarray,
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
                if flags[index] and len(span_weights) > 0:
                    weights[index] = span_weights[span // 2]
                    for other in range(span + 2, last_span, 2):
                        if spans[other] >= end:
                            break
                        if spans[other + 1] > spans[other]:
                            weights[index] = max(weights[index], span_weights[other // 2])
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
    starts, ends = _runs(flags, offsets)
    is_masked = flags[starts] == 0
    return _ranges(starts[is_masked], ends[is_masked], offsets)[0]


def weighed_ranges(flags: np.ndarray, weights: np.ndarray, offsets: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """The columns `weighed` and `range_weights`: trained tokens of another weight than 1, each range as long as can be.

    Args:
        flags: uint8 [tokens], 1 for trained tokens.
        weights: float64 [tokens].
        offsets: of the documents' tokens, int64 [n + 1].
    """
    weights = np.where(flags != 0, weights, 1.0)
    starts, ends = _runs(weights, offsets)
    is_weighed = weights[starts] != 1
    ranges, rows = _ranges(starts[is_weighed], ends[is_weighed], offsets)
    return ranges, weight_lists(rows, weights[starts[is_weighed]], len(offsets) - 1)


def _runs(values: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where stretches of equal values in one document begin and end; int64 each."""
    is_first = np.ones(len(values) + 1, bool)
    is_first[1:-1] = values[1:] != values[:-1]
    is_first[offsets] = True
    borders = np.flatnonzero(is_first)
    return borders[:-1], borders[1:]


def _ranges(starts: np.ndarray, ends: np.ndarray, offsets: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Stretches of tokens of all documents as ranges in each, and the document of each (int64)."""
    rows = np.searchsorted(offsets, starts, side="right") - 1
    return span_lists(rows, starts - offsets[rows], ends - offsets[rows], len(offsets) - 1), rows


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
