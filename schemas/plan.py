"""The plan: which shuffle keys of which source go to which shard. Integers only, whatever the number of runs.

```
phase        shard  slice  source  epoch  shuffle_key_lo          shuffle_key_hi             predicates
conditioned  0      0      c4      0      281474976710656   4503599627370495     0
conditioned  0      0      dclm    0      0                 9007199254740991     1
conditioned  0      1      c4      0      4503599627370496  6755399441055743     0
```

`shuffle_key_hi` belongs to the range. An interval that goes past the end of the circle of shuffle keys stands in two
rows. A slice is a stretch of a shard with one mixture and one bin of the order; documents are shuffled inside a slice.
`predicates` is a number in the header's list `conjunctions`, each a list of numbers in the header's list `predicates`,
where a list of a million hosts stands once; a document is taken where all of them hold:

```
conjunctions  [[0], [0, 1]]
predicates    {"field": "host", "in": ["a.example", "b.example"]}         (or "not_in")
              {"field": "quality", "type": "float32", "descending": true, "from": null, "below": [1082130432, 77, 12]}
```

The second kind compares ranks, (key, tie, shuffle key) as docs/formats.md has them: `from` belongs to the range,
`below` does not, null is no border. A document without the number is in no range of ranks, and without a value in no
list.

`OUT/plan.arrow` is this table as an Arrow IPC file with the header in its schema metadata, and `plan_sha256` is the
sha256 of that file's bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from byline.errors import BUILD_ANEW, BylineError, of_version
from byline.schemas.predicates import Predicate, predicate_from_json

PLAN_KEY = b"byline.plan"
PLAN_VERSION = 3
FILE_NAME = "plan.arrow"

PLAN_SCHEMA = pa.schema(
    [
        pa.field("phase", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("slice", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("shuffle_key_lo", pa.uint64(), nullable=False),
        pa.field("shuffle_key_hi", pa.uint64(), nullable=False),
        pa.field("predicates", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Plan:
    """A plan and what it was made from.

    Attributes:
        table: rows by phase, shard, slice, source, epoch, shuffle key; columns as `PLAN_SCHEMA`.
        header: JSON values: `seed`, `sequence`, `shard`, `tokenizer`, `predicates`, `conjunctions`, `phases`,
            `intervals`, `drawn`, `fingerprints` of the sources, `inputs` (sha256 of the list of input files),
            `capacity`, `notes` for a reader of the plan. An entry of `phases` is a phase, or a branch at one point:
            `name`, `stage` (its number in `Config.stages`), `branch` (null, or `of`, `at`, `phase`, `shards`: it leaves
            the timeline behind so many shards of that phase), `condition`, `values` (what `top` and `bins` of the
            condition came to), `select`, `order`, `mixture`, `packing`, `shards`, `slices`, `expected_rows`, `sources`
            (`points` are where the interval of the source's stream begins and ends), `timeline`.
    """

    table: pa.Table
    header: dict[str, Any]

    @property
    def predicates(self) -> list[list[Predicate]]:
        """The predicates behind each number in the table's column; equal ones are one object."""
        listed = [predicate_from_json(values) for values in self.header["predicates"]]
        return [[listed[number] for number in numbers] for numbers in self.header["conjunctions"]]

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
        """(phase, shard, number of shards in the phase): the timeline in training order, then branches."""
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
    version = header.pop("version", None)
    if version != PLAN_VERSION:
        raise BylineError(f"{name}: not a plan {of_version(PLAN_VERSION, version, BUILD_ANEW)}")
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
