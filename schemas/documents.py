"""The document batch: the element on every edge of the preparing pipeline.

One `pa.RecordBatch` holds one chunk (about 64 MiB of text) of one input file. Columns come and go along the way:

```
ReadCorpus            row  text  url  <given scores>  <kept fields>   (for a formatter also, or instead of text:
                                                                       messages  question  answer)
FormatDocuments   -   messages  question  answer   +   loss_spans  special_spans   (another text)
ExtractMetadata   +   host  registered_domain
ScoreQuality      +   <scores float32>  <labels dictionary<int32, string>>
FilterDocuments       (fewer rows, counts in the batch's metadata)
                                                         of one that weighs them loss_weights, too
Tokenize          -   text  loss_spans  special_spans  loss_weights
                  +   num_bytes  num_tokens  tokens  masked   (with loss_weights also weighed  range_weights)
```

| column | type | null means |
|---|---|---|
| row | int64 | never null |
| text | large_string | absent in the input; dropped later |
| url | large_string | absent in the input |
| host, registered_domain | dictionary<int32, string> | unknown |
| a score | float32 | not scored |
| a label | dictionary<int32, string> | not labelled |
| a kept field | string, int64, float64 or bool as configured | absent in the input |
| num_bytes | int64 | never null: bytes of the text in UTF-8 |
| num_tokens | int32 | never null |
| tokens | large_list<uint16 or int32> | never null |
| messages | list<struct<role: string, content: string>> | absent in the input |
| question, answer | large_string | absent in the input |
| problem | string: `128+367` of a document of one addition | never null |
| loss_spans | list<int32>: start, end, ... in characters of the text, ascending, apart | all of the text is trained |
| loss_weights | list<float64>: the weight of each loss span, or one for all of the text | 1 for each |
| special_spans | list<int32>, likewise | none: no part of the text is the name of a token; an empty span is a cut |
| masked | list<int32>: start, end, ... in tokens, ascending, apart | never null: tokens that do not count in the loss |
| weighed | list<int32>, likewise | never null: tokens that count with another weight than 1 |
| range_weights | list<float64> | never null: the weight of each range of `weighed` |

Only batches of a source with a `formatter` or `format: arithmetic` have `loss_spans`, `special_spans` and `masked`,
and only those of a source whose formatter weighs its loss spans `loss_weights`, `weighed` and `range_weights`.

What a batch is, and what has happened to its rows so far, is kept in the schema's metadata as a `BatchInfo`. A
batch from another pipeline needs none until its run is written, which is named by its source and file (`with_info`).
Its rejects are there, too (`transforms/documents/rejects.py`).
"""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa

from byline.errors import BylineError

INFO_KEY = b"byline.batch"
REJECTS_KEY = b"byline.rejects"

ROW = pa.field("row", pa.int64(), nullable=False)
TEXT = pa.field("text", pa.large_string())
URL = pa.field("url", pa.large_string())
LABEL_TYPE = pa.dictionary(pa.int32(), pa.string())
SCORE_TYPE = pa.float32()
HOST = pa.field("host", LABEL_TYPE)
REGISTERED_DOMAIN = pa.field("registered_domain", LABEL_TYPE)
NUM_BYTES = pa.field("num_bytes", pa.int64(), nullable=False)
NUM_TOKENS = pa.field("num_tokens", pa.int32(), nullable=False)
SPANS_TYPE = pa.list_(pa.field("item", pa.int32(), nullable=False))
MESSAGES = pa.field("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))
QUESTION = pa.field("question", pa.large_string())
ANSWER = pa.field("answer", pa.large_string())
PROBLEM = pa.field("problem", pa.string())
LOSS_SPANS = pa.field("loss_spans", SPANS_TYPE)
SPECIAL_SPANS = pa.field("special_spans", SPANS_TYPE)
WEIGHTS_TYPE = pa.list_(pa.field("item", pa.float64(), nullable=False))
LOSS_WEIGHTS = pa.field("loss_weights", WEIGHTS_TYPE)
MASKED = pa.field("masked", SPANS_TYPE, nullable=False)
WEIGHED = pa.field("weighed", SPANS_TYPE, nullable=False)
RANGE_WEIGHTS = pa.field("range_weights", WEIGHTS_TYPE, nullable=False)


def tokens_field(id_type: pa.DataType) -> pa.Field:
    """The column of token ids, of uint16 or int32."""
    return pa.field("tokens", pa.large_list(pa.field("item", id_type, nullable=False)), nullable=False)


@dataclass(frozen=True)
class RecordField:
    """What `fields` of a source can name, and a formatter read.

    Attributes:
        column: of a batch.
        is_content: whether a document's text is made of it, so that no record may have it as another type.
        is_formatted: whether only a formatter reads it.
    """

    column: pa.Field
    is_content: bool = True
    is_formatted: bool = False


RECORD_FIELDS = {
    record_field.column.name: record_field
    for record_field in (
        RecordField(TEXT),
        RecordField(URL, is_content=False),
        RecordField(MESSAGES, is_formatted=True),
        RecordField(QUESTION, is_formatted=True),
        RecordField(ANSWER, is_formatted=True),
    )
}
# The columns that hold a document's text.
CONTENTS = tuple(name for name, record_field in RECORD_FIELDS.items() if record_field.is_content)
FORMATTED = tuple(name for name, record_field in RECORD_FIELDS.items() if record_field.is_formatted)

# Numbers that every document has.
SIZES = {"num_tokens": "int", "num_bytes": "int"}

# Names that a score, label or kept field must not have, besides those of template fields (`byline.schemas.fields`):
# columns of a batch, of a run and of a merged run.
RESERVED_NAMES = frozenset(
    {*RECORD_FIELDS, "row", "host", "registered_domain", "loss_spans", "special_spans", "loss_weights"}
    | {"shuffle_key", "file", "num_bytes", "num_tokens", "tokens", "masked", "weighed", "range_weights", "epoch"}
)


@dataclass(frozen=True)
class InputFile:
    """One input file, as the driver lists it and as `ReadCorpus` takes it.

    Attributes:
        source: name of the source in the configuration.
        path: path relative to the source's root, `/` between parts; part of every document's identity.
        uri: where to open it.
        size: bytes of the file, compressed; for made arithmetic, its number of additions.
        done: chunks that the token store already has, in ascending order.
        modified: when the file was last changed, in nanoseconds since 1970; 0 if nobody can say.
    """

    source: str
    path: str
    uri: str
    size: int
    done: tuple[int, ...] = ()
    modified: int = 0

    @property
    def identity(self) -> tuple[int, int]:
        """What tells this file from another one of its path: size and time of the last change."""
        return self.size, self.modified

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "InputFile":
        values = json.loads(text)
        return cls(**{**values, "done": tuple(values["done"])})


@dataclass(frozen=True)
class BatchInfo:
    """What a batch is and what happened to its rows.

    Attributes:
        source, path: the input file (see `InputFile`); empty for a batch that nobody has said it of.
        chunk: number of the batch in its file, from 0.
        last: whether the file ends with this batch.
        input_size: bytes of the input file.
        rows_read: records of the input file that this batch covers, dropped ones included.
        bytes_read: bytes of their texts in UTF-8.
        dropped: `DropReason` value -> documents.
        special_text: occurrences of text that looks like a special token, in kept documents.
        input_modified: `modified` of the input file.
        input_checksum: of the bytes of the input file (`RawStream.checksum`), in its last batch; else empty.
        damage: why the file could be read no further, in the last batch of one that is used up to there; else empty.
    """

    source: str = ""
    path: str = ""
    chunk: int = 0
    last: bool = True
    input_size: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    special_text: int = 0
    input_modified: int = 0
    input_checksum: str = ""
    damage: str = ""

    def with_dropped(self, counts: dict[str, int]) -> "BatchInfo":
        """Adds counts by reason; zero counts leave no key."""
        total = dict(self.dropped)
        for reason, count in counts.items():
            if count:
                total[reason] = total.get(reason, 0) + count
        return replace(self, dropped=total)


def info_of(batch: pa.RecordBatch) -> BatchInfo:
    """The `BatchInfo` of a batch; a default without source and file for one that has none."""
    text = (batch.schema.metadata or {}).get(INFO_KEY)
    return BatchInfo(rows_read=batch.num_rows) if text is None else BatchInfo(**json.loads(text))


def origin_of(batch: pa.RecordBatch, step: str) -> BatchInfo:
    """The `BatchInfo` of a batch, for a step that depends on the source and the file.

    Raises:
        BylineError: the batch does not name them.
    """
    info = info_of(batch)
    if not info.source or not info.path:
        raise BylineError(
            f"{step}: the batch does not say which source and file it is from; give it that with "
            "byline.schemas.documents.with_info(batch, BatchInfo(source=..., path=..., chunk=...))"
        )
    return info


def with_info(batch: pa.RecordBatch, info: BatchInfo) -> pa.RecordBatch:
    """The batch with another `BatchInfo`, without a copy."""
    encoded = json.dumps(asdict(info), sort_keys=True).encode()
    metadata: dict[bytes, Any] = {**(batch.schema.metadata or {}), INFO_KEY: encoded}
    return batch.replace_schema_metadata(metadata)


# Which step makes a column that another one needs.
_MADE_BY = {
    "row": "ReadCorpus",
    **dict.fromkeys(RECORD_FIELDS, "ReadCorpus"),
    "text": "ReadCorpus or FormatDocuments",
    "loss_spans": "FormatDocuments",
    "special_spans": "FormatDocuments",
    "loss_weights": "FormatDocuments",
    "num_bytes": "Tokenize",
    "num_tokens": "Tokenize",
    "tokens": "Tokenize",
}


def with_columns(batch: pa.RecordBatch, step: str, *fields: pa.Field) -> pa.RecordBatch:
    """Sees to it that a batch has the columns that a step needs, in their documented types.

    Args:
        batch: from another step, or from another pipeline.
        step: for the message.
        fields: of the table above.

    Returns:
        The batch itself, or one with strings and integers of another width as documented.

    Raises:
        BylineError: a column is missing, or of another type.
    """
    for needed in fields:
        number = batch.schema.get_field_index(needed.name)
        if number < 0:
            raise BylineError(
                f"{step}: the batch has no column {needed.name!r} ({needed.type}), which {_MADE_BY[needed.name]} "
                f"makes; it has {', '.join(batch.schema.names) or 'no column'}"
            )
        if batch.schema.field(number).type != needed.type:
            batch = batch.set_column(number, needed, _widened(batch.column(number), step, needed))
    return batch


def _widened(column: pa.Array, step: str, needed: pa.Field) -> pa.Array:
    kinds = (pa.types.is_integer, lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind))
    if not any(is_kind(column.type) and is_kind(needed.type) for is_kind in kinds):
        raise BylineError(f"{step}: expected a column {needed.name!r} of type {needed.type}, found {column.type}")
    return column.cast(needed.type)
