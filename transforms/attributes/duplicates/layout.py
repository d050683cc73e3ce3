"""What all rounds of duplicates share: how documents are numbered, and where rows about them go.

```
files        (c4, a.json)  (c4, b.json)  (dclm, x.zst)        in order of source and path
document     0 << 32 | 7: row 7 of c4/a.json                  so numbers are in order of source, path and row
sources      c4 1   dclm 2   both 3                           a bit each, in words of 64
```

Rows go by the hash of a text or band, by that of a document, by the pair whose texts are compared, or by the bucket of
a document's file, to be read where that file is worked on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import pyarrow as pa

from byline.schemas.documents import BatchInfo
from byline.splitmix import splitmix64
from byline.transforms.attributes.exchange import partition_of, read_partition
from byline.transforms.attributes.stored_documents import Reading
from byline.transforms.duplicates.deciding import Ranks
from byline.transforms.duplicates.normalizing import Form, coarsest
from byline.transforms.duplicates.presets import Preset
from byline.transforms.files.storage import join
from byline.transforms.store.run_names import run_name

_FILE_BITS = np.uint64(32)
_ROW = np.uint64(2**32 - 1)
_WORD = 64


@dataclass(frozen=True)
class Layout:
    """How the rounds of one attribute work together; picklable.

    Attributes:
        name: of the attribute.
        work: folder of the rows that are exchanged.
        parts: folder of the values.
        reading: of the configuration.
        files: source and path of each input file, in order of their bytes.
        chunks: (source, path, chunk) of all with documents.
        priorities: source -> its priority, the lowest first.
        form: in which texts are equal.
        preset: of near duplicates; None for equal ones alone.
        similarity: from which on documents are near duplicates.
        partitions: of rows about documents; a power of two, as the next two.
        band_partitions: of rows about bands.
        text_partitions: of texts to be compared.
        buckets: of rows that go back to files.
    """

    name: str
    work: str
    parts: str
    reading: Reading
    files: tuple[tuple[str, str], ...]
    chunks: tuple[tuple[str, str, int], ...]
    priorities: Mapping[str, int]
    form: Form
    preset: Preset | None
    similarity: Fraction
    partitions: int
    band_partitions: int
    text_partitions: int
    buckets: int

    @cached_property
    def sources(self) -> list[str]:
        """The names of the sources, sorted."""
        return sorted({source for source, _ in self.files})

    @cached_property
    def _numbers(self) -> dict[tuple[str, str], int]:
        return {file: number for number, file in enumerate(self.files)}

    @cached_property
    def _file_sources(self) -> np.ndarray:
        """int64 [files], the number of each one's source."""
        return np.array([self.sources.index(source) for source, _ in self.files], np.int64)

    @cached_property
    def _file_priorities(self) -> np.ndarray:
        return np.array([self.priorities[source] for source, _ in self.files], np.int64)

    @cached_property
    def with_documents(self) -> frozenset[tuple[str, str, int]]:
        """`chunks` as a set."""
        return frozenset(self.chunks)

    @property
    def compared_form(self) -> Form:
        """Of the texts whose shingles are compared."""
        assert self.preset is not None
        return coarsest(self.form, self.preset.form)

    def file_number(self, source: str, path: str) -> int:
        """The number of an input file."""
        return self._numbers[source, path]

    def documents(self, source: str, path: str, rows: pa.Array) -> np.ndarray:
        """The numbers of documents: uint64 [n]."""
        return np.uint64(self.file_number(source, path)) << _FILE_BITS | rows.to_numpy().astype(np.uint64)

    def ranks(self, documents: np.ndarray, shuffle_keys: np.ndarray) -> Ranks:
        """The ranks of documents, by uint64 [n] each."""
        return Ranks(self._file_priorities[files_of(documents)], shuffle_keys, documents)

    def own_sources(self, documents: np.ndarray) -> np.ndarray:
        """The source of each document as a bit: uint64 [n, words]."""
        numbers = self._file_sources[files_of(documents)]
        bits = np.zeros((len(documents), -(-len(self.sources) // _WORD)), np.uint64)
        bits[np.arange(len(documents)), numbers // _WORD] = np.uint64(1) << (numbers % _WORD).astype(np.uint64)
        return bits

    def names_of_sources(self, bits: np.ndarray) -> list[str]:
        """The sources of one document, sorted, from uint64 [words]."""
        words = bits.tolist()
        return [name for number, name in enumerate(self.sources) if words[number // _WORD] >> number % _WORD & 1]

    def bucket(self, documents: np.ndarray) -> np.ndarray:
        """Where rows about documents go on the way to their files: int64 [n]."""
        return files_of(documents) * self.buckets // len(self.files)

    def partition(self, documents: np.ndarray) -> np.ndarray:
        """Where rows about documents go to be together: int64 [n]."""
        return partition_of(splitmix64(documents), self.partitions)

    def of_chunk(self, step: str, info: BatchInfo) -> str:
        """Where a step's rows of a chunk go."""
        return join(self.work, step, run_name(info.source, info.path, info.chunk))

    def of_partition(self, step: str, number: int) -> str:
        """Where a step's rows of a partition go."""
        return join(self.work, step, f"{number:05d}.arrow")

    def read_chunks(self, step: str, number: int) -> pa.RecordBatch:
        """A partition of what a step has written for all chunks."""
        return read_partition([join(self.work, step, run_name(*chunk)) for chunk in self.chunks], number)

    def read_partitions(self, step: str, count: int, number: int) -> pa.RecordBatch:
        """A partition of what a step has written for all of `count` partitions."""
        return read_partition([self.of_partition(step, one) for one in range(count)], number)

    def read_bucket(self, step: str, count: int, file: int, column: str) -> pa.RecordBatch:
        """The rows that a step of `count` partitions has written for the documents of one file.

        Args:
            step, count: as of `read_partitions`.
            file: its number.
            column: the one with the documents.
        """
        rows = self.read_partitions(step, count, file * self.buckets // len(self.files))
        return rows.filter(pa.array(files_of(rows[column].to_numpy()) == file))


def files_of(documents: np.ndarray) -> np.ndarray:
    """The number of each document's file: int64 [n], from uint64."""
    return (documents >> _FILE_BITS).astype(np.int64)


def rows_of(documents: np.ndarray) -> np.ndarray:
    """The row of each document in its file: int64 [n], from uint64."""
    return (documents & _ROW).astype(np.int64)


def record_batch(**columns: np.ndarray | pa.Array) -> pa.RecordBatch:
    """Rows of columns; a matrix of numbers is a column of lists of one size."""
    return pa.record_batch({name: _column(values) for name, values in columns.items()})


def _column(values: np.ndarray | pa.Array) -> pa.Array:
    if isinstance(values, pa.Array) or values.ndim == 1:
        return pa.array(values) if isinstance(values, np.ndarray) else values
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def matrix(column: pa.Array) -> np.ndarray:
    """A column of lists of one size as a matrix."""
    size = column.type.list_size
    return column.flatten().to_numpy().reshape(-1, size)


def united(groups: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """What the rows of each group have together.

    Args:
        groups: int64 [n], from 0 to groups - 1, each with a row.
        bits: uint64 [n, words].

    Returns:
        uint64 [groups, words].
    """
    order = np.argsort(groups, kind="stable")
    begins = np.flatnonzero(np.diff(groups[order], prepend=-1))
    return np.bitwise_or.reduceat(bits[order], begins, axis=0) if len(begins) else bits[:0]
