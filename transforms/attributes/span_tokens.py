"""Ranges of characters of documents -> ranges of their tokens, for masking.

```
text      the quick fox        ranges  5, 7 ("ui")  and 9, 9 (empty)
tokens    the   Ġquick   Ġfox
in range   0      1       0            a token with a byte in a range is in it, so also one that straddles a border
ranges           [1, 2]                in tokens; null for a document without ranges, [] for one with empty ones alone
```

A formatter's loss spans say what is trained, ranges here what is *not*; both take the tokens with a byte inside, and so
differ at a token that straddles a border. It is trained where a loss span has a part of it, so that no answer loses its
beginning; it is masked where a range has a part of it, so that nothing of a secret or of a test is trained. Ranges must
therefore not be turned into the loss spans between them, which would train those tokens. Where a formatter masks, too,
a token is trained if it is in a loss span and in no range:

```
text                 Q: a  A: b c                       tokens      Q: Ġa ĠA: Ġb Ġc
loss spans           9, 12  ("b c")                     trained      0  0  0   1  1
ranges               11, 12 ("c")                       in range     0  0  0   0  1
                                                        in the loss  0  0  0   1  0
```

The same machinery finds both (`byline.transforms.tokens.loss_spans`): by the tokens' bytes, and by the offsets of
`tokenizers` for documents whose text these do not spell, as of WordPiece, Unigram, or with a normalizer. Only documents
with ranges are tokenized. Their tokens are those of the token store: the same text, special spans and tokenizer.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.documents import LOSS_SPANS, ROW, SPANS_TYPE, SPECIAL_SPANS, TEXT, info_of
from byline.transforms.documents.text_parts import characters, flat_lists, list_lengths, span_lists
from byline.transforms.tokens.loss_spans import masked_ranges
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from byline.transforms.tokens.tokenizing import tokens_in_spans


def token_ranges(batch: pa.RecordBatch, ranges: pa.Array, tokenizer: TextTokenizer) -> pa.Array:
    """Finds the tokens with a byte in a range.

    Args:
        batch: documents [n] with `row` and `text`, `special_spans` where their source is formatted, and `num_tokens`
            where it is known how many tokens each has in the token store, to hold this against.
        ranges: list<int32> [n]: start, end, ... in characters (code points) of the text, ascending and apart, as
            `joined_ranges` makes them; null or an empty list for documents without.
        tokenizer: the one that the token store was made with.

    Returns:
        list<int32> [n]: start, end, ... in tokens, ascending, apart; null for a document without ranges.

    Raises:
        BylineError: a range is not in its text, the two libraries disagree about a document, a special span names no
            token, or a document has not as many tokens as in the token store.
    """
    rows = np.flatnonzero(list_lengths(ranges))
    chosen = pa.array(rows)
    numbers, texts, loss = batch["row"].take(chosen), batch["text"].take(chosen), ranges.take(chosen).cast(SPANS_TYPE)
    borders, offsets = flat_lists(loss)
    documents = np.repeat(np.arange(len(rows)), np.diff(offsets) // 2)
    where = file_of(batch)
    check_ranges(where, numbers, texts, documents, borders[::2], borders[1::2])
    has_special = "special_spans" in batch.schema.names
    special = batch["special_spans"].take(chosen) if has_special else pa.nulls(len(rows), SPANS_TYPE)
    marked = pa.RecordBatch.from_arrays(
        [numbers, texts, loss, special],
        schema=pa.schema([ROW, TEXT, LOSS_SPANS, SPECIAL_SPANS], batch.schema.metadata),
    )
    tokens = tokens_in_spans(marked, tokenizer)
    if "num_tokens" in batch.schema.names:
        _check_counts(where, numbers, np.diff(tokens.offsets), batch["num_tokens"].to_numpy()[rows])
    # What `masked_ranges` finds are the tokens that have a 0.
    return _at_rows(masked_ranges(1 - tokens.flags, tokens.offsets), rows, batch.num_rows)


def _check_counts(where: str, numbers: pa.Array, counts: np.ndarray, stored: np.ndarray) -> None:
    wrong = np.flatnonzero(counts != stored)
    if len(wrong):
        at = wrong[0]
        raise BylineError(
            f"{where}row {numbers[at]}: its text has {counts[at]:,} tokens, and {stored[at]:,} in the token store, so "
            "ranges of them would be others; the file, or what formats it, has changed: run `byline prepare`"
        )


def file_of(batch: pa.RecordBatch) -> str:
    """The file of a batch, for messages about a row of it."""
    info = info_of(batch)
    return f"{info.path} of source {info.source}, " if info.path else ""


def check_ranges(
    where: str, numbers: pa.Array, texts: pa.Array, rows: np.ndarray, starts: np.ndarray, stops: np.ndarray
) -> None:
    """Raises a `BylineError` that names the first range that is not in its text, and the document.

    Args:
        where: their file, of `file_of`.
        numbers: `row` of each document.
        texts: large_string [n] without nulls.
        rows: the document of each range, int64 [ranges].
        starts, stops: in characters, int64 [ranges].
    """
    lengths = characters(texts)[rows]
    wrong = np.flatnonzero((starts < 0) | (stops < starts) | (stops > lengths))
    if len(wrong):
        at = wrong[0]
        raise BylineError(
            f"{where}row {numbers[rows[at]]}: the range of characters {starts[at]} to {stops[at]} is not in its text "
            f"of {lengths[at]:,} characters; expected 0 <= start <= stop <= {lengths[at]}, in Unicode code points"
        )


def joined_ranges(rows: np.ndarray, starts: np.ndarray, stops: np.ndarray, num_rows: int) -> pa.Array:
    """The union of the ranges of each document, which may be in any order and overlap.

    Args:
        rows: the document of each range, int64 [ranges].
        starts, stops: in characters, int64 [ranges]; an empty range is left out.
        num_rows: documents.

    Returns:
        list<int32> [num_rows]: start, stop, ... ascending and apart.
    """
    keep = starts < stops
    order = np.lexsort((stops[keep], starts[keep], rows[keep]))
    rows, starts, stops = (values[keep][order] for values in (rows, starts, stops))
    if len(rows) == 0:
        return span_lists(rows, starts, stops, num_rows)
    # Ends as of now, row by row: rows are kept apart by more than any text has characters.
    reach = np.maximum.accumulate(stops + (rows << 32))
    begins = np.concatenate([[True], starts[1:] + (rows[1:] << 32) > reach[:-1]])
    last = np.concatenate([np.flatnonzero(begins)[1:] - 1, [len(rows) - 1]])
    return span_lists(rows[begins], starts[begins], reach[last] - (rows[begins] << 32), num_rows)


def _at_rows(lists: pa.Array, rows: np.ndarray, num_rows: int) -> pa.Array:
    """A column with the lists in those rows, null in the others."""
    numbers = np.full(num_rows, -1, np.int64)
    numbers[rows] = np.arange(len(rows))
    return pc.take(lists, pa.array(numbers, mask=numbers < 0))
