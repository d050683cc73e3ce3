"""The plan: which places of which source go to which shard. Integers only, whatever the number of runs.

```
phase        shard  slice  source  epoch  place_lo              place_hi              predicates
conditioned  0      0      c4      0      281474976710656       4503599627370495      [{"below": [...], "field":
"quality"}] conditioned  0      0      dclm    0      0                     9007199254740991      [...]
conditioned  1      0      c4      0      4503599627370496      ...
```

`place_hi` belongs to the range. An interval that goes past the end of the circle of places stands in two rows.
`predicates` is a JSON list; a document is taken where all hold. `OUT/plan.arrow` is this table as an Arrow IPC file
with the header in its schema metadata, and `plan_sha256` is the sha256 of that file's bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from byline.errors import BylineError

PLAN_KEY = b"byline.plan"
PLAN_VERSION = 1
FILE_NAME = "plan.arrow"

PLAN_SCHEMA = pa.schema(
    [
        pa.field("phase", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("slice", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("place_lo", pa.uint64(), nullable=False),
        pa.field("place_hi", pa.uint64(), nullable=False),
        pa.field("predicates", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Plan:
    """A plan and what it was made from.

    Attributes:
        table: rows by phase, shard, slice, source, epoch, place; columns as `PLAN_SCHEMA`.
        header: JSON values: `seed`, `sequence`, `ids`, `tokenizer`, `phases` (name, condition, shards, rows expected),
            `intervals`, `fingerprints` of the sources, `inputs` (sha256 of the list of input files), `report`,
            `ledger`.
    """

    table: pa.Table
    header: dict[str, Any]

    def to_bytes(self) -> bytes:
        """The file `plan.arrow`."""
        encoded = json.dumps({"version": PLAN_VERSION, **self.header}, sort_keys=True, ensure_ascii=False).encode()
        schema = PLAN_SCHEMA.with_metadata({PLAN_KEY: encoded})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(self.table.replace_schema_metadata(schema.metadata).combine_chunks())
        return sink.getvalue().to_pybytes()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def shards(self) -> list[tuple[str, int, int]]:
        """(phase, shard, number of shards in the phase) in training order."""
        return [(phase["name"], n, phase["shards"]) for phase in self.header["phases"] for n in range(phase["shards"])]


def read_plan(content: bytes, name: str) -> Plan:
    """Reads `plan.arrow`.

    Raises:
        BylineError: this is no plan of this version.
    """
    try:
        table = pa.ipc.open_file(content).read_all()
    except pa.ArrowInvalid as error:
        raise BylineError(f"{name}: not an Arrow IPC file ({error}); build again") from None
    found = (table.schema.metadata or {}).get(PLAN_KEY)
    header = json.loads(found) if found else {}
    if header.pop("version", None) != PLAN_VERSION:
        raise BylineError(f"{name}: not a plan of version {PLAN_VERSION}; build again")
    return Plan(table.replace_schema_metadata(None), header)


def shard_path(phase: str, shard: int, shards: int) -> str:
    """The path of a shard below the output folder."""
    return f"{phase}/{shard:05d}-of-{shards:05d}.arrow"


def rows_by_shard(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The plan's rows, one batch for each shard that has any."""
    phases, shards = table["phase"].to_pylist(), table["shard"].to_pylist()
    start = 0
    for row in range(1, table.num_rows + 1):
        if row == table.num_rows or (phases[row], shards[row]) != (phases[start], shards[start]):
            yield table.slice(start, row - start).combine_chunks().to_batches()[0]
            start = row
