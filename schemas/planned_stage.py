"""What a plan's header says of each phase, branch and holdout: how much of each source, conditioned and ordered how.

```
conditioned   3 shards   c4 55 %, dclm 45 %   condition "URL: {host}"   values {top: {host: [...]}}
cooled-25     1 shard    leaves the timeline after 1 shard of `conditioned`
```
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from byline.schemas.loss_weights import LossWeights
from byline.schemas.mixtures.reading import AnyMixture
from byline.schemas.orders.reading import AnyOrder
from byline.schemas.predicates import Predicate, predicate_from_json, predicate_to_json
from byline.schemas.recipe import Condition, Selection

# As text in JSON, since a reader of JSON may keep 53 bits of a number.
_Point = Annotated[int, PlainSerializer(str)]


@dataclass(frozen=True)
class FieldValues:
    """What the scans found for a condition's `top` and `bins`.

    Attributes:
        top: field -> the values that stay, commonest first.
        bins: number -> borders between its bins, ascending; they may repeat. An int stays one, and is compared exactly.
    """

    top: dict[str, list[str]] = field(default_factory=dict)
    # `int` is named, since pydantic would read it as a `float` otherwise.
    bins: dict[str, list[int | float]] = field(default_factory=dict)

    @cached_property
    def kept(self) -> dict[str, frozenset[str]]:
        """`top` for looking up; made once, since pyarrow's `is_in` would hash all of them for every batch."""
        return {name: frozenset(values) for name, values in self.top.items()}

    def to_json(self) -> dict[str, Any]:
        """`{"top": {field: values}, "bins": {number: borders}}`."""
        return {"top": self.top, "bins": self.bins}


@dataclass(frozen=True)
class BranchPoint:
    """Where a branch leaves the timeline; a holdout does before the first shard, so that nothing is read before it.

    Attributes:
        branch: the branch's name in the configuration.
        at: its share of the recipe's tokens; 0 for a holdout alone.
        phase, shards: it leaves the timeline after so many shards of that phase.
    """

    branch: str
    at: float
    phase: str
    shards: int

    def to_json(self) -> dict[str, Any]:
        """As plan and manifest have it: `{"of": branch, "at": 0.5, "phase": phase, "shards": 3}`."""
        return {"of": self.branch, "at": self.at, "phase": self.phase, "shards": self.shards}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "BranchPoint":
        """What `to_json` made this of."""
        return cls(values["of"], values["at"], values["phase"], values["shards"])


@dataclass(frozen=True)
class StageSource:
    """What a stage takes of one source, or of one label of all sources.

    Attributes:
        target_positions, expected_positions: asked for, and what packing is expected to fill.
        requested_share, expected_share: of the stage's positions.
        points: where the interval of the source's stream begins and ends; 2^64 is one epoch. Of several strata the
            mean by their tokens.
        expected_discarded: tokens of the framed documents that packing is expected to leave out.
    """

    target_positions: int
    expected_positions: int
    requested_share: float
    expected_share: float
    points: tuple[_Point, _Point]
    expected_discarded: int = 0

    @property
    def epochs(self) -> tuple[float, float]:
        """`points` in epochs."""
        return self.points[0] / 2**64, self.points[1] / 2**64


@dataclass(frozen=True)
class StageStratum:
    """What a stage takes of one stratum, where mixtures cut sources.

    Attributes:
        source: of its documents.
        label: what the stage's mixture calls them; None where it is between sources.
        predicates: that hold for them, and for no other documents of the source.
        points: as of a source.
    """

    source: str
    label: str | None
    predicates: list[Annotated[Predicate, PlainSerializer(predicate_to_json), PlainValidator(predicate_from_json)]]
    points: tuple[_Point, _Point]


@dataclass(frozen=True)
class Stretch:
    """A part of a stage: `end` is where it ends (0 to 1), `shares` the expected share of each source in it."""

    end: float
    shares: dict[str, float]


@dataclass(frozen=True)
class PlannedStage:
    """A phase, or a branch at one point.

    Attributes:
        name: of its folder.
        number: of the stage in `Config.stages`.
        branch: None for a phase.
        condition, select, order, mixture, packing: as configured, the recipe's own where the stage has none.
        values: what `top` and `bins` of the condition came to.
        shards, slices: how many there are.
        expected_rows: sequences that packing is expected to fill.
        sources: what it takes of each.
        timeline: the mixture along the stage.
        packing_sha256: of the file of a packing policy of a user's own, which decides the shards; None for Byline's.
        field_sha256s: name of each template field of a user's own that it asks for -> the same of its file.
        labels: what it takes of each label, where its mixture is by one; elsewhere the files have no such key.
        strata: what it takes of each stratum by its name, where some mixture of the recipe is by a label; likewise.
        mask: source -> columns of attributes whose ranges of tokens it masks.
        loss_weight: of its sources; None where no stage of the recipe has weights, and the files then have no such key.
    """

    name: str
    number: int
    branch: Annotated[BranchPoint, PlainSerializer(BranchPoint.to_json), PlainValidator(BranchPoint.from_json)] | None
    condition: Condition | None
    values: FieldValues
    select: list[Selection]
    order: AnyOrder | None
    mixture: AnyMixture
    packing: str
    shards: int
    slices: int
    expected_rows: int
    sources: dict[str, StageSource]
    timeline: list[Stretch]
    packing_sha256: str | None = None
    field_sha256s: dict[str, str] = field(default_factory=dict)
    labels: dict[str, StageSource] = field(default_factory=dict)
    strata: dict[str, StageStratum] = field(default_factory=dict)
    mask: dict[str, list[str]] = field(default_factory=dict)
    loss_weight: LossWeights | None = None

    @property
    def template(self) -> str | None:
        """Of the condition."""
        return None if self.condition is None else self.condition.template

    @property
    def is_holdout(self) -> bool:
        return self.branch is not None and self.branch.at == 0

    def leave_row(self, rows: int) -> float:
        """How many of the timeline's sequences a branch follows: with its own, they are its share `at` of all."""
        assert self.branch is not None, f"{self.name} is no branch"
        return self.branch.at * rows - self.expected_rows
