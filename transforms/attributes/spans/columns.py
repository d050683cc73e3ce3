"""Spans of the documents of a chunk -> the columns of the attribute.

```
document  start  stop  label         row  secrets  secrets_ranges  secrets_labels
0         20     31    ip            3    true     [1, 4, 9, 12]   email+ip
0         3      9     email         7    false    null            null              an empty span alone
1         4      4     email
```
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.transforms.attributes.joined_names import joined_names
from byline.transforms.attributes.span_tokens import check_ranges, file_of, joined_ranges, token_ranges
from byline.transforms.documents.text_parts import list_lengths
from byline.transforms.tokens.text_tokenizer import TextTokenizer


def span_columns(
    name: str,
    batch: pa.RecordBatch,
    rows: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    labels: pa.Array | None,
    tokenizer: TextTokenizer,
) -> dict[str, pa.Array]:
    """The columns of documents with spans.

    Args:
        name: of the attribute.
        batch: documents [n] of `stored_documents`.
        rows: the document of each span, int64 [spans], from 0 to n - 1, in any order.
        starts, stops: in characters, int64 [spans].
        labels: large_string [spans]; None if there are none.
        tokenizer: the one of the token store.

    Raises:
        BylineError: a span is not in its text; or as `token_ranges`.
    """
    check_ranges(file_of(batch), batch["row"], batch["text"], rows, starts, stops)
    ranges = joined_ranges(rows, starts, stops, batch.num_rows)
    columns = {
        name: pa.array(list_lengths(ranges) > 0),
        f"{name}_ranges": token_ranges(batch, ranges, tokenizer),
    }
    if labels is not None:
        columns[f"{name}_labels"] = _joined_labels(rows, labels, starts < stops, batch.num_rows)
    return columns


def _joined_labels(rows: np.ndarray, labels: pa.Array, counts: np.ndarray, num_rows: int) -> pa.Array:
    """The labels of each document, of the spans that count (bool [spans])."""
    keep = counts & labels.is_valid().to_numpy(zero_copy_only=False)
    encoded = labels.filter(pa.array(keep)).dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    pairs = np.stack([rows[keep], ranks[encoded.indices.to_numpy()]], axis=1)
    return joined_names(pairs, encoded.dictionary.take(pa.array(order)).to_pylist(), num_rows)
