"""The token store: a sorted Arrow IPC file, a run, for each chunk of each input file, or a merged run for several.

```
STORE/<source>/<fingerprint>/source.json              the fingerprint's settings, so that a changed key can be named
STORE/<source>/<fingerprint>/times.json               when the input files were last changed (store/input_times.py)
STORE/<source>/<fingerprint>/versions.json            which versions of the libraries have written its runs
STORE/<source>/<fingerprint>/rejects/                 what was dropped of each chunk (transforms/store/rejects.py)
STORE/<source>/<fingerprint>/<file hash>-00000.arrow  run of chunk 0
STORE/<source>/<fingerprint>/merged-<hash>.arrow      merged run (`byline compact`)
```

| column | type |
|---|---|
| shuffle_key | uint64, ascending; equal shuffle keys by row |
| row | int64 |
| num_tokens | int32 |
| masked | list<int32>: ranges of tokens that do not count in the loss; only if a formatter gives loss spans |
| weighed | list<int32>: ranges of tokens that count with another weight than 1; only if a formatter weighs loss spans |
| range_weights | list<float64>: the weight of each of those ranges; only with them |
| each score, each kept number or bool | float32, as configured |
| host, registered_domain | string |
| each label, each kept text | string |
| num_bytes | int64 |
| url | large_string |
| tokens | large_list<uint16> if the vocabulary fits, else large_list<int32> |

The order matters: the columns that every reader of a range needs come first in a record batch, so that an object store
returns them in one request (`transforms/store/run_ranges.py`). No column is a dictionary, which would have to be read
whole for every range. Record batches hold 1 MiB of tokens, so that a range of shuffle keys can be read alone;
`batch_shuffle_keys` gives the first shuffle key of each batch. A run is written under another name and renamed, so a
run that exists is complete. An input file is done when its chunks 0..last exist with its current size and time of the
last change, and the configuration's current fingerprint; before that, nothing of it counts.

A merged run has the documents of several chunks, and one more column:

| column | type |
|---|---|
| file | int32, after `row`: the number of the document's chunk; chunks are in order of (path in UTF-8, chunk) |

Documents with equal shuffle keys are in order of (file, row). Only whole files are merged, so any two files of a token
store hold disjoint or nested sets of chunks, unless an input file went away and came back.
`transforms/store/store_index.py` says which of them are used.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, TypeVar

import pyarrow as pa
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from byline.errors import DamagedFileError, of_version
from byline.schemas.field_counts import FieldCounts

RUN_KEY = b"byline.run"
STORE_VERSION = 4
SHUFFLE_KEY = pa.field("shuffle_key", pa.uint64(), nullable=False)
FILE = pa.field("file", pa.int32(), nullable=False)
MERGED_PREFIX = "merged-"
# Small enough that a range read of a few documents wastes little (it reads columns of the whole batch, but not its
# tokens), large enough that a run has a short index: 1,000 batches a GiB.
BATCH_TOKEN_BYTES = 1 << 20
# The first and the last columns; the others come in between, numbers before texts.
_FIRST = ("shuffle_key", "row", "file", "num_tokens", "masked", "weighed", "range_weights")
_LAST = ("num_bytes", "url", "tokens")
# Of a `RunInfo`.
_NOT_STORED = ("uri", "input_modified")


def in_order(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A sorted batch with its columns in the order and of the types of a run; its metadata is kept."""
    decoded = {
        name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    fields = sorted((batch.schema.field(name).with_type(decoded[name].type) for name in decoded), key=_position)
    schema = pa.schema(fields, batch.schema.metadata)
    return pa.RecordBatch.from_arrays([decoded[field.name] for field in fields], schema=schema)


def _position(field: pa.Field) -> tuple[int, int]:
    if field.name in _FIRST:
        return 0, _FIRST.index(field.name)
    if field.name in _LAST:
        return 3, _LAST.index(field.name)
    return (1, 0) if pa.types.is_primitive(field.type) else (2, field.name not in ("host", "registered_domain"))


_ShuffleKey = Annotated[int, Field(ge=0, lt=2**64)]
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class RunInfo:
    """What a run says about its chunk, and where the run is.

    Attributes:
        fingerprint: of the configuration that the run was prepared with (64 hex digits).
        source, path, chunk, last, input_size, rows_read, bytes_read, dropped, special_text, input_checksum, damage: as
            in `BatchInfo`.
        rows: documents in the run.
        text_bytes: bytes of their texts.
        tokens: number of their tokens.
        batch_shuffle_keys: first shuffle key of each record batch; empty for an empty run, and for a chunk of a merged
            run, whose batches mix chunks.
        uri: of the run, which all chunks of a merged run share; not stored in it.
        input_modified: when the chunk's file was last changed, as it was read (`InputFile.modified`); 0 where that is
            not known. Not stored in the run, which a copy of the file makes, too: it stands in times.json.
        fields: url, host, registered domain and each configured column -> how many documents have a value.
    """

    __pydantic_config__ = _STRICT

    fingerprint: str
    source: str
    path: str
    chunk: int
    last: bool
    input_size: int
    rows_read: int
    bytes_read: int
    dropped: dict[str, int]
    special_text: int
    rows: int
    text_bytes: int
    tokens: int
    batch_shuffle_keys: list[_ShuffleKey] = field(default_factory=list)
    uri: str = ""
    input_modified: int = 0
    input_checksum: str = ""
    damage: str = ""
    fields: dict[str, FieldCounts] = field(default_factory=dict)

    @property
    def input_identity(self) -> tuple[int, int]:
        """`InputFile.identity` of the chunk's file, when it was read."""
        return self.input_size, self.input_modified

    def to_metadata(self) -> dict[bytes, bytes]:
        """Schema metadata of the chunk's own run."""
        return _to_metadata(_values(self))

    @classmethod
    def from_schema(cls, schema: pa.Schema, uri: str) -> "RunInfo":
        """Reads the description of a run that is not merged; raises `DamagedFileError` as `RunFile.from_schema`."""
        return replace(_read(_CHUNK, _from_metadata(schema, uri), uri), uri=uri)


@dataclass(frozen=True)
class RunFile:
    """One file of the token store: a run of one chunk, or a merged run.

    Attributes:
        chunks: its chunks, by (path in UTF-8, chunk); the column `file` of a merged run numbers them.
        batch_shuffle_keys: first shuffle key of each record batch.
        size: bytes of the file; for a merged run, of the unmerged runs that it came from.
        uri: of the file.
    """

    chunks: list[RunInfo]
    batch_shuffle_keys: list[int]
    size: int
    uri: str

    @property
    def source(self) -> str:
        """The source, the same for all chunks."""
        return self.chunks[0].source

    @property
    def is_merged(self) -> bool:
        """Whether it holds several chunks."""
        return len(self.chunks) > 1

    @property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return sum(chunk.tokens for chunk in self.chunks)

    def with_times(self, times: Mapping[str, int]) -> "RunFile":
        """With `input_modified` of each chunk, by path; 0 where none is known."""
        return replace(self, chunks=[replace(run, input_modified=times.get(run.path, 0)) for run in self.chunks])

    def to_metadata(self) -> dict[bytes, bytes]:
        """Schema metadata of a merged run."""
        chunks = [
            {key: value for key, value in _values(chunk).items() if key != "batch_shuffle_keys"}
            for chunk in self.chunks
        ]
        return _to_metadata({"chunks": chunks, "batch_shuffle_keys": self.batch_shuffle_keys, "size": self.size})

    @classmethod
    def from_schema(cls, schema: pa.Schema, uri: str, size: int = 0) -> "RunFile":
        """Reads the description of a run, merged or not.

        Args:
            schema: of the file.
            uri: of the file.
            size: bytes of the file.

        Raises:
            DamagedFileError: the file is not a run of this version.
        """
        values = _from_metadata(schema, uri)
        if "chunks" not in values:
            info = replace(_read(_CHUNK, values, uri), uri=uri)
            return cls([info], info.batch_shuffle_keys, size, uri)
        merged = _read(_MERGED, values, uri)
        chunks = [replace(chunk, uri=uri) for chunk in merged.chunks]
        return cls(chunks, merged.batch_shuffle_keys, merged.size, uri)


@dataclass(frozen=True)
class _MergedValues:
    """What the metadata of a merged run says."""

    __pydantic_config__ = _STRICT

    chunks: Annotated[list[RunInfo], Field(min_length=1)]
    batch_shuffle_keys: list[_ShuffleKey]
    size: int


_CHUNK = TypeAdapter(RunInfo)
_MERGED = TypeAdapter(_MergedValues)
_Values = TypeVar("_Values")


def _read(kind: TypeAdapter[_Values], values: dict[str, Any], uri: str) -> _Values:
    try:
        # From JSON, where pydantic takes an object for a dataclass and still every value as it is.
        return kind.validate_json(json.dumps(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise DamagedFileError(
            f"{uri}: its metadata is not that of a run ({where}: {problem['msg']}); delete it and prepare again"
        ) from None


def _values(info: RunInfo) -> dict[str, Any]:
    return {key: value for key, value in asdict(info).items() if key not in _NOT_STORED}


def _to_metadata(values: dict[str, Any]) -> dict[bytes, bytes]:
    return {RUN_KEY: json.dumps({"version": STORE_VERSION, **values}, sort_keys=True).encode()}


def _from_metadata(schema: pa.Schema, uri: str) -> dict[str, Any]:
    encoded = (schema.metadata or {}).get(RUN_KEY)
    try:
        values = json.loads(encoded) if encoded else {}
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{uri}: its metadata is not JSON ({error}); delete it and prepare again") from None
    version = values.pop("version", None) if isinstance(values, dict) else None
    if version != STORE_VERSION:
        advice = "delete it and prepare again"
        raise DamagedFileError(f"{uri}: not a run of the token store {of_version(STORE_VERSION, version, advice)}")
    return values
