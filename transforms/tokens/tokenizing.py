"""Texts of document batches -> token ids, and the ranges of them that a formatter masks.

```
text         "a b"   "a <|endoftext|>"        tokens       [a, Ġb]  [a, Ġ<, |, end, of, text, |, >]
loss_spans   [0, 1]  null                     masked       [1, 2]   []
```

Of one document in 256 a piece is tokenized by both libraries, and of one in 4,096 the whole (see `text_tokenizer`); a
difference is an error. `special_text` counts the names of special tokens in the texts. Where a formatter marks such
names as tokens (`special_spans`), their ids are inserted, and the texts between them are tokenized on their own.
`loss_spans` become the column `masked`, and `loss_weights` the columns `weighed` and `range_weights`
(`byline.transforms.tokens.loss_spans`).
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas import documents
from byline.schemas.documents import (
    LOSS_SPANS,
    LOSS_WEIGHTS,
    ROW,
    SPECIAL_SPANS,
    TEXT,
    info_of,
    with_columns,
    with_info,
)
from byline.schemas.reasons import DropReason
from byline.transforms.documents.shuffle_keys import shuffle_keys
from byline.transforms.documents.text_parts import byte_positions, text_buffers, texts_of
from byline.transforms.filters.filtering import apply_reasons
from byline.transforms.tokens import loss_spans
from byline.transforms.tokens.text_tokenizer import TextTokenizer, token_id

# The reference is much slower than gigatoken. So of one document in 256 only some characters are compared, as a text of
# their own (the ids of a part are no part of the ids), and of one in 4,096 all, if they are not too many.
PIECE_SHARE, PIECE_CHARACTERS = 256, 512
WHOLE_SHARE, WHOLE_BYTES = 4096, 1 << 14
_STEP = "Tokenize"


def tokenize_batch(batch: pa.RecordBatch, tokenizer: TextTokenizer) -> pa.RecordBatch:
    """Replaces the text by its tokens, drops documents without any, and checks a fixed share of the rest.

    Args:
        batch: with `row` and `text` (no null), and `loss_spans` and `special_spans` where its source is formatted;
            those become `masked`; with `loss_weights` where its formatter weighs, which become `weighed` and
            `range_weights`.
        tokenizer: gives the ids.

    Raises:
        BylineError: a column is missing or a text null, the two libraries disagree about a document, or a special span
            names no token.
    """
    batch = with_columns(batch, _STEP, ROW, TEXT)
    info = info_of(batch)
    text = batch["text"]
    if text.null_count:
        raise BylineError(
            f"{_STEP}: {text.null_count} of {len(text)} texts are null; FilterDocuments drops such documents"
        )
    is_marked = "loss_spans" in batch.schema.names
    is_weighed = "loss_weights" in batch.schema.names
    if is_marked:
        batch = with_columns(batch, _STEP, LOSS_SPANS, SPECIAL_SPANS, *([LOSS_WEIGHTS] if is_weighed else []))
    encoded = _encode_marked(batch, tokenizer) if is_marked else _Encoded(*tokenizer.encode(text), text)
    lengths = np.diff(encoded.offsets)
    _check_sample(batch, tokenizer, encoded)
    made_of = ("text", "loss_spans", "special_spans", "loss_weights")
    fields = [field for field in batch.schema if field.name not in made_of]
    columns = [batch[field.name] for field in fields]
    columns += [
        pc.cast(pc.binary_length(text), pa.int64()),
        pa.array(lengths.astype(np.int32)),
        pa.LargeListArray.from_arrays(pa.array(encoded.offsets), pa.array(encoded.values)),
    ]
    fields += [documents.NUM_BYTES, documents.NUM_TOKENS, documents.tokens_field(tokenizer.id_type)]
    if is_marked:
        fields.append(documents.MASKED)
        columns.append(encoded.masked)
    if encoded.weighed:
        fields += [documents.WEIGHED, documents.RANGE_WEIGHTS]
        columns += encoded.weighed
    tokenized = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, batch.schema.metadata))
    kept = apply_reasons(
        with_info(tokenized, info),
        pc.if_else(pa.array(lengths == 0), DropReason.NO_TOKENS.value, pa.scalar(None, pa.string())),
    )
    special = tokenizer.count_special_text(encoded.plain)
    return with_info(kept, replace(info_of(kept), special_text=info.special_text + special))


class _Encoded(NamedTuple):
    """A batch's tokens.

    Attributes:
        values: ids of all documents in order.
        offsets: into them, int64 [rows + 1].
        plain: the texts that were tokenized as text.
        masked: the column of that name, if there are spans.
        weighed: the columns `weighed` and `range_weights`, if the spans have weights.
    """

    values: np.ndarray
    offsets: np.ndarray
    plain: pa.Array
    masked: pa.Array | None = None
    weighed: tuple[pa.Array, ...] = ()


class SpanTokens(NamedTuple):
    """Tokens of documents with spans, and which of them have a byte in a loss span.

    Attributes:
        values: ids of all documents in order.
        offsets: into them, int64 [rows + 1].
        flags: uint8 [tokens], 1 for those with a byte in a span, and for all of a document whose loss spans are null.
        weights: float64 [tokens], as in `loss_spans.Trained`.
        plain: the texts that were tokenized as text.
    """

    values: np.ndarray
    offsets: np.ndarray
    flags: np.ndarray
    weights: np.ndarray
    plain: pa.Array


def tokens_in_spans(batch: pa.RecordBatch, tokenizer: TextTokenizer) -> SpanTokens:
    """Tokenizes documents with spans and finds the tokens in them.

    Args:
        batch: with `row`, `text` (no null), `loss_spans` and `special_spans`, and perhaps `loss_weights`.
        tokenizer: gives the ids, and the offsets of documents whose bytes its tokens do not spell.

    Raises:
        BylineError: the two libraries disagree about a document, or a special span names no token.
    """
    elements = loss_spans.cut_texts(batch["text"], batch["special_spans"])
    plain = elements.texts if not elements.is_name.any() else elements.texts.filter(pa.array(~elements.is_name))
    name_ids = _name_ids(batch, tokenizer, elements)
    values, offsets = loss_spans.with_names(elements, name_ids, *tokenizer.encode(plain))
    is_weighed = "loss_weights" in batch.schema.names
    weights = batch["loss_weights"] if is_weighed else None
    trained = loss_spans.find_trained(
        elements, batch["text"], batch["loss_spans"], values, offsets, tokenizer.token_bytes, weights
    )
    rows = loss_spans.document_offsets(elements, offsets)
    for row in trained.unknown.tolist():
        ids, of_tokens = _marked_by_reference(batch, tokenizer, row)
        own = slice(rows[row], rows[row + 1])
        _compare(batch, row, values[own].tolist(), ids)
        trained.flags[own] = np.array(of_tokens) > 0
        if is_weighed:
            trained.weights[own] = of_tokens
    return SpanTokens(values, rows, trained.flags, trained.weights, plain)


def _encode_marked(batch: pa.RecordBatch, tokenizer: TextTokenizer) -> _Encoded:
    """Tokenizes documents with spans."""
    values, offsets, flags, weights, plain = tokens_in_spans(batch, tokenizer)
    weighed = loss_spans.weighed_ranges(flags, weights, offsets) if "loss_weights" in batch.schema.names else ()
    return _Encoded(values, offsets, plain, loss_spans.masked_ranges(flags, offsets), weighed)


def _name_ids(batch: pa.RecordBatch, tokenizer: TextTokenizer, elements: loss_spans.Elements) -> np.ndarray:
    """The id of each element that names a token, -1 for the others (int64)."""
    names, numbers = loss_spans.names_of(elements)
    ids = [-1]
    for number, name in enumerate(names.to_pylist()):
        first = np.flatnonzero(numbers == number)[0]
        row = np.searchsorted(elements.firsts, first, side="right") - 1
        if name in tokenizer.plain_names:
            raise BylineError(
                f"{_where(batch, row)}: special_spans: {name!r} is not special to the tokenizer, so a text that spells "
                "it would get its id, too; list it under tokenizer.sentinels"
            )
        ids.append(token_id(tokenizer, f"{_where(batch, row)}: special_spans", name))
    return np.array(ids)[numbers + 1]


def _marked_by_reference(batch: pa.RecordBatch, tokenizer: TextTokenizer, row: int) -> tuple[list[int], list[float]]:
    loss, special = (batch[name][row].as_py() for name in ("loss_spans", "special_spans"))
    weights = batch["loss_weights"][row].as_py() if "loss_weights" in batch.schema.names else None
    return tokenizer.encode_marked_by_reference(batch["text"][row].as_py(), loss, special, weights)


def _check_sample(batch: pa.RecordBatch, tokenizer: TextTokenizer, encoded: _Encoded) -> None:
    """Compares a fixed share of the documents with what tokenizers gives, and the first one of the batch.

    Raises:
        BylineError: a document has other ids.
    """
    if tokenizer.fast is None or batch.num_rows == 0:
        return
    info = info_of(batch)
    keys = shuffle_keys(info.source, info.path, batch["row"].to_numpy())
    _check_pieces(batch, tokenizer, np.flatnonzero(keys % np.uint64(PIECE_SHARE) == 0), keys)
    is_whole = keys % np.uint64(WHOLE_SHARE) == 0
    is_whole[0] = True
    is_whole &= pc.binary_length(batch["text"]).to_numpy() <= WHOLE_BYTES
    for row in np.flatnonzero(is_whole).tolist():
        if encoded.masked is None:
            expected = tokenizer.encode_by_reference(batch["text"][row].as_py())
        else:
            expected, _ = _marked_by_reference(batch, tokenizer, row)
        _compare(batch, row, encoded.values[encoded.offsets[row] : encoded.offsets[row + 1]].tolist(), expected)


def _check_pieces(batch: pa.RecordBatch, tokenizer: TextTokenizer, rows: np.ndarray, keys: np.ndarray) -> None:
    """Compares a piece of each of some documents, from a character that its shuffle key chooses on."""
    if len(rows) == 0:
        return
    texts = batch["text"].take(pa.array(rows))
    lengths = pc.utf8_length(texts).to_numpy()
    # The low bits of the key are those that chose the document.
    starts = (keys[rows] >> np.uint64(16)) % np.maximum(lengths - PIECE_CHARACTERS + 1, 1).astype(np.uint64)
    stops = np.minimum(starts.astype(np.int64) + PIECE_CHARACTERS, lengths)
    borders = np.stack([starts.astype(np.int64), stops], axis=1).reshape(-1)
    cuts = byte_positions(texts, borders, np.arange(0, 2 * len(rows) + 1, 2))
    pieces = texts_of(cuts, text_buffers(texts)[1]).take(pa.array(np.arange(0, 2 * len(rows) - 1, 2)))
    values, offsets = tokenizer.encode(pieces)
    expected = tokenizer.encode_all_by_reference(pieces)
    for number, row in enumerate(rows.tolist()):
        _compare(batch, row, values[offsets[number] : offsets[number + 1]].tolist(), expected[number])


def _where(batch: pa.RecordBatch, row: int) -> str:
    info = info_of(batch)
    file = f"{info.path} of source {info.source}, " if info.path else ""
    return f"{file}row {batch['row'][row]}"


def _compare(batch: pa.RecordBatch, row: int, ids: list[int], expected: list[int]) -> None:
    """Raises an error if a document's ids are not those that tokenizers gives."""
    if ids != expected:
        same = next((n for n, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b), len(expected))
        raise BylineError(
            f"{_where(batch, row)}: gigatoken and tokenizers "
            f"disagree from token {same} on ({ids[same : same + 4]} and {expected[same : same + 4]}); report "
            f"this document, and set `tokenizer.library: tokenizers` to go on with the slower library"
        )
