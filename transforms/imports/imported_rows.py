"""The samples of one shard as its rows: checked, with doc ids that name where each segment comes from.

```
file 3 of _inputs.ipc   sample 2, L = 8   segment [0, 5]          doc id  3 * 2^32 + 2 * 8 + 0
                                          segment [5, 8]                  3 * 2^32 + 2 * 8 + 5
                                          padding at its end              -1
```

Padding is told by what a sample ends with: a segment that is the pad token throughout and counts nowhere in the loss.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.schemas.ledger import DrawCounts
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.shards import PADDING_DOC_ID
from byline.transforms.imports.import_kind import Samples
from byline.transforms.shards.shard_writing import SegmentLists, row_batch, rows_per_batch


@dataclass(frozen=True)
class ImportedRows:
    """Rows of one shard, in order.

    Attributes:
        ids: int32 or uint16 [n, L].
        mask: uint8 [n, L].
        lists: their segments.
        domains: the domain that samples name -> how many do.
    """

    ids: np.ndarray
    mask: np.ndarray
    lists: SegmentLists
    domains: dict[str, int]

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The record batches of the shard."""
        step = rows_per_batch(self.ids.shape[1], self.ids.dtype.name)
        for first in range(0, len(self.ids), step):
            rows = slice(first, first + step)
            yield row_batch(self.ids[rows], self.mask[rows], first, self.lists, schema)

    @property
    def padding(self) -> int:
        """Positions of padding."""
        return int(self.lists.lengths[self.lists.doc_ids == PADDING_DOC_ID].sum())

    def counts(self, tokenizer: TokenizerInfo) -> DrawCounts:
        """What the rows hold; see `segment_counts`."""
        return segment_counts(self.ids, self.mask, self.lists.lengths, self.lists.doc_ids, tokenizer)


def segment_counts(
    ids: np.ndarray, mask: np.ndarray, lengths: np.ndarray, doc_ids: np.ndarray, tokenizer: TokenizerInfo
) -> DrawCounts:
    """What rows hold, each segment a document.

    BOS at the head of a segment and EOS at its end are special tokens, what else is masked is counted as prefix, and a
    segment whose first token is masked as conditioned.

    Args:
        ids: [n, L].
        mask: uint8 [n, L].
        lengths, doc_ids: [S], of all segments.
        tokenizer: special ids.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    own = doc_ids != PADDING_DOC_ID
    heads, lasts = (ends - lengths)[own], ends[own] - 1
    flat, trained = ids.reshape(-1), mask.reshape(-1) != 0
    special = np.zeros(0, np.int64)
    for positions, token in ((heads, tokenizer.bos_id), (lasts, tokenizer.eos_id)):
        if token is not None:
            special = np.union1d(special, positions[flat[positions] == token])
    positions, loss = int(lengths[own].sum()), int(trained.sum())
    # Padding counts nowhere in the loss.
    prefix = positions - loss - int((~trained[special]).sum())
    return DrawCounts(
        documents=len(heads),
        tokens=positions - prefix - len(special),
        prefix_tokens=prefix,
        special_tokens=len(special),
        positions=positions,
        loss_tokens=loss,
        conditioned=int((~trained[heads]).sum()),
    )


def rows_of(parts: Sequence[tuple[int, Samples]], tokenizer: TokenizerInfo, ids: str, length: int) -> ImportedRows:
    """The rows of a shard.

    Args:
        parts: its files, each with its number in doc ids.
        tokenizer: special ids and the size of the vocabulary.
        ids: `int32` or `uint16`.
        length: L.

    Raises:
        BylineError: a token is not in the vocabulary; it names file and sample.
    """
    for _, samples in parts:
        _check_ids(samples, tokenizer)
    doc_ids = [_doc_ids(number, samples, tokenizer.pad_id) for number, samples in parts]
    segments = _joined([samples.segments for _, samples in parts], np.int64)
    joined = _joined(doc_ids, np.int64)
    lists = SegmentLists(
        offsets=np.append(0, np.cumsum(segments)),
        lengths=_joined([samples.lengths for _, samples in parts], np.int32),
        doc_ids=joined,
        doc_offsets=np.zeros(len(joined), np.int32),
    )
    nothing = np.zeros((0, length), np.uint8)
    return ImportedRows(
        ids=np.concatenate([nothing, *(samples.ids for _, samples in parts)], dtype=ids, casting="unsafe"),
        mask=np.concatenate([nothing, *(samples.mask for _, samples in parts)]),
        lists=lists,
        domains=summed_domains(samples.domains for _, samples in parts),
    )


def summed_domains(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The domain that samples name -> how many of all parts do, in order of name."""
    domains = Counter[str]()
    for part in parts:
        domains.update(part)
    return dict(sorted(domains.items()))


def _joined(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype, copy=False)


def _check_ids(samples: Samples, tokenizer: TokenizerInfo) -> None:
    ids, size = samples.ids, tokenizer.vocab_size
    if ids.size and (int(ids.max()) >= size or int(ids.min()) < 0):
        wrong = (ids >= size) | (ids < 0)

        def first(sample: int) -> str:
            position = int(wrong[sample].argmax())
            return (
                f"token {ids[sample, position]} at position {position} is none of the {size:,} of the vocabulary; name "
                "the tokenizer that made it"
            )

        samples.refuse(np.asarray(wrong.any(axis=1)), first)


def _doc_ids(number: int, samples: Samples, pad_id: int) -> np.ndarray:
    """The doc id of each segment, int64 [S]; the only segment of a row is never padding."""
    length = samples.ids.shape[1]
    ends = np.cumsum(samples.lengths, dtype=np.int64)
    doc_ids = (number << 32) + ends - samples.lengths
    # Only a row whose last token is one of padding can end with a segment of it.
    ends_padded = (samples.ids[:, -1] == pad_id) & (samples.mask[:, -1] == 0)
    padded = np.flatnonzero(ends_padded & (samples.segments > 1))
    lasts = np.cumsum(samples.segments)[padded] - 1
    is_padding = (samples.ids[padded] == pad_id) & (samples.mask[padded] == 0)
    # How many positions from a row's end on are all of padding.
    tail = np.where(is_padding.all(axis=1), length, (~is_padding[:, ::-1]).argmax(axis=1))
    doc_ids[lasts[samples.lengths[lasts] <= tail]] = PADDING_DOC_ID
    return doc_ids
