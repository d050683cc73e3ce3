"""The token store: one sorted Arrow IPC file, a run, for each chunk of each input file.

```
STORE/<source>/<fingerprint>/source.json            what the fingerprint was made from, to name a changed key
STORE/<source>/<fingerprint>/<file hash>-00000.arrow  run of chunk 0
```

| column | type |
|---|---|
| place | uint64, ascending; equal places by row |
| row | int64 |
| url | large_string |
| host, registered_domain | dictionary<int32, string> |
| each score | float32 |
| each label | dictionary<int32, string> |
| each kept field | as configured |
| num_bytes | int64 |
| num_tokens | int32 |
| tokens | large_list<uint16> where the vocabulary fits, else large_list<int32> |
| masked | list<int32>: ranges of tokens whose loss does not count; only of sources that a rewrite gives loss spans |

Record batches hold 1-4 MiB of tokens, so that a range of places can be read alone: `batch_places` gives the first
place of each. A run is written under another name and renamed, so one that exists is whole. An input file is
done when its chunks 0..last exist with the fingerprint and the input size that the configuration gives now.
"""

import json
from dataclasses import asdict, dataclass

import pyarrow as pa

from byline.errors import BylineError

RUN_KEY = b"byline.run"
STORE_VERSION = 1
PLACE = pa.field("place", pa.uint64(), nullable=False)
# Small enough that a range read of a few documents wastes little, large enough that a run has a short index.
BATCH_TOKEN_BYTES = 2 << 20


@dataclass(frozen=True)
class RunInfo:
    """The schema metadata of one run, and where the run is.

    Attributes:
        fingerprint: of the configuration that the run was prepared with (64 hex digits).
        source, path, chunk, last, input_size, rows_read, bytes_read, dropped, special_text: as in `BatchInfo`.
        rows: documents in the run.
        text_bytes: bytes of their texts.
        tokens: their tokens.
        batch_places: first place of each record batch (an empty run has none).
        uri: where the run is; not stored in it.
    """

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
    batch_places: list[int]
    uri: str = ""

    def to_metadata(self) -> dict[bytes, bytes]:
        values = {key: value for key, value in asdict(self).items() if key != "uri"}
        return {RUN_KEY: json.dumps({"version": STORE_VERSION, **values}, sort_keys=True).encode()}

    @classmethod
    def from_schema(cls, schema: pa.Schema, uri: str) -> "RunInfo":
        """Reads a run's description; raises `BylineError` for a file that is no run of this version."""
        found = (schema.metadata or {}).get(RUN_KEY)
        values = json.loads(found) if found else {}
        if values.pop("version", None) != STORE_VERSION:
            raise BylineError(f"{uri}: not a run of store version {STORE_VERSION}; delete it or choose another `store`")
        return cls(**values, uri=uri)
