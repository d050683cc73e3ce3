"""What a finished plan draws of the token store and leaves, counted document by document, and what it replaces.

```
stratum  stage  epoch  reason  what          documents  tokens
c4       main   0      null    null                120   90000     drawn by a stage
c4       null   null   null    null                120   90000     drawn by any stage
c4       null   null   budget  null                  7    4000     left out of all stages
c4       main   0      null    replaced             12     340     of what is drawn, in ranges that are replaced
c4       main   0      null    placeholders         12      15     and what stands for it
c4       null   null   null    replaced             14     390     of all documents
```

Tokens are those of documents after replacing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from byline.schemas.ledger import Replaced
from byline.schemas.predicates import ValueList
from byline.transforms.fields.cuts import cut_columns, stratum_rows
from byline.transforms.fields.selecting import DROPPED, holds
from byline.transforms.scans.counting import Summing
from byline.transforms.scans.measuring import UNCUT, StageView, StratumView, read_columns
from byline.transforms.scans.unused_reasons import SourceDocuments, unused_by_reason
from byline.transforms.store.attribute_columns import StoredRun
from byline.transforms.store.token_ranges import joined_ranges

_REPLACED, _PLACEHOLDERS = "replaced", "placeholders"


def replaced_of(what: str, documents: int, tokens: int) -> Replaced:
    """What a count with this `what` says."""
    return Replaced(documents, tokens=tokens) if what == _REPLACED else Replaced(placeholders=tokens)


@dataclass(frozen=True)
class DrawCounter(Summing):
    """What the plan draws and leaves.

    Attributes:
        stages: by their numbers.
        intervals: (name of a phase or a branch at one point, number of its stage, stratum -> (epoch, first shuffle
            key, last shuffle key)).
        strata: how documents are told apart.
        replaced: source -> columns whose ranges are replaced.
    """

    keys: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("stratum", pa.string(), nullable=False),
            pa.field("stage", pa.string()),
            pa.field("epoch", pa.int64()),
            pa.field("reason", pa.string()),
            pa.field("what", pa.string()),
        ]
    )

    stages: Sequence[StageView]
    intervals: list[tuple[str, int, dict[str, list[tuple[int, int, int]]]]] = field(default_factory=list)
    strata: StratumView = UNCUT
    replaced: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def count(self, run: str | StoredRun) -> pa.RecordBatch:
        """Counts over one run."""
        columns = cut_columns(self.strata.cuts).union(*(stage.predicate_columns for stage in self.stages))
        batch, source = read_columns(run, columns.union(*self.replaced.values()))
        tokens = batch["num_tokens"].to_numpy().astype(np.int64)
        shuffle_key = batch["shuffle_key"].to_numpy()
        selected = [stage.selected(batch, source) for stage in self.stages]
        drops, counts = self._drops(batch, source), []
        replaced = self._replaced(batch, source)
        for stratum, rows in stratum_rows(self.strata.cuts, batch, source):
            keys, used = shuffle_key[rows], np.zeros(len(rows), bool)
            for name, number, intervals in self.intervals:
                for epoch, low, high in intervals.get(stratum, []):
                    drawn = selected[number][rows] & (keys >= np.uint64(low)) & (keys <= np.uint64(high))
                    used |= drawn
                    counts.append(self._counted(tokens[rows[drawn]], stratum, stage=name, epoch=epoch))
                    for what, values in replaced.items():
                        counts.append(self._counted(_some(values[rows[drawn]]), stratum, name, epoch, what=what))
            counts.append(self._counted(tokens[rows[used]], stratum))
            for what, values in replaced.items():
                counts.append(self._counted(_some(values[rows]), stratum, what=what))
            mixing = [
                number
                for number, stage in enumerate(self.stages)
                if source in stage.predicates and self.strata.has_weight(stage.number, stratum)
            ]
            reached = np.logical_or.reduce([np.zeros(len(rows), bool), *(selected[n][rows] for n in mixing)])
            dropped = {column: is_true[rows] for column, is_true in drops.items()}
            for reason, unused in unused_by_reason(SourceDocuments(bool(mixing), reached, used, dropped)):
                counts.append(self._counted(tokens[rows[unused]], stratum, reason=reason))
        return self.merge(counts)

    def _replaced(self, batch: pa.RecordBatch, source: str) -> dict[str, np.ndarray]:
        """int64 [rows] each: tokens in ranges that are replaced, and placeholders."""
        if source not in self.replaced:
            return {}
        ranges = joined_ranges(batch, self.replaced[source], touching=False)
        return {_REPLACED: ranges.tokens, _PLACEHOLDERS: ranges.counts}

    def _drops(self, batch: pa.RecordBatch, source: str) -> dict[str, np.ndarray]:
        """Column of an attribute that some stage drops documents for -> bool [rows], whether it is true."""
        predicates = {predicate for stage in self.stages for predicate in stage.predicates.get(source, [])}
        lists = [predicate for predicate in predicates if isinstance(predicate, ValueList)]
        dropping = [own for own in lists if own.values == DROPPED and not own.is_allowed]
        return {own.field: ~holds([own], batch, source) for own in dropping}

    def _counted(
        self,
        tokens: np.ndarray,
        stratum: str,
        stage: str | None = None,
        epoch: int | None = None,
        reason: str | None = None,
        what: str | None = None,
    ) -> pa.RecordBatch:
        """One row, or none where there are no documents."""
        rows = int(len(tokens) > 0)
        documents, sums = np.full(rows, len(tokens)), np.full(rows, tokens.sum())
        return self.batch(documents, sums, stratum=stratum, stage=stage, epoch=epoch, reason=reason, what=what)


def _some(values: np.ndarray) -> np.ndarray:
    """Those that are not 0."""
    return values[values > 0]
