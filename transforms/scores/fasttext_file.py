"""Reads and checks a fastText model file (.bin, .ftz); its arrays stay in the memory-mapped file.

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
process, runs out of memory, or returns different scores.

Source of the format: fastText's `saveModel` and `loadModel` (`src/fasttext.cc`) and the `save` and `load` of `args.cc`,
`dictionary.cc`, `densematrix.cc`, `quantmatrix.cc` and `productquantizer.cc`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from pyarrow import fs

from byline.errors import BylineError
from byline.transforms.files.local_copies import local_copy
from byline.transforms.files.storage import open_random, resolve
from byline.transforms.scores.fasttext_kernels import scan_entries

SOFTMAX, HIERARCHICAL_SOFTMAX = "softmax", "hierarchical softmax"
_MAGIC, _NEWEST = 793712314, 12
_LOSSES = {1: HIERARCHICAL_SOFTMAX, 2: "ns", 3: SOFTMAX, 4: "ova"}
_SUPERVISED, _LABEL = 3, 1
_CENTROIDS = 256
_DIGEST_STEP = 16 << 20


@dataclass(frozen=True)
class ModelFile:
    """What a fastText model file holds; the arrays are views of the file.

    Attributes:
        path: of the file.
        dim: length of a row.
        word_ngrams, bucket: n-grams of up to `word_ngrams` words are hashed into `bucket` rows.
        maxn: characters of the longest subword, 0 for no subwords.
        loss: `SOFTMAX`, `HIERARCHICAL_SOFTMAX`, "ns" or "ova".
        quantized: whether the input matrix is quantized.
        bounds: int64 [entries, 2], begin and end of each word and label in `data`.
        data: uint8, the file.
        words: how many of the entries are words; they come first.
        labels: the other entries.
        input, output: float32 [rows, dim] and [labels, dim]; None where `quantized`.
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
    input: np.ndarray | None
    output: np.ndarray | None


class _Cursor:
    """Reads numbers and arrays from a model file, one after another."""

    def __init__(self, path: str, data: np.ndarray) -> None:
        self.path, self.data, self.position = path, data, 0

    def error(self, problem: str) -> BylineError:
        return BylineError(f"{self.path}: {problem}; expected a fastText model (.bin or .ftz), get the file again")

    def skip(self, size: int) -> int:
        """Skips `size` bytes; returns where they begin."""
        if size < 0 or self.position + size > len(self.data):
            raise self.error(
                f"ends at byte {len(self.data)} in the middle of a part that begins at byte {self.position}"
            )
        self.position += size
        return self.position - size

    def numbers(self, dtype: type, count: int) -> list[int]:
        return [int(number) for number in self.array(dtype, count)]

    def array(self, dtype: type, count: int) -> np.ndarray:
        begin = self.skip(count * np.dtype(dtype).itemsize)
        return np.frombuffer(self.data, dtype, count, begin)

    def matrix(self) -> np.ndarray:
        rows, columns = self.numbers(np.int64, 2)
        if rows < 0 or columns <= 0:
            raise self.error(f"has a matrix of {rows} x {columns} at byte {self.position - 16}")
        return self.array(np.float32, rows * columns).reshape(rows, columns)

    def skip_quantized_matrix(self) -> None:
        normed = self.numbers(np.uint8, 1)[0]
        rows, _ = self.numbers(np.int64, 2)
        self.skip(self.numbers(np.int32, 1)[0])
        self._skip_quantizer()
        if normed:
            self.skip(rows)
            self._skip_quantizer()

    def _skip_quantizer(self) -> None:
        dim = self.numbers(np.int32, 4)[0]
        self.skip(4 * dim * _CENTROIDS)


def read_model_file(path: str) -> ModelFile:
    """Reads and checks a model file; it is memory-mapped, so only the parts that are used are read.

    Raises:
        BylineError: the file is missing, cut short, not a fastText model, or a model without labels.
    """
    with open_random(local_copy(path)) as file:
        data = np.frombuffer(file.read_buffer(file.size()), np.uint8)
    cursor = _Cursor(path, data)
    if len(data) < 8 or cursor.numbers(np.int32, 1)[0] != _MAGIC:
        raise cursor.error("does not begin like a fastText model")
    version = cursor.numbers(np.int32, 1)[0]
    if version > _NEWEST:
        raise cursor.error(f"has version {version}, the newest known is {_NEWEST}")
    dim, _, _, _, _, word_ngrams, loss, kind, bucket, _, maxn, _ = cursor.numbers(np.int32, 12)
    cursor.skip(8)
    if kind != _SUPERVISED:
        raise BylineError(f"{path}: is a model of word vectors; expected a classifier (fastText's `supervised`)")
    if loss not in _LOSSES:
        raise cursor.error(f"has an unknown loss {loss}")
    if word_ngrams > 1 and bucket <= 0:
        raise cursor.error(f"has n-grams of {word_ngrams} words, but {bucket} buckets for them")
    bounds, words, labels = _read_dictionary(cursor)
    quantized, matrices = _read_matrices(cursor)
    model = ModelFile(
        path=path,
        dim=dim,
        word_ngrams=max(word_ngrams, 1),
        bucket=bucket,
        maxn=0 if version == 11 else maxn,  # as the library reads models that old
        loss=_LOSSES[loss],
        quantized=quantized,
        bounds=bounds,
        data=data,
        words=words,
        labels=labels,
        input=matrices[0],
        output=matrices[1],
    )
    _check_shapes(cursor, model)
    return model


def _read_dictionary(cursor: _Cursor) -> tuple[np.ndarray, int, list[str]]:
    """The bounds of the entries, the number of words, and the labels."""
    size, words, labels = cursor.numbers(np.int32, 3)
    _, pruned = cursor.numbers(np.int64, 2)
    # An entry takes ten bytes or more.
    if min(words, labels) < 0 or size != words + labels or size * 10 > len(cursor.data):
        raise cursor.error(f"has a dictionary of {size} entries, {words} words and {labels} labels")
    if labels == 0:
        raise cursor.error("has no labels")
    bounds, types, end = scan_entries(cursor.data, cursor.position, size)
    if end < 0:
        raise cursor.error(f"ends at byte {len(cursor.data)} within its dictionary")
    if not np.array_equal(types == _LABEL, np.arange(size) >= words):
        raise cursor.error("has words and labels in another order than it says")
    cursor.position = int(end)
    cursor.skip(8 * max(pruned, 0))
    return bounds, words, [bytes(cursor.data[a:b]).decode(errors="replace") for a, b in bounds[words:]]


def _read_matrices(cursor: _Cursor) -> tuple[bool, tuple[np.ndarray | None, np.ndarray | None]]:
    """Whether the input matrix is quantized, and the input and output matrices if it is not."""
    quantized = bool(cursor.numbers(np.uint8, 1)[0])
    if quantized:
        cursor.skip_quantized_matrix()
    read_input = None if quantized else cursor.matrix()
    quantized_output = bool(cursor.numbers(np.uint8, 1)[0])
    if quantized and quantized_output:
        cursor.skip_quantized_matrix()
        return quantized, (None, None)
    read_output = cursor.matrix()
    return quantized, (read_input, None if quantized else read_output)


def _check_shapes(cursor: _Cursor, model: ModelFile) -> None:
    if cursor.position != len(cursor.data):
        raise cursor.error(f"has {len(cursor.data) - cursor.position} bytes too many after byte {cursor.position}")
    if model.input is None or model.output is None:
        return
    rows = model.words + (model.bucket if model.word_ngrams > 1 or model.maxn > 0 else 0)
    if len(model.input) < rows or model.input.shape[1] != model.dim:
        raise cursor.error(f"has an input matrix of {model.input.shape}, not {(rows, model.dim)}")
    if model.output.shape != (len(model.labels), model.dim):
        raise cursor.error(f"has an output matrix of {model.output.shape}, not {(len(model.labels), model.dim)}")


_digests: dict[tuple[str, int, int | None], str] = {}


def model_sha256(path: str) -> str:
    """The SHA-256 of a model's file; see `file_sha256`."""
    return file_sha256(path, "a fastText model")


def file_sha256(path: str, what: str = "a list or a model") -> str:
    """The SHA-256 of a file, in hex; a process computes it once for each path, size and modification time.

    Args:
        path: of the file.
        what: what the file should be, for the message.

    Raises:
        BylineError: there is no such file, or it may not be read.
    """
    filesystem, inner = resolve(path)
    info = filesystem.get_file_info(inner)
    if info.type != fs.FileType.File:
        raise BylineError(f"{path}: there is no such file; expected {what}")
    key = (path, info.size, info.mtime_ns)
    if key not in _digests:
        digest = hashlib.sha256()
        with open_random(local_copy(path)) as file:
            while chunk := file.read_buffer(_DIGEST_STEP):
                digest.update(chunk)
        _digests[key] = digest.hexdigest()
    return _digests[key]
