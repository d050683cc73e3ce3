"""A sample of the documents of all sources, exchanged through files: those of lowest shuffle key.

```
draw_files   files of each source, by hash     web: 3 of 40,000 files, shuffle keys up to 0x0fff...   wiki: 1 of 12, ...
TakeSample   such a file -> WORK/sample/<run>  shuffle_key  row  text
ranks        by a hash of the shuffle key      file 1, document 0    file 0, document 7    ...
```

Each source has its share of the sample. Files are read that have sixteen times as many documents as are wanted, so that
a large corpus is not read twice, and neighbours in a file are far apart. The bound lets a few more through than are
wanted, as how many are below it is chance; ranks cut them off. In the order of ranks nothing is told of documents, so
that any first ones are a sample of the sample.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from byline.schemas.documents import ROW, info_of
from byline.splitmix import splitmix64
from byline.transforms.attributes.batch_files import read_batch, write_batch
from byline.transforms.attributes.clusters.features import Features, features_of
from byline.transforms.attributes.clusters.words import shortened
from byline.transforms.attributes.stored_documents import Reading, StoredFile, stored_documents
from byline.transforms.attributes.values import parts_uri
from byline.transforms.documents.list_copying import copy_lists
from byline.transforms.documents.shuffle_keys import shuffle_keys
from byline.transforms.files.storage import side_by_side

_SCHEMA = pa.schema([pa.field("shuffle_key", pa.uint64()), ROW, pa.field("text", pa.large_string())])
_HIGHEST = (1 << 64) - 1
# Documents that are read for each one of the sample, at least.
_READ_A_DOCUMENT = 16


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


def draw_files(files: Iterable[StoredFile], wanted: int) -> tuple[list[StoredFile], dict[str, int]]:
    """The files to read for so many documents, and for each source the highest shuffle key to take from them."""
    by_source: dict[str, list[StoredFile]] = {}
    for file in files:
        by_source.setdefault(file.file.source, []).append(file)
    total = sum(_documents(file) for of_source in by_source.values() for file in of_source)
    drawn, highest = list[StoredFile](), dict[str, int]()
    for source, of_source in sorted(by_source.items()):
        share = -(-wanted * sum(map(_documents, of_source)) // max(total, 1))
        count = 0
        for file in sorted(of_source, key=_file_order):
            if count >= _READ_A_DOCUMENT * share:
                break
            drawn.append(file)
            count += _documents(file)
        highest[source] = highest_shuffle_key(share, count)
    return sorted(drawn, key=lambda file: (file.file.source, file.file.path)), highest


def _documents(file: StoredFile) -> int:
    return sum(chunk.info.rows for chunk in file.chunks)


def _file_order(file: StoredFile) -> tuple[int, str]:
    # The first document's shuffle key is a hash of the file.
    return int(shuffle_keys(file.file.source, file.file.path, np.zeros(1, np.int64))[0]), file.file.path


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
        highest: for each source, of `draw_files`.
        folder: where they go.
    """

    reading: Reading
    highest: Mapping[str, int]
    folder: str

    def __call__(self, line: str) -> None:
        """Works on one input file."""
        for batch in stored_documents(StoredFile.from_json(line), self.reading):
            info = info_of(batch)
            below = batch["shuffle_key"].to_numpy() <= np.uint64(self.highest[info.source])
            taken = batch.select(_SCHEMA.names).filter(pa.array(below))
            columns = [taken["shuffle_key"], taken["row"], shortened(taken["text"])]
            uri = parts_uri(self.folder, info.source, info.path, info.chunk)
            write_batch(uri, pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))


def read_features(uris: Sequence[str], bits: int, most: int) -> tuple[Ranks, Features]:
    """The documents of lowest rank, `most` at most, and their features in 2^bits buckets.

    Args:
        uris: of the sample's files, in order of source, path and chunk.
        bits: the binary logarithm of the buckets.
        most: documents.
    """

    def read(uri: str) -> tuple[np.ndarray, np.ndarray, Features]:
        batch = read_batch(uri)
        return batch["shuffle_key"].to_numpy().copy(), batch["row"].to_numpy().copy(), features_of(batch["text"], bits)

    read_files = side_by_side(read, uris)
    keys = _joined([keys for keys, _, _ in read_files], np.uint64)
    rows = _joined([rows for _, rows, _ in read_files], np.int64)
    files = np.repeat(np.arange(len(uris)), np.array([len(keys) for keys, _, _ in read_files], np.int64))
    documents = _joined([np.arange(len(keys)) for keys, _, _ in read_files], np.int64)
    # Hashed, as sources may have different bounds, and the lowest shuffle keys would be those of some.
    order = np.lexsort((rows, files, splitmix64(keys)))[:most]
    features = _ordered([of_file for _, _, of_file in read_files], order)
    return Ranks(files[order], documents[order], rows[order]), features


def read_texts(uris: Sequence[str], ranks: Ranks) -> pa.Array:
    """The texts of documents of the sample, large_string [n], in order of rank."""
    order = np.lexsort((ranks.documents, ranks.files))
    borders = np.searchsorted(ranks.files[order], np.arange(len(uris) + 1)).tolist()

    def read(number: int) -> pa.Array:
        documents = ranks.documents[order[borders[number] : borders[number + 1]]]
        return read_batch(uris[number])["text"].take(pa.array(documents))

    wanted = np.unique(ranks.files).tolist()
    texts = pa.chunked_array(side_by_side(read, wanted), pa.large_string()).combine_chunks()
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return texts.take(pa.array(back))


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
