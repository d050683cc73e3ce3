"""fastText classifiers: folded into a small file if that gives the same scores, else left to the library.

A supervised model with softmax loss is linear up to its softmax: the mean of a document's feature rows, times the
output matrix. So the output matrix is multiplied into the rows once, and scoring is one pass over the text's bytes
(`fasttext_kernels`):

```
model.bin    input   2,071,220 rows x 100      output  2 x 100     830 MB
fold         row -> row . (output[label] - output[first label])
folded file  folded  2,071,220 rows x 1, vocabulary                 12 MB, memory-mapped by every worker
```

The folded file is an Arrow IPC file of one row, with a large_list column for each array: `folded` float32, `slots`
uint64, `offsets` int64, `spelling` uint8. Its schema metadata has a JSON object: version, labels, words, word_ngrams,
bucket.

Models with subwords, with hierarchical softmax, `ns` or `ova` loss, quantized models, and those with more labels than
dimensions (where folding would lengthen the rows) go to the library.

A probability is the model's own. The library adds 1e-5 to each before it takes the logarithm; that is subtracted again,
so both ways agree. Only with hierarchical softmax, where the library adds 1e-5 at every node of the tree, its value is
kept (and clipped to 1). `ova` and `ns` give each label its own sigmoid, so their probabilities do not sum to 1. A
folded model sums in float64, the library in float32, so they differ on long texts: `docs/scores.md` has figures.
"""

import json
import math
import threading
from dataclasses import dataclass
from typing import Any, Protocol

import fasttext
import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.transforms.files.checksums import FILE_NAME, sha256_of
from byline.transforms.files.local_copies import local_copy
from byline.transforms.files.storage import exists, file_sha256, join, open_random, write_file
from byline.transforms.scores.fasttext_file import (
    HIERARCHICAL_SOFTMAX,
    SOFTMAX,
    ModelFile,
    read_model_file,
)
from byline.transforms.scores.fasttext_kernels import Vocabulary, build_slots, join_entries, score_documents
from byline.transforms.scores.models_folder import A_MODEL

LIBRARY_SHIFT = 1e-5
FOLDED_VERSION = 1
_KEY = b"byline.fasttext"
_ARRAYS = ("folded", "slots", "offsets", "spelling")
_NO_BYTES = np.frombuffer(b"\0", np.uint8)  # read-only like Arrow's buffers, or numba would compile once more
# Documents given to the library at a time, because it answers with Python lists.
_LIBRARY_ROWS = 1024


class Model(Protocol):
    """A classifier."""

    @property
    def labels(self) -> list[str]:
        """The labels as the model spells them, in its order."""

    def probabilities(self, texts: pa.Array) -> np.ndarray:
        """The probability of each label, for raw texts: this includes what `prepare` does.

        Args:
            texts: large_string [documents].

        Returns:
            Float32 [documents, labels]; NaN where a document is null or has no word or n-gram that the model knows.
        """


# --- folding ---


def why_not_foldable(model: ModelFile) -> str | None:
    """Why a model has to be scored by the library; None if it can be folded."""
    if model.quantized:
        return "is quantized"
    if model.maxn > 0:
        return f"has subwords of up to {model.maxn} characters"
    if model.loss != SOFTMAX:
        return f"has {model.loss} loss"
    if len(model.labels) > model.dim:
        return f"has {len(model.labels)} labels and {model.dim} dimensions"
    return None


def _fold_rows(model: ModelFile) -> tuple[np.ndarray, str]:
    """Float32 [rows, labels - 1]: each row's logits minus its logit of the first label; and the file's sha256."""
    assert model.output is not None, "the output matrix is quantized"
    output = model.output.astype(np.float64)
    difference = (output[1:] - output[0]).T
    rows = model.words + (model.bucket if model.word_ngrams > 1 else 0)
    folded = np.empty((rows, difference.shape[1]), np.float32)

    def fold_block(first: int, block: np.ndarray) -> None:
        into = folded[first : first + len(block)]
        into[:] = block[: len(into)].astype(np.float64) @ difference

    digest = model.read_through(fold_block)
    if not np.isfinite(folded).all():
        raise _not_finite(model)
    return folded, digest


def _vocabulary(model: ModelFile) -> Vocabulary:
    offsets, spelling = join_entries(model.data, model.bounds)
    # At most two thirds full, so that a search ends after one or two slots.
    slots = np.zeros((2 ** math.ceil(math.log2(1.5 * len(model.bounds) + 1)), 2), np.uint64)
    build_slots(offsets, spelling, slots)
    return Vocabulary(slots, offsets, spelling, model.words)


def _folded_path(digest: str, cache_folder: str) -> str:
    return join(cache_folder, f"fasttext-v{FOLDED_VERSION}-{digest}.arrow")


def _digest_of(model_path: str, cache_folder: str) -> str:
    # Kept by the driver: each of a thousand workers would write the same.
    return sha256_of(model_path, cache_folder, what=A_MODEL, keeps=False)


def _check_digest(model: ModelFile, found: str, expected: str, cache_folder: str) -> None:
    """Refuses a file that is not what the token store takes it for, where all of it is read anyway."""
    if found != expected:
        raise BylineError(
            f"{model.path}: has sha256 {found[:12]}..., but {expected[:12]}... when its checksum was made; delete "
            f"{join(cache_folder, FILE_NAME)} and run the command again"
        )


def fold(model_path: str, cache_folder: str) -> str:
    """Writes the folded file of a model unless it exists; returns its path, which contains the model's SHA-256.

    Raises:
        BylineError: the model cannot be read, or cannot be folded (`why_not_foldable`).
    """
    digest = _digest_of(model_path, cache_folder)
    path = _folded_path(digest, cache_folder)
    if not exists(path):
        _write_folded(read_model_file(model_path), digest, cache_folder)
    return path


def _write_folded(model: ModelFile, digest: str, cache_folder: str) -> None:
    reason = why_not_foldable(model)
    if reason is not None:
        raise BylineError(
            f"{model.path}: {reason}, so it cannot be folded; use `open_model`, which then uses the library"
        )
    vocabulary = _vocabulary(model)
    folded, found = _fold_rows(model)
    _check_digest(model, found, digest, cache_folder)
    arrays = {
        "folded": folded,
        "slots": vocabulary.slots,
        "offsets": vocabulary.offsets,
        "spelling": vocabulary.spelling,
    }
    metadata = {
        "version": FOLDED_VERSION,
        "labels": model.labels,
        "words": model.words,
        "word_ngrams": model.word_ngrams,
        "bucket": model.bucket,
    }
    columns = [_one_list(array) for array in arrays.values()]
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in zip(arrays, columns, strict=True)],
        {_KEY: json.dumps(metadata)},
    )
    with write_file(_folded_path(digest, cache_folder)) as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))


def _one_list(array: np.ndarray) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array([0, array.size], pa.int64()), pa.array(array.reshape(-1)))


# --- scoring ---


@dataclass(frozen=True)
class FoldedModel:
    """A folded model; its arrays are views of the memory-mapped file, which all processes share.

    Attributes:
        labels: as in `Model`.
        folded, vocabulary, bucket, word_ngrams: as `score_documents` takes them.
    """

    labels: list[str]
    folded: np.ndarray
    vocabulary: Vocabulary
    bucket: int
    word_ngrams: int

    def probabilities(self, texts: pa.Array) -> np.ndarray:
        """See `Model.probabilities`; reads the Arrow buffers without a copy and without the GIL."""
        out = np.empty((len(texts), len(self.labels)), np.float32)
        if len(texts) == 0:
            return out
        _, offsets, values = texts.cast(pa.large_string()).buffers()
        starts = np.frombuffer(offsets, np.int64, len(texts) + 1, 8 * texts.offset)
        data = np.frombuffer(values, np.uint8) if values is not None and values.size else _NO_BYTES
        score_documents(data, starts, self.vocabulary, self.folded, self.bucket, self.word_ngrams, out)
        if texts.null_count:
            out[texts.is_null().to_numpy(zero_copy_only=False)] = np.nan
        return out


def load_folded(path: str) -> FoldedModel:
    """Opens a folded file (on a local disk: maps it).

    Raises:
        BylineError: the file cannot be read, or is not a folded model of this version.
    """
    try:
        batch = pa.ipc.open_file(open_random(path)).get_batch(0)
        metadata = json.loads(batch.schema.metadata[_KEY])
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise BylineError(f"{path}: not a folded fastText model ({error}); delete it, it is made again") from None
    if metadata["version"] != FOLDED_VERSION:
        raise BylineError(
            f"{path}: version {metadata['version']}, expected {FOLDED_VERSION}; delete it, it is made again"
        )
    model = _folded_of(batch, metadata)
    if model is None:
        raise BylineError(f"{path}: a damaged folded fastText model; delete it, it is made again")
    return model


def _folded_of(batch: pa.RecordBatch, metadata: dict[str, Any]) -> FoldedModel | None:
    """The model of a file; None where following its numbers would lead out of an array, or nowhere."""
    try:
        folded, slots, offsets, spelling = (batch.column(name).values.to_numpy() for name in _ARRAYS)
        labels, words, bucket, ngrams = (metadata[key] for key in ("labels", "words", "bucket", "word_ngrams"))
        rows = words + (bucket if ngrams > 1 else 0)
        slots, folded = slots.reshape(-1, 2), folded.reshape(rows, len(labels) - 1)
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError, AttributeError):
        return None
    types = (folded.dtype, slots.dtype, offsets.dtype, spelling.dtype)
    entries = len(offsets) - 1
    is_whole = (
        types == (np.float32, np.uint64, np.int64, np.uint8)
        and 0 <= words <= entries
        and (ngrams <= 1 or bucket > 0)
        and len(slots) & (len(slots) - 1) == 0
        and not slots[:, 0].all()
        and (slots[:, 0] & np.uint64(0xFFFFFFFF)).max() <= entries
        and offsets[0] == 0
        and offsets[-1] == len(spelling)
        and (np.diff(offsets) >= 0).all()
    )
    return (
        FoldedModel(labels, folded, Vocabulary(slots, offsets, spelling, words), bucket, ngrams) if is_whole else None
    )


def prepare(text: str) -> str:
    """The single line that a classifier is given: stripped of white space, line breaks replaced by spaces."""
    return " ".join(text.strip().splitlines())


def _check_finite(model: ModelFile) -> str:
    """Refuses values that the library only notices when they reach a text; returns the file's sha256."""
    if model.input is None or model.output is None:
        return file_sha256(local_copy(model.path))

    def check(values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise _not_finite(model)

    check(model.output)
    return model.read_through(lambda _, rows: check(rows))


def _not_finite(model: ModelFile) -> BylineError:
    return BylineError(f"{model.path}: has values that are not finite numbers; train the model again")


class LibraryModel:
    """A model that fastText's own library scores, for models that cannot be folded.

    Attributes:
        digest: sha256 of its file (hex).
    """

    def __init__(self, model: ModelFile) -> None:
        self.labels, self._path = model.labels, model.path
        self._shift = 0.0 if model.loss == HIERARCHICAL_SOFTMAX else LIBRARY_SHIFT
        self._index = {label: number for number, label in enumerate(model.labels)}
        self.digest = _check_finite(model)
        try:
            # The C++ object itself: `fasttext.load_model` wraps it with a check that copies every text.
            self._library = fasttext.load_model(local_copy(model.path)).f
        except (ValueError, RuntimeError, MemoryError) as error:
            raise BylineError(f"{model.path}: fastText cannot load it ({error}); get the file again") from None

    def probabilities(self, texts: pa.Array) -> np.ndarray:
        """See `Model.probabilities`; a label that the library omits (hierarchical softmax, below 1e-5) gets 0."""
        out = np.full((len(texts), len(self.labels)), np.nan, np.float32)
        for begin in range(0, len(texts), _LIBRARY_ROWS):
            documents = texts.slice(begin, _LIBRARY_ROWS).to_pylist()
            rows = [row for row, text in enumerate(documents) if text is not None]
            lines = [prepare(documents[row]) + "\n" for row in rows]
            try:
                labels, predicted = self._library.multilinePredict(lines, -1, 0.0, "replace")
            except RuntimeError as error:
                raise BylineError(f"{self._path}: fastText failed ({error}); train the model again") from None
            for row, names, values in zip(rows, labels, predicted, strict=True):
                if names:
                    out[begin + row] = 0
                    out[begin + row, [self._index[name] for name in names]] = values
        return np.clip(out - self._shift, 0, 1, dtype=np.float32)


_models: dict[tuple[str, str], Model] = {}
_models_lock = threading.Lock()


def open_model(model_path: str, cache_folder: str) -> Model:
    """Opens a model, folded if possible; a process opens it once for each cache folder.

    Raises:
        BylineError: the file is missing, damaged, or not a fastText classifier.
    """
    with _models_lock:
        digest = _digest_of(model_path, cache_folder)
        path = _folded_path(digest, cache_folder)
        key = (model_path, path)
        if key not in _models:
            _models[key] = load_folded(path) if exists(path) else _open_new(model_path, digest, cache_folder)
        return _models[key]


def _open_new(model_path: str, digest: str, cache_folder: str) -> Model:
    model = read_model_file(model_path)
    if why_not_foldable(model) is not None:
        library = LibraryModel(model)
        _check_digest(model, library.digest, digest, cache_folder)
        return library
    _write_folded(model, digest, cache_folder)
    return load_folded(_folded_path(digest, cache_folder))
