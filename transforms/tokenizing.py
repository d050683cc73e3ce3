"""Text to token ids, by gigatoken where it can and by tokenizers otherwise, one held against the other.

```
text    "a <|endoftext|> b"        a special token's name in a text stays text:
ids     a, Ġ<, |, end, of, text, |, >, Ġb      never the id of <|endoftext|>, and `special_text` counts it
```

gigatoken always takes special tokens in a text for themselves. So it is given the tokenizer without its special tokens
(added tokens that are not special, such as runs of spaces, stay); tokenizers is given the whole and told to leave them
as text. Texts with characters that only gigatoken's Unicode tables know go to tokenizers (see `new_characters`). Both
must give the same ids for a set of awkward texts when they are loaded, and for 1 document in 4,096.

Where a rewrite names special tokens in a text (`special_spans`), those come in by their ids, and the texts between them
are tokenized on their own. `loss_spans` become the column `masked`, as `transforms.loss_spans` finds it.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import awkward as ak
import gigatoken
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers

import transforms.coder  # noqa: F401  (registers the coder of the batches)
from byline.errors import BylineError
from schemas import corpora, documents
from schemas.documents import info_of, with_info
from schemas.reasons import DropReason
from transforms import loss_spans
from transforms.filtering import apply_reasons
from transforms.new_characters import has_new_characters
from transforms.placing import places
from transforms.storage import read_bytes
from transforms.token_bytes import TokenBytes, token_bytes

# One document in so many is tokenized by both libraries: at 70 times the time a document, under 2 % of the whole.
CHECKED_SHARE = 4096
# tokenizers builds Python objects for every token, so it is given a few documents at a time.
_SLOW_SLICE = 256
_AWKWARD = (
    "Hello world, it's 1,234.5 o'clock\n\n\n  def f(x):\n\t\treturn x  \r\n",
    "e\u0301 \u00e9 \ufb01 \u212b \U0001f468\u200d\U0001f469\u200d\U0001f467 \u0e01\u0e33 \u4e2d\u6587 \u0410\u0301",
    "\u00a0\u2003x",
    " leading, trailing ",
    "      ",
    "\x00\x01\ufeff\ufffd <s> </s> [INST] <|im_start|> ▁x ##y Ġz",
)


@dataclass(frozen=True)
class TokenizerInfo:
    """What plans, shards and manifests say of a tokenizer.

    Attributes:
        name: the file's name without its ending.
        sha256: of the file.
        vocab_size: one more than the largest id, added tokens included.
        bos_id, eos_id: None where the configuration gives none.
        pad_id: fills what is left of a row.
        added: name -> id of the tokens that the configuration adds to the file's.
    """

    name: str
    sha256: str
    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    pad_id: int
    added: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def specials(self) -> int:
        """BOS and EOS tokens that a document gets."""
        return (self.bos_id is not None) + (self.eos_id is not None)


class TextTokenizer:
    """Tokenizes texts of documents and prefixes without adding special tokens.

    Raises:
        BylineError: the file is no `tokenizer.json`.
    """

    def __init__(self, file: str, library: str = "fastest", add: tuple[str, ...] = ()) -> None:
        content = read_bytes(file)
        self.file = file
        self.sha256 = hashlib.sha256(content).hexdigest()
        try:
            settings = json.loads(content)
            self.reference = tokenizers.Tokenizer.from_str(content.decode())
        # tokenizers raises a bare Exception for a file it cannot use.
        except Exception as error:
            raise BylineError(f"{file}: not a Hugging Face tokenizer.json ({' '.join(str(error).split())})") from None
        self.reference.encode_special_tokens = True
        self.reference.no_truncation()
        self.reference.no_padding()
        self.vocabulary: dict[str, int] = self.reference.get_vocab(with_added_tokens=True)
        self.vocab_size = max(self.vocabulary.values()) + 1
        self.added = self._add(add)
        self.special_names = [token["content"] for token in settings.get("added_tokens", ()) if token["special"]]
        self.fast = None if library == "tokenizers" else _fast_tokenizer(settings, self.reference)
        self.id_type = pa.uint16() if self.vocab_size <= 2**16 else pa.int32()
        self.id_dtype = np.dtype(np.uint16 if self.vocab_size <= 2**16 else np.int32)

    def _add(self, names: tuple[str, ...]) -> dict[str, int]:
        """Gives further tokens the ids behind the last one; text never becomes one of them."""
        for name in names:
            if name in self.vocabulary:
                raise BylineError(f"tokenizer.add: {self.file} has a token {name!r} already; leave it out")
        added = {name: self.vocab_size + number for number, name in enumerate(names)}
        self.vocabulary.update(added)
        self.vocab_size += len(names)
        return added

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Tokenizes texts.

        Args:
            texts: large_string [n] without nulls.

        Returns:
            ids of all texts one after another (uint16 or int32, see `id_type`), and offsets into them (int64 [n + 1]).
        """
        if len(texts) == 0:
            return np.zeros(0, self.id_dtype), np.zeros(1, np.int64)
        if self.fast is None:
            return self._encode_slowly(texts)
        layout = ak.to_packed(self.fast.encode_batch(ak.from_arrow(texts), parallel=False)).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        values = np.asarray(layout.content.data).astype(self.id_dtype)
        doubtful = np.flatnonzero(has_new_characters(texts))
        return (values, offsets) if len(doubtful) == 0 else self._replace(values, offsets, texts, doubtful)

    def _replace(
        self, values: np.ndarray, offsets: np.ndarray, texts: pa.Array, which: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and offsets with those of some texts replaced by the reference's."""
        replaced, starts = self._encode_slowly(texts.take(pa.array(which)))
        lengths, parts, end = np.diff(offsets), [], 0
        for number, index in enumerate(which):
            parts += [values[end : offsets[index]], replaced[starts[number] : starts[number + 1]]]
            lengths[index], end = starts[number + 1] - starts[number], offsets[index + 1]
        return np.concatenate([*parts, values[end:]]), np.concatenate([[0], np.cumsum(lengths)])

    def encode_by_reference(self, text: str) -> list[int]:
        """The ids that `tokenizers` gives for one text: what `encode` is held against."""
        return self.reference.encode(text, add_special_tokens=False).ids

    def encode_marked_by_reference(
        self, text: str, loss: list[int] | None, special: list[int] | None
    ) -> tuple[list[int], list[int]]:
        """Ids of one document with spans, and 1 for each that is trained, by `tokenizers` and its offsets.

        Args:
            text: the document.
            loss, special: its spans, as in `schemas.documents`.
        """
        ids: list[int] = []
        places = [np.zeros((0, 2), np.int64)]
        for number, (start, stop) in enumerate(pairwise([0, *(special or ()), len(text)])):
            if number % 2 == 0:
                encoding = self._with_offsets.encode(text[start:stop], add_special_tokens=False)
                ids += encoding.ids
                places.append(np.array(encoding.offsets, np.int64).reshape(-1, 2) + start)
            elif stop > start:
                ids.append(self.vocabulary[text[start:stop]])
                places.append(np.array([[start, stop]]))
        is_trained = np.zeros(len(text) + 1, np.int64)
        spans = [0, len(text)] if loss is None else loss
        for low, high in zip(spans[::2], spans[1::2], strict=True):
            is_trained[low + 1 : high + 1] = 1
        before = np.cumsum(is_trained)
        starts, ends = np.concatenate(places).T
        return ids, (before[ends] > before[starts]).astype(int).tolist()

    @cached_property
    def _with_offsets(self) -> tokenizers.Tokenizer:
        """The reference without its post-processor, which may cut the spaces before a word off its offsets."""
        made = tokenizers.Tokenizer.from_str(
            json.dumps({**json.loads(self.reference.to_str()), "post_processor": None})
        )
        made.encode_special_tokens = True
        return made

    @cached_property
    def token_bytes(self) -> TokenBytes:
        """The bytes that each token stands for; a fifth of a second, and only loss spans need it."""
        added = {token.content for token in self.reference.get_added_tokens_decoder().values()}
        return token_bytes(self.vocabulary, added)

    def _encode_slowly(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        parts, lengths = [], []
        for start in range(0, len(texts), _SLOW_SLICE):
            some = texts.slice(start, _SLOW_SLICE).to_pylist()
            for encoding in self.reference.encode_batch_fast(some, add_special_tokens=False):
                parts.append(np.array(encoding.ids, self.id_dtype))
                lengths.append(len(parts[-1]))
        return np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def count_special_text(self, texts: pa.Array) -> int:
        """How often a special token's name stands in the texts."""
        if not self.special_names:
            return 0
        pattern = "|".join(
            re.sub(r"([^A-Za-z0-9_])", r"\\\1", name) for name in sorted(self.special_names, reverse=True)
        )
        # Finding the few texts that have one is ten times faster than counting in all of them.
        some = texts.filter(pc.match_substring_regex(texts, pattern))
        return pc.sum(pc.count_substring_regex(some, pattern)).as_py() or 0


def _fast_tokenizer(settings: dict[str, Any], reference: tokenizers.Tokenizer) -> gigatoken.Tokenizer | None:
    """gigatoken's form of the tokenizer, or None where it cannot read it or does not agree on awkward texts."""
    plain = {
        **settings,
        "added_tokens": [token for token in settings.get("added_tokens", ()) if not token["special"]],
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }
    try:
        fast = gigatoken.Tokenizer.from_json(json.dumps(plain))
        found = fast.encode_batch_list(list(_AWKWARD), parallel=False)
    except (ValueError, RuntimeError, NotImplementedError, KeyError, TypeError):
        return None
    expected = [encoding.ids for encoding in reference.encode_batch(list(_AWKWARD), add_special_tokens=False)]
    return fast if found == expected else None


def tokenizer_info(tokenizer: TextTokenizer, settings: corpora.Tokenizer) -> TokenizerInfo:
    """Finds the configured special tokens.

    Raises:
        BylineError: the tokenizer has no such token, or there is nothing to pad with.
    """
    ids = {key: _token_id(tokenizer, key, getattr(settings, key)) for key in ("bos", "eos", "pad")}
    pad = next((ids[key] for key in ("pad", "eos", "bos") if ids[key] is not None), None)
    if pad is None:
        raise BylineError("tokenizer: give one of pad, eos and bos; the rest of a sequence is filled with it")
    return TokenizerInfo(
        Path(settings.file).stem,
        tokenizer.sha256,
        tokenizer.vocab_size,
        ids["bos"],
        ids["eos"],
        pad,
        tokenizer.added,
    )


def _token_id(tokenizer: TextTokenizer, key: str, name: str | None) -> int | None:
    return None if name is None else token_id(tokenizer, f"tokenizer.{key}", name)


def token_id(tokenizer: TextTokenizer, where: str, name: str) -> int:
    """The id of a token that the configuration names.

    Raises:
        BylineError: there is none of this name; says how to add one.
    """
    if name not in tokenizer.vocabulary:
        special = ", ".join(repr(token) for token in tokenizer.special_names[:10]) or "none"
        raise BylineError(
            f"{where}: {tokenizer.file} has no token {name!r}; its special tokens are: {special}. To add it, list it "
            f"under tokenizer.add: its id is then {tokenizer.vocab_size}, for which the model's embedding needs a row"
        )
    return tokenizer.vocabulary[name]


def tokenize_batch(batch: pa.RecordBatch, tokenizer: TextTokenizer) -> pa.RecordBatch:
    """Replaces the text by its tokens, drops documents without any, and checks a fixed share of the rest.

    Args:
        batch: with `text`, and `loss_spans` and `special_spans` where its source is rewritten; those become `masked`.
        tokenizer: gives the ids.

    Raises:
        BylineError: the two libraries disagree about a document, or a special span names no token.
    """
    info = info_of(batch)
    text = batch["text"]
    is_marked = "loss_spans" in batch.schema.names
    found = _encode_marked(batch, tokenizer) if is_marked else _Encoded(*tokenizer.encode(text), text)
    lengths = np.diff(found.offsets)
    _check_some(batch, tokenizer, found)
    fields = [field for field in batch.schema if field.name not in ("text", "loss_spans", "special_spans")]
    columns = [batch[field.name] for field in fields]
    columns += [
        pc.cast(pc.binary_length(text), pa.int64()),
        pa.array(lengths.astype(np.int32)),
        pa.LargeListArray.from_arrays(pa.array(found.offsets), pa.array(found.values)),
    ]
    fields += [documents.NUM_BYTES, documents.NUM_TOKENS, documents.tokens_field(tokenizer.id_type)]
    if is_marked:
        fields.append(documents.MASKED)
        columns.append(found.masked)
    tokenized = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
    kept = apply_reasons(
        with_info(tokenized, info),
        pc.if_else(pa.array(lengths == 0), DropReason.NO_TOKENS.value, pa.scalar(None, pa.string())),
    )
    special = tokenizer.count_special_text(found.plain)
    return with_info(kept, replace(info_of(kept), special_text=info.special_text + special))


class _Encoded(NamedTuple):
    """A batch's tokens.

    Attributes:
        values: ids of all documents one after another.
        offsets: into them, int64 [rows + 1].
        plain: the texts that were tokenized as text.
        masked: the column of that name, where there are spans.
    """

    values: np.ndarray
    offsets: np.ndarray
    plain: pa.Array
    masked: pa.Array | None = None


def _encode_marked(batch: pa.RecordBatch, tokenizer: TextTokenizer) -> _Encoded:
    """Tokenizes documents with spans."""
    elements = loss_spans.cut_texts(batch["text"], batch["special_spans"])
    plain = elements.texts if not elements.is_name.any() else elements.texts.filter(pa.array(~elements.is_name))
    name_ids = _name_ids(batch, tokenizer, elements)
    values, offsets = loss_spans.with_names(elements, name_ids, *tokenizer.encode(plain))
    trained = loss_spans.find_trained(
        elements, batch["text"], batch["loss_spans"], values, offsets, tokenizer.token_bytes
    )
    rows = loss_spans.document_offsets(elements, offsets)
    for row in trained.unknown.tolist():
        ids, flags = _marked_by_reference(batch, tokenizer, row)
        _compare(batch, row, values[rows[row] : rows[row + 1]].tolist(), ids)
        trained.flags[rows[row] : rows[row + 1]] = flags
    return _Encoded(values, rows, plain, loss_spans.masked_ranges(trained.flags, rows))


def _name_ids(batch: pa.RecordBatch, tokenizer: TextTokenizer, elements: loss_spans.Elements) -> np.ndarray:
    """For each element that names a token its id, -1 for the others (int64)."""
    names, numbers = loss_spans.names_of(elements)
    ids = [-1]
    for number, name in enumerate(names.to_pylist()):
        first = np.flatnonzero(numbers == number)[0]
        row = np.searchsorted(elements.firsts, first, side="right") - 1
        ids.append(token_id(tokenizer, f"{_where(batch, row)}: special_spans", name))
    return np.array(ids)[numbers + 1]


def _marked_by_reference(batch: pa.RecordBatch, tokenizer: TextTokenizer, row: int) -> tuple[list[int], list[int]]:
    loss, special = (batch[name][row].as_py() for name in ("loss_spans", "special_spans"))
    return tokenizer.encode_marked_by_reference(batch["text"][row].as_py(), loss, special)


def _check_some(batch: pa.RecordBatch, tokenizer: TextTokenizer, found: _Encoded) -> None:
    """Tokenizes the first document of the batch and 1 in `CHECKED_SHARE`, chosen by place, with tokenizers too."""
    if tokenizer.fast is None or batch.num_rows == 0:
        return
    info = info_of(batch)
    chosen = places(info.source, info.path, batch["row"].to_numpy()) % np.uint64(CHECKED_SHARE) == 0
    chosen[0] = True
    for row in np.flatnonzero(chosen).tolist():
        if found.masked is None:
            expected = tokenizer.encode_by_reference(batch["text"][row].as_py())
        else:
            expected, _ = _marked_by_reference(batch, tokenizer, row)
        _compare(batch, row, found.values[found.offsets[row] : found.offsets[row + 1]].tolist(), expected)


def _where(batch: pa.RecordBatch, row: int) -> str:
    info = info_of(batch)
    return f"{info.path} of source {info.source}, row {batch['row'][row]}"


def _compare(batch: pa.RecordBatch, row: int, found: list[int], expected: list[int]) -> None:
    """Raises where a document's ids are not those that tokenizers gives."""
    if found != expected:
        same = next((n for n, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(expected))
        raise BylineError(
            f"{_where(batch, row)}: gigatoken and tokenizers "
            f"disagree from token {same} on ({found[same : same + 4]} and {expected[same : same + 4]}); report "
            f"this document, and set `tokenizer.library: tokenizers` to go on with the slower library"
        )


class _TokenizeFn(beam.DoFn):
    def __init__(self, settings: corpora.Tokenizer) -> None:
        self.settings = settings

    def setup(self) -> None:
        self.tokenizer = shared_tokenizer(self.settings)

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield tokenize_batch(batch, self.tokenizer)


@lru_cache(maxsize=4)
def _load(file: str, library: str, add: tuple[str, ...]) -> TextTokenizer:
    return TextTokenizer(file, library, add)


def shared_tokenizer(settings: corpora.Tokenizer) -> TextTokenizer:
    """The process's one copy of a tokenizer: loading takes a second, and its cache of words warms with use."""
    return _load(settings.file, settings.library, tuple(settings.add))


class Tokenize(beam.PTransform):
    """Document batches with text -> document batches with tokens.

    Args:
        settings: which tokenizer; it is loaded in the worker.
    """

    def __init__(self, settings: corpora.Tokenizer) -> None:
        super().__init__()
        self.settings = settings

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return batches | "EncodeText" >> beam.ParDo(_TokenizeFn(self.settings))
