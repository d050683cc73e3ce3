"""The plan: which shuffle keys of which source go to which shard. Integers only, whatever the number of runs.

```
phase        shard  slice  source  epoch  shuffle_key_lo    shuffle_key_hi    predicates
conditioned  0      0      c4      0      281474976710656   4503599627370495  0
conditioned  0      0      dclm    0      0                 9007199254740991  1
conditioned  0      1      c4      0      4503599627370496  6755399441055743  0
```

`shuffle_key_hi` belongs to the range. An interval that goes past the end of the circle of shuffle keys stands in two
rows. A slice is a stretch of a shard with one mixture and one bin of the order; documents are shuffled inside a slice.
`predicates` is a number in the header's `conjunctions`, lists of numbers in its list `predicates`, where a list of a
million hosts stands once (`schemas/predicates.py`). A document is taken where all of them hold:

```
conjunctions  [[0], [0, 1]]          predicates  [host not in (a.example, b.example), rank of quality below (...)]
```

`OUT/_plan.ipc` is this table as an Arrow IPC file with the header, as JSON, in its schema metadata, and `plan_sha256`
is the sha256 of that file's bytes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import pyarrow as pa
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from byline.errors import BUILD_ANEW, BylineError, of_version
from byline.printable import one_line
from byline.schemas.ledger import Amount, Replaced
from byline.schemas.planned_stage import PlannedStage
from byline.schemas.predicates import Predicate, predicate_from_json, predicate_to_json
from byline.schemas.recipe import Sequence, Shard
from byline.schemas.tokenizer_info import TokenizerInfo

PLAN_KEY = b"byline.plan"
PLAN_VERSION = 6
FILE_NAME = "_plan.ipc"

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


# Epoch, first and last shuffle key.
Range = tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """What the plan takes of the token store, counted document by document.

    Attributes:
        stages: name of the stage -> source -> epoch -> what is drawn.
        used: source -> documents that any stage draws, each once.
        unused: source -> reason (`UnusedReason`) -> the others.
        labels: name of a stage whose mixture is by a label -> label -> what is drawn.
        replaced: source -> what placeholders stand for in all its documents; the other amounts count these as tokens.
        stages_replaced: name of the stage -> source -> the same in what is drawn.
    """

    stages: dict[str, dict[str, dict[int, Amount]]] = field(default_factory=dict)
    used: dict[str, Amount] = field(default_factory=dict)
    unused: dict[str, dict[str, Amount]] = field(default_factory=dict)
    labels: dict[str, dict[str, Amount]] = field(default_factory=dict)
    replaced: dict[str, Replaced] = field(default_factory=dict)
    stages_replaced: dict[str, dict[str, Replaced]] = field(default_factory=dict)

    def draws_of(self, stage: str, source: str) -> Amount:
        """What a stage draws from a source in all epochs."""
        return sum(self.stages.get(stage, {}).get(source, {}).values(), Amount())


@dataclass(frozen=True)
class PlanHeader:
    """What a plan was made from, and what it comes to.

    Attributes:
        seed, sequence, shard: of the recipe.
        tokenizer: of the recipe.
        predicates: each once.
        conjunctions: numbers in `predicates`; a row's `predicates` is the number of one of these lists.
        stages: the timeline in training order, then the branches, then the holdout.
        intervals: name of the stage -> source or stratum -> ranges of shuffle keys that it draws.
        drawn: what that comes to.
        fingerprints: source -> fingerprint of its runs.
        inputs: sha256 of the list of input files.
        capacity: source -> positions in one epoch.
        notes: for a reader of the plan.
        warnings: what the user may not have meant, as far as a scan tells.
        attributes: source -> column -> folder beside its runs, of every column of an attribute that the recipe names; a
            folder's name says what its values depend on.
        replace: source -> column of ranges of tokens, sorted -> id of the token that stands for each range.
    """

    seed: int
    sequence: Sequence
    shard: Shard
    tokenizer: TokenizerInfo
    predicates: list[Annotated[Predicate, PlainSerializer(predicate_to_json), PlainValidator(predicate_from_json)]]
    conjunctions: list[list[int]]
    stages: list[PlannedStage]
    intervals: dict[str, dict[str, list[Range]]]
    drawn: Drawn
    fingerprints: dict[str, str]
    inputs: str
    capacity: dict[str, int]
    notes: list[str]
    warnings: list[str] = field(default_factory=list)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    replace: dict[str, dict[str, int]] = field(default_factory=dict)

    def replaced_in(self, source: str) -> Replaced | None:
        """What is replaced in all documents of a source; None where the recipe replaces nothing."""
        return self.drawn.replaced.get(source, Replaced()) if self.replace else None

    def replaced_by(self, stage: str, source: str) -> Replaced | None:
        """What is replaced in what a stage draws of a source; None where the recipe replaces nothing."""
        return self.drawn.stages_replaced.get(stage, {}).get(source, Replaced()) if self.replace else None

    def to_json(self) -> dict[str, Any]:
        """The header as values that `json` writes."""
        values: dict[str, Any] = _HEADER.dump_python(self, mode="json")
        # A plan without attributes, labels, weights and placeholders is, byte for byte, one that knows nothing of them.
        _leave_out(values, "attributes", "replace")
        _leave_out(values["drawn"], "labels", "replaced", "stages_replaced")
        for stage in values["stages"]:
            _leave_out(stage, "mask", "labels", "strata")
            for step in stage["select"]:
                _leave_out(step, "drop")
            if stage["loss_weight"] is None:
                del stage["loss_weight"]
        if self.shard.loss_weight == Shard().loss_weight:
            del values["shard"]["loss_weight"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PlanHeader":
        """The header that `to_json` made this of.

        Raises:
            ValueError, KeyError: it is none.
        """
        return _HEADER.validate_python(values)


_HEADER = TypeAdapter(PlanHeader)


def _leave_out(values: dict[str, Any], *keys: str) -> None:
    """Takes these keys out where they are empty."""
    for key in keys:
        if not values[key]:
            del values[key]


@dataclass(frozen=True)
class Plan:
    """A plan and what it was made from.

    Attributes:
        table: rows by stage, shard, slice, source, epoch, shuffle key; columns as `PLAN_SCHEMA`.
    """

    table: pa.Table
    header: PlanHeader

    @property
    def predicates(self) -> list[list[Predicate]]:
        """The predicates behind each number in the table's column; equal ones are one object."""
        predicates = self.header.predicates
        return [[predicates[number] for number in numbers] for numbers in self.header.conjunctions]

    def to_bytes(self) -> bytes:
        """The file `_plan.ipc`."""
        values = {"version": PLAN_VERSION, **self.header.to_json()}
        encoded = json.dumps(values, sort_keys=True, ensure_ascii=False).encode()
        schema = PLAN_SCHEMA.with_metadata({PLAN_KEY: encoded})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(self.table.replace_schema_metadata(schema.metadata).combine_chunks())
        return sink.getvalue().to_pybytes()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def file_name(self) -> str:
        """The name of its file in an output."""
        return FILE_NAME

    @staticmethod
    def shards_in(content: bytes, uri: str) -> list[tuple[str, int, int]] | None:
        """The shards of the plan in a file; None if it is damaged.

        Raises:
            BylineError: it is of another version.
        """
        try:
            version = json.loads(pa.ipc.open_file(content).schema.metadata[PLAN_KEY])["version"]
            if version == PLAN_VERSION:
                return read_plan(content, uri).shards()
        except (BylineError, pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        read_plan(content, uri)
        raise AssertionError(f"a plan of version {version} was read")

    def shards(self) -> list[tuple[str, int, int]]:
        """(stage, shard, number of shards in the stage): the timeline in training order, then branches."""
        return [(stage.name, number, stage.shards) for stage in self.header.stages for number in range(stage.shards)]


def read_plan(content: bytes, name: str) -> Plan:
    """Reads `_plan.ipc`.

    Raises:
        BylineError: this is no plan of this version.
    """
    try:
        table = pa.ipc.open_file(content).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = one_line(error, 200)
        raise BylineError(f"{name}: not an Arrow IPC file ({reason}); build again") from None
    encoded = (table.schema.metadata or {}).get(PLAN_KEY)
    try:
        values = json.loads(encoded) if encoded else {}
    except (ValueError, RecursionError):
        values = {}
    version = values.pop("version", None) if isinstance(values, dict) else None
    if version != PLAN_VERSION:
        raise BylineError(f"{name}: not a plan {of_version(PLAN_VERSION, version, BUILD_ANEW)}")
    if not table.schema.equals(PLAN_SCHEMA, check_metadata=False):
        raise BylineError(f"{name}: its columns are not those of a plan; {BUILD_ANEW}")
    try:
        header = PlanHeader.from_json(values)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        reason = one_line(error, 200)
        raise BylineError(f"{name}: its header is not a plan's ({reason}); {BUILD_ANEW}") from None
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
