"""A sample of the documents of all sources, exchanged through files: those of lowest shuffle key.

```
TakeSample   an input file -> WORK/sample/<run>   shuffle_key  row  text        those below a bound
ranks        by shuffle key, source, path, row    file 1, document 0    file 0, document 7    ...
```

The bound lets a few more through than are wanted, as how many are below it is chance; ranks cut them off. In the order
of ranks nothing is told of documents, so that any first ones are a sample of the sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from byline.schemas.documents import ROW, info_of
from byline.transforms.attributes.clusters.features import Features, features_of
from byline.transforms.attributes.clusters.words import shortened
from byline.transforms.attributes.stored_documents import Reading, StoredFile, stored_documents
from byline.transforms.attributes.values import parts_uri
from byline.transforms.documents.list_copying import copy_lists
from byline.transforms.files.sealed_files import SealedReader, write_sealed
from byline.transforms.files.storage import side_by_side
from byline.transforms.store.run_pieces import reading_run

_SCHEMA = pa.schema([pa.field("shuffle_key", pa.uint64()), ROW, pa.field("text", pa.large_string())])
_HIGHEST = (1 << 64) - 1


class Ranks(NamedTuple):
    """The documents of a sample, in order of rank.

    Attributes:
        files: int64 [n], the number of each one's file.
        documents: int64 [n], its number in the file.
        rows: int64 [n], its row in its input file.
    """

    files: np.ndarray
    documents: np.ndarray
    rows: np.ndarray


def highest_shuffle_key(wanted: int, total: int) -> int:
    """The shuffle key up to which documents are taken, so that as many as are wanted hardly ever are not."""
    if total <= wanted:
        return _HIGHEST
    # Four standard deviations more.
    return min((wanted + 4 * isqrt(wanted) + 16) * _HIGHEST // total, _HIGHEST)


@dataclass(frozen=True)
class TakeSample:
    """Writes the sampled documents of each chunk of an input file.

    Attributes:
        reading: of the configuration.
        highest: of `highest_shuffle_key`.
        folder: where they go.
    """

    reading: Reading
    highest: int
    folder: str

    def __call__(self, line: str) -> None:
        """Works on one input file."""
        for batch in stored_documents(StoredFile.from_json(line), self.reading):
            info = info_of(batch)
            below = batch["shuffle_key"].to_numpy() <= np.uint64(self.highest)
            taken = batch.select(_SCHEMA.names).filter(pa.array(below))
            columns = [taken["shuffle_key"], taken["row"], shortened(taken["text"])]
            with write_sealed(parts_uri(self.folder, info.source, info.path, info.chunk), _SCHEMA) as writer:
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))


def read_features(uris: Sequence[str], bits: int, most: int) -> tuple[Ranks, Features]:
    """The documents of lowest rank, `most` at most, and their features in 2^bits buckets.

    Args:
        uris: of the sample's files, in order of source, path and chunk.
        bits: the binary logarithm of the buckets.
        most: documents.
    """

    def read(uri: str) -> tuple[np.ndarray, np.ndarray, Features]:
        batch = _read(uri)
        return batch["shuffle_key"].to_numpy().copy(), batch["row"].to_numpy().copy(), features_of(batch["text"], bits)

    read_files = side_by_side(read, uris)
    keys = _joined([keys for keys, _, _ in read_files], np.uint64)
    rows = _joined([rows for _, rows, _ in read_files], np.int64)
    files = np.repeat(np.arange(len(uris)), np.array([len(keys) for keys, _, _ in read_files], np.int64))
    documents = _joined([np.arange(len(keys)) for keys, _, _ in read_files], np.int64)
    order = np.lexsort((rows, files, keys))[:most]
    features = _ordered([of_file for _, _, of_file in read_files], order)
    return Ranks(files[order], documents[order], rows[order]), features


def read_texts(uris: Sequence[str], ranks: Ranks) -> pa.Array:
    """The texts of documents of the sample, large_string [n], in order of rank."""
    order = np.lexsort((ranks.documents, ranks.files))
    borders = np.searchsorted(ranks.files[order], np.arange(len(uris) + 1)).tolist()

    def read(number: int) -> pa.Array:
        documents = ranks.documents[order[borders[number] : borders[number + 1]]]
        return _read(uris[number])["text"].take(pa.array(documents))

    wanted = np.unique(ranks.files).tolist()
    texts = pa.chunked_array(side_by_side(read, wanted), pa.large_string()).combine_chunks()
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return texts.take(pa.array(back))


def _read(uri: str) -> pa.RecordBatch:
    with reading_run(uri):
        reader = SealedReader(uri)
        batch: pa.RecordBatch = reader.read_next()
        reader.finish()
        return batch


def _joined(arrays: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *arrays])


def _ordered(files: Sequence[Features], order: np.ndarray) -> Features:
    """The features of all files' documents in another order."""
    lengths = _joined([np.diff(features.offsets) for features in files], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    borders = np.concatenate([[0], np.cumsum(lengths[order])])
    ordered = []
    for name, kind in (("buckets", np.uint32), ("counts", np.uint8)):
        values = np.empty(borders[-1], kind)
        copy_lists(_joined([getattr(features, name) for features in files], kind), offsets, order, values, 0)
        ordered.append(values)
    return Features(borders, *ordered)
