"""Documents -> the columns of the attribute, and what is counted of them.

```
row  text                     evals  evals_overlap  evals_sets  evals_ranges (of tokens)
0    Natalia sold 48 ...      true   0.93           arc+gsm8k   [3, 41]
2    Knead the dough ...      false  0              null        null
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pyarrow as pa

from byline.transforms.attributes.contamination.ngram_file import NgramSets
from byline.transforms.attributes.contamination.overlaps import Overlaps, find_overlaps
from byline.transforms.attributes.joined_names import joined_names
from byline.transforms.attributes.span_tokens import token_ranges
from byline.transforms.documents.text_parts import text_buffers
from byline.transforms.tokens.text_tokenizer import TextTokenizer

# The words of this much text stay in cache while the table is looked up.
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Marked:
    """What is known of the documents [n] of a batch.

    Attributes:
        columns: as `ContaminationAttribute` has them, n rows.
        documents: int64 [sets], documents with an n-gram of each set.
        ngrams: int64, the n-grams that occur, ascending.
        ngram_documents: int64 [len(ngrams)], the documents that each occurs in.
    """

    columns: dict[str, pa.Array]
    documents: np.ndarray
    ngrams: np.ndarray
    ngram_documents: np.ndarray


def mark_documents(
    batch: pa.RecordBatch,
    name: str,
    ngrams: NgramSets,
    set_names: Sequence[str],
    least: Fraction,
    tokenizer: TextTokenizer,
) -> Marked:
    """Finds the overlaps of documents and makes the columns.

    Args:
        batch: documents [n] of `stored_documents`.
        name: of the attribute.
        ngrams: of the evaluation items.
        set_names: of the sets, sorted.
        least: the share of its words from which on a document is contaminated.
        tokenizer: the one of the token store.
    """
    overlaps = _in_blocks(batch["text"], ngrams)
    occurs = np.diff(overlaps.offsets) > 0
    contaminated = occurs & (overlaps.covered * least.denominator >= overlaps.words * least.numerator)
    rows = np.repeat(np.arange(batch.num_rows), np.diff(overlaps.offsets))
    by_set = np.unique(_expanded(rows, overlaps.matches, ngrams), axis=0)
    distinct = np.unique(np.stack([overlaps.matches, rows], axis=1), axis=0)[:, 0]
    numbers, counts = np.unique(distinct, return_counts=True)
    columns = {
        name: pa.array(contaminated),
        f"{name}_overlap": pa.array((overlaps.covered / np.maximum(overlaps.words, 1)).astype(np.float32)),
        f"{name}_sets": joined_names(by_set, set_names, batch.num_rows),
        f"{name}_ranges": token_ranges(batch, overlaps.ranges, tokenizer),
    }
    documents = np.bincount(by_set[:, 1], minlength=len(set_names))
    return Marked(columns, documents, numbers, counts)


def _in_blocks(texts: pa.Array, ngrams: NgramSets) -> Overlaps:
    """The overlaps of all documents, of some at a time."""
    borders, _ = text_buffers(texts)
    blocks = (borders - borders[0]) // _BLOCK_BYTES
    cuts = [0, *(np.flatnonzero(np.diff(blocks[:-1])) + 1).tolist(), len(texts)]
    parts = [find_overlaps(texts.slice(low, high - low), ngrams.table) for low, high in pairwise(cuts)]
    starts = np.cumsum([0, *(len(part.matches) for part in parts)])
    offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
    return Overlaps(
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.covered for part in parts]),
        pa.concat_arrays([part.ranges for part in parts]),
        np.concatenate([part.matches for part in parts]),
        np.concatenate([*offsets, starts[-1:]]),
    )


def _expanded(rows: np.ndarray, matches: np.ndarray, ngrams: NgramSets) -> np.ndarray:
    """int64 [pairs, 2]: document and set, for each set of each match."""
    counts = np.diff(ngrams.offsets)[matches]
    first = np.repeat(ngrams.offsets[matches] - np.cumsum(counts) + counts, counts)
    return np.stack([np.repeat(rows, counts), ngrams.sets[first + np.arange(counts.sum())]], axis=1)
