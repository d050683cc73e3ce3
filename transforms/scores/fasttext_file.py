"""Reads and checks a fastText model file (.bin, .ftz); its largest matrix stays in the file, and is read in blocks.

```
int32 x 2    793712314, version (up to 12)
int32 x 12   dim ws epoch minCount neg wordNgrams loss model bucket minn maxn lrUpdateRate
float64      t
int32 x 3    entries, words, labels
int64 x 2    tokens, prunings (-1 for none)
             for each word, then each label: its bytes and a NUL, int64 count, int8 type (0 word, 1 label)
             for each pruning: int32 x 2
uint8        1 if the input matrix is quantized
             input matrix: int64 rows, columns, then float32 [rows, columns]; or codes and centroids
uint8        1 if the output matrix is quantized too
             output matrix, likewise
```

All numbers are little-endian. Every count is checked against the file's length, as are the order of words before labels
and the shapes of the matrices, and nothing may follow them: given a file that is cut short, the library crashes the
process, runs out of memory, or returns different scores. The same holds for what a library divides by or uses as an
index without a check: buckets, the sizes of a product quantizer, the rows that pruning leaves, the counts of labels.

Source of the format: fastText's `saveModel` and `loadModel` (`src/fasttext.cc`) and the `save` and `load` of `args.cc`,
`dictionary.cc`, `densematrix.cc`, `quantmatrix.cc` and `productquantizer.cc`.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.printable import shown
from byline.schemas.model import first_twice
from byline.transforms.files.local_copies import local_copy
from byline.transforms.files.storage import open_unmapped
from byline.transforms.scores.fasttext_kernels import scan_entries

SOFTMAX, HIERARCHICAL_SOFTMAX = "softmax", "hierarchical softmax"
_MAGIC, _NEWEST = 793712314, 12
_LOSSES = {1: HIERARCHICAL_SOFTMAX, 2: "ns", 3: SOFTMAX, 4: "ova"}
_SUPERVISED, _LABEL = 3, 1
_CENTROIDS = 256
# Of words in an n-gram, and of characters in a subword: more are none of a model that was trained.
_LONGEST_NGRAM, _LONGEST_SUBWORD = 100, 100
# Of the dictionary, what is read at first for each entry: a word of eight letters and what stands behind it.
_ENTRY_BYTES = 18
# Rows read at a time: 1.6 MB at 100 dimensions, and 3.3 MB as float64, in which they are folded.
_BLOCK_ROWS = 4096
# The library builds its tree of labels with this number where no node is yet.
_NO_NODE = 10**15


@dataclass(frozen=True)
class Matrix:
    """A float32 matrix in a file.

    Attributes:
        file: that it is in, open.
        begin: of the file, the first of its bytes.
        shape: rows and columns.
    """

    file: pa.NativeFile
    begin: int
    shape: tuple[int, int]

    @property
    def end(self) -> int:
        """Of the file, the first byte behind it."""
        return self.begin + 4 * self.shape[0] * self.shape[1]

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Its rows, some thousands at a time: the number of the first, and float32 [rows, columns]."""
        rows, columns = self.shape
        for first in range(0, rows, _BLOCK_ROWS):
            count = min(_BLOCK_ROWS, rows - first)
            content = _read(self.file, self.begin + 4 * columns * first, 4 * columns * count)
            yield first, np.frombuffer(content, np.float32).reshape(count, columns)


@dataclass(frozen=True)
class ModelFile:
    """What a fastText model file holds.

    Attributes:
        path: of the file.
        dim: length of a row.
        word_ngrams, bucket: n-grams of up to `word_ngrams` words are hashed into `bucket` rows.
        maxn: characters of the longest subword, 0 for no subwords.
        loss: `SOFTMAX`, `HIERARCHICAL_SOFTMAX`, "ns" or "ova".
        quantized: whether the input matrix is quantized.
        bounds: int64 [entries, 2], begin and end of each word and label in `data`.
        data: uint8, the file up to the end of its dictionary.
        words: how many of the entries are words; they come first.
        labels: the other entries.
        input: [rows, dim]; None where `quantized`.
        output: float32 [labels, dim]; None where `quantized`.
    """

    path: str
    dim: int
    word_ngrams: int
    bucket: int
    maxn: int
    loss: str
    quantized: bool
    bounds: np.ndarray
    data: np.ndarray
    words: int
    labels: list[str]
    input: Matrix | None
    output: np.ndarray | None

    def read_through(self, each: Callable[[int, np.ndarray], None]) -> str:
        """Reads all of a file that is not quantized, from its first byte to its last.

        Args:
            each: is given the rows of the input matrix: the number of the first, and float32 [rows, dim].

        Returns:
            The sha256 of what was read (hex), that of the arrays here included.
        """
        assert self.input is not None, "the input matrix is quantized"
        assert self.output is not None, "the output matrix is quantized"
        digest = hashlib.sha256(self.data.data)
        file, behind = self.input.file, self.input.end
        digest.update(_read(file, len(self.data), self.input.begin - len(self.data)))
        for first, rows in self.input.blocks():
            digest.update(rows.data)
            each(first, rows)
        digest.update(_read(file, behind, file.size() - self.output.nbytes - behind))
        digest.update(self.output.data)
        return digest.hexdigest()


def _read(file: pa.NativeFile, begin: int, size: int) -> pa.Buffer:
    """Bytes of a file, all of them.

    Raises:
        BylineError: it has been cut since.
    """
    file.seek(begin)
    content = file.read_buffer(size)
    if len(content) < size:
        raise BylineError(f"a model's file ends at byte {begin + len(content)} though it was longer; run this again")
    return content


class _Cursor:
    """Reads numbers and arrays from a model file, one after another."""

    def __init__(self, path: str, file: pa.NativeFile) -> None:
        self.path, self.file, self.size, self.position = path, file, file.size(), 0

    def error(self, problem: str) -> BylineError:
        return BylineError(f"{self.path}: {problem}; expected a fastText model (.bin or .ftz), get the file again")

    def skip(self, size: int) -> int:
        """Skips `size` bytes; returns where they begin."""
        if size < 0 or self.position + size > self.size:
            raise self.error(f"ends at byte {self.size} in the middle of a part that begins at byte {self.position}")
        self.position += size
        return self.position - size

    def flag(self) -> bool:
        """One byte that is 0 or 1."""
        value = self.numbers(np.uint8, 1)[0]
        if value > 1:
            raise self.error(f"has {value} where 0 or 1 stands, at byte {self.position - 1}")
        return value == 1

    def numbers(self, dtype: type, count: int) -> list[int]:
        return [int(number) for number in self.array(dtype, count)]

    def array(self, dtype: type, count: int) -> np.ndarray:
        size = count * np.dtype(dtype).itemsize
        return np.frombuffer(_read(self.file, self.skip(size), size), dtype, count)

    def matrix(self) -> Matrix:
        """Skips a matrix."""
        rows, columns = self.numbers(np.int64, 2)
        if rows < 0 or columns <= 0:
            raise self.error(f"has a matrix of {rows} x {columns} at byte {self.position - 16}")
        return Matrix(self.file, self.skip(4 * rows * columns), (rows, columns))

    def skip_quantized_matrix(self) -> tuple[int, int]:
        """Skips a quantized matrix; returns its rows and columns."""
        begin = self.position
        is_normed = self.flag()
        rows, columns = self.numbers(np.int64, 2)
        if rows < 0 or columns <= 0:
            raise self.error(f"has a matrix of {rows} x {columns} at byte {begin}")
        codes = self.numbers(np.int32, 1)[0]
        self.skip(codes)
        parts = self._skip_quantizer(columns)
        if codes != rows * parts:
            raise self.error(f"has {codes} codes for {rows} rows of {parts} parts at byte {begin}")
        if is_normed:
            self.skip(rows)
            self._skip_quantizer(1)
        return rows, columns

    def _skip_quantizer(self, columns: int) -> int:
        """Skips a product quantizer of rows of so many columns; returns in how many parts it has a row."""
        begin = self.position
        dim, parts, width, last = self.numbers(np.int32, 4)
        if dim != columns or width <= 0 or parts != -(-dim // width) or last != dim - (parts - 1) * width:
            raise self.error(
                f"has a quantizer of {parts} parts of {width} and {last} numbers for {columns} columns at byte {begin}"
            )
        if not np.isfinite(self.array(np.float32, dim * _CENTROIDS)).all():
            raise self.error(f"has centroids that are not finite numbers behind byte {begin}")
        return parts


def read_model_file(path: str) -> ModelFile:
    """Reads and checks a model file, all but its input matrix.

    Raises:
        BylineError: the file is missing, cut short, not a fastText model, or a model without labels.
    """
    # Not mapped: the pages of a matrix that is read once would count as this process's memory.
    cursor = _Cursor(path, open_unmapped(local_copy(path)))
    if cursor.size < 8 or cursor.numbers(np.int32, 1)[0] != _MAGIC:
        raise cursor.error("does not begin like a fastText model")
    version = cursor.numbers(np.int32, 1)[0]
    if not 1 <= version <= _NEWEST:
        raise cursor.error(f"has version {version}, the newest known is {_NEWEST}")
    dim, _, _, _, _, word_ngrams, loss, kind, bucket, _, maxn, _ = cursor.numbers(np.int32, 12)
    maxn = 0 if version == 11 else maxn  # as the library reads models that old
    cursor.skip(8)
    if kind != _SUPERVISED:
        raise BylineError(f"{path}: is a model of word vectors; expected a classifier (fastText's `supervised`)")
    if loss not in _LOSSES:
        raise cursor.error(f"has an unknown loss {loss}")
    _check_sizes(cursor, dim, word_ngrams, maxn, bucket)
    dictionary = _read_dictionary(cursor)
    matrices = _read_matrices(cursor)
    model = ModelFile(
        path=path,
        dim=dim,
        word_ngrams=max(word_ngrams, 1),
        bucket=bucket,
        maxn=maxn,
        loss=_LOSSES[loss],
        quantized=matrices.is_quantized,
        bounds=dictionary.bounds,
        data=dictionary.data,
        words=dictionary.words,
        labels=dictionary.labels,
        input=matrices.input,
        output=matrices.output,
    )
    _check_shapes(cursor, model, dictionary, matrices)
    return model


def _check_sizes(cursor: _Cursor, dim: int, word_ngrams: int, maxn: int, bucket: int) -> None:
    if dim <= 0:
        raise cursor.error(f"has {dim} dimensions")
    # A negative length is not none to the library, but the largest of all.
    if not 0 <= word_ngrams <= _LONGEST_NGRAM:
        raise cursor.error(f"has n-grams of {word_ngrams} words, not of 0 to {_LONGEST_NGRAM}")
    if not 0 <= maxn <= _LONGEST_SUBWORD:
        raise cursor.error(f"has subwords of {maxn} characters, not of 0 to {_LONGEST_SUBWORD}")
    for kind, is_used in (
        (f"n-grams of {word_ngrams} words", word_ngrams > 1),
        (f"subwords of up to {maxn} characters", maxn > 0),
    ):
        if is_used and bucket <= 0:
            raise cursor.error(f"has {kind}, but {bucket} buckets for them")


@dataclass(frozen=True)
class _Dictionary:
    """The dictionary of a model.

    Attributes:
        data: uint8, the file up to its end.
        bounds: int64 [entries, 2], begin and end of each word and label in the file.
        words: how many of the entries are words.
        labels: the other entries.
        pruned: int32 [prunings, 2], which rows of the n-grams are left, and where; None for all.
    """

    data: np.ndarray
    bounds: np.ndarray
    words: int
    labels: list[str]
    pruned: np.ndarray | None


@dataclass(frozen=True)
class _Matrices:
    """The matrices of a model.

    Attributes:
        is_quantized: whether the input matrix is.
        input, output: as in `ModelFile`; None where the input matrix is quantized.
        input_shape, output_shape: rows and columns.
    """

    is_quantized: bool
    input: Matrix | None
    output: np.ndarray | None
    input_shape: tuple[int, int]
    output_shape: tuple[int, int]


def _read_dictionary(cursor: _Cursor) -> _Dictionary:
    size, words, labels = cursor.numbers(np.int32, 3)
    _, pruned = cursor.numbers(np.int64, 2)
    # An entry takes ten bytes or more.
    if min(words, labels) < 0 or size != words + labels or size * 10 > cursor.size:
        raise cursor.error(f"has a dictionary of {size} entries, {words} words and {labels} labels")
    if labels == 0:
        raise cursor.error("has no labels")
    if pruned < -1:
        raise cursor.error(f"has {pruned} prunings")
    data, bounds, types = _read_entries(cursor, size)
    if not np.array_equal(types == _LABEL, np.arange(size) >= words) or types.max(initial=0) > _LABEL:
        raise cursor.error("has words and labels in another order than it says")
    cursor.position = len(data)
    _check_label_counts(cursor, data, bounds[words:])
    rows = None if pruned < 0 else cursor.array(np.int32, 2 * pruned).reshape(-1, 2)
    names = [bytes(data[a:b]).decode(errors="replace") for a, b in bounds[words:]]
    if (twice := first_twice(names)) is not None:
        raise cursor.error(f"has the label {shown(twice)} twice")
    return _Dictionary(data, bounds, words, names, rows)


def _read_entries(cursor: _Cursor, entries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The file up to the end of its dictionary, and what `scan_entries` finds there."""
    length = cursor.position + _ENTRY_BYTES * entries
    while True:
        length = min(length, cursor.size)
        data = np.frombuffer(_read(cursor.file, 0, length), np.uint8)
        bounds, types, end = scan_entries(data, cursor.position, entries)
        if end >= 0:
            return data[: int(end)], bounds, types
        if length == cursor.size:
            raise cursor.error(f"ends at byte {cursor.size} within its dictionary")
        length *= 2


def _check_label_counts(cursor: _Cursor, data: np.ndarray, bounds: np.ndarray) -> None:
    """Refuses counts that lead the library out of its tree of labels."""
    # Behind each label stand a NUL and its count.
    counts = data[bounds[:, 1, None] + np.arange(1, 9)].view("<i8")
    if counts.min() < 0 or counts.max() >= _NO_NODE // len(counts):
        raise cursor.error("has counts of labels that no training file has")


def _read_matrices(cursor: _Cursor) -> _Matrices:
    if not cursor.flag():
        read_input = cursor.matrix()
        if cursor.flag():
            raise cursor.error("has a quantized output matrix behind an input matrix that is not")
        read_output = cursor.matrix()
        output = np.frombuffer(_read(cursor.file, read_output.begin, read_output.end - read_output.begin), np.float32)
        return _Matrices(False, read_input, output.reshape(read_output.shape), read_input.shape, read_output.shape)
    input_shape = cursor.skip_quantized_matrix()
    output_shape = cursor.skip_quantized_matrix() if cursor.flag() else cursor.matrix().shape
    return _Matrices(True, None, None, input_shape, output_shape)


def _check_shapes(cursor: _Cursor, model: ModelFile, dictionary: _Dictionary, matrices: _Matrices) -> None:
    if cursor.position != cursor.size:
        raise cursor.error(f"has {cursor.size - cursor.position} bytes too many after byte {cursor.position}")
    hashed = model.bucket if model.word_ngrams > 1 or model.maxn > 0 else 0
    if dictionary.pruned is not None:
        if not model.quantized:
            raise cursor.error("is pruned but not quantized")
        hashed = len(dictionary.pruned)
        if hashed and (dictionary.pruned[:, 1].min() < 0 or dictionary.pruned[:, 1].max() >= hashed):
            raise cursor.error("has prunings that lead to no row")
    rows, columns = matrices.input_shape
    if rows < model.words + hashed or columns != model.dim:
        raise cursor.error(f"has an input matrix of {matrices.input_shape}, not {(model.words + hashed, model.dim)}")
    if matrices.output_shape != (len(model.labels), model.dim):
        raise cursor.error(f"has an output matrix of {matrices.output_shape}, not {(len(model.labels), model.dim)}")
