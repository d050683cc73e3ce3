"""The document batch: the element on every edge of the preparing pipeline.

One `pa.RecordBatch` holds one chunk (about 64 MiB of text) of one input file. Columns come and go along the way:

```
ReadCorpus            row  text  url  <given scores>  <kept fields>   (for a formatter also, or instead of text:
                                                                       messages  question  answer)
FormatDocuments   -   messages  question  answer   +   loss_spans  special_spans   (another text)
ExtractMetadata   +   host  registered_domain
ScoreQuality      +   <scores float32>  <labels dictionary<int32, string>>
FilterDocuments       (fewer rows, counts in the batch's metadata)
Tokenize          -   text  loss_spans  special_spans   +  num_bytes  num_tokens  tokens  masked
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
| loss_spans | list<int32>: start, end, ... in characters of the text, ascending, apart | all of the text is trained |
| special_spans | list<int32>, likewise | none: no part of the text is the name of a token; an empty span is a cut |
| masked | list<int32>: start, end, ... in tokens, ascending, apart | never null: tokens that do not count in the loss |

Only batches of a source with a `formatter` or `format: arithmetic` have `loss_spans`, `special_spans` and `masked`.

What a batch is, and what has happened to its rows so far, is kept in the schema's metadata as a `BatchInfo`.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa

INFO_KEY = b"byline.batch"

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
LOSS_SPANS = pa.field("loss_spans", SPANS_TYPE)
SPECIAL_SPANS = pa.field("special_spans", SPANS_TYPE)
MASKED = pa.field("masked", SPANS_TYPE, nullable=False)


def tokens_field(id_type: pa.DataType) -> pa.Field:
    """The column of token ids, of uint16 or int32."""
    return pa.field("tokens", pa.large_list(pa.field("item", id_type, nullable=False)), nullable=False)


# Names that a score, label or kept field must not have: columns of the store, and fields derived for templates.
RESERVED_NAMES = frozenset(
    {"row", "text", "url", "host", "registered_domain", "suffix", "path", "host_hash", "url_hash"}
    | {"source", "shuffle_key", "num_bytes", "num_tokens", "tokens", "epoch"}
    | {"messages", "question", "answer", "loss_spans", "special_spans", "masked"}
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
    """

    source: str
    path: str
    uri: str
    size: int
    done: tuple[int, ...] = ()

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
        source, path: the input file (see `InputFile`).
        chunk: number of the batch in its file, from 0.
        last: whether the file ends with this batch.
        input_size: bytes of the input file.
        rows_read: records of the input file that this batch covers, dropped ones included.
        bytes_read: bytes of their texts in UTF-8.
        dropped: `DropReason` value -> documents.
        special_text: occurrences of text that looks like a special token, in kept documents.
    """

    source: str
    path: str
    chunk: int
    last: bool
    input_size: int
    rows_read: int
    bytes_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    special_text: int = 0

    def with_dropped(self, counts: dict[str, int]) -> "BatchInfo":
        """Adds counts by reason; zero counts leave no key."""
        total = dict(self.dropped)
        for reason, count in counts.items():
            if count:
                total[reason] = total.get(reason, 0) + count
        return replace(self, dropped=total)


def info_of(batch: pa.RecordBatch) -> BatchInfo:
    """The `BatchInfo` of a batch."""
    return BatchInfo(**json.loads(batch.schema.metadata[INFO_KEY]))


def with_info(batch: pa.RecordBatch, info: BatchInfo) -> pa.RecordBatch:
    """The batch with another `BatchInfo`, without a copy."""
    metadata: dict[bytes, Any] = {INFO_KEY: json.dumps(asdict(info), sort_keys=True).encode()}
    return batch.replace_schema_metadata(metadata)
