"""Checks documents against the plan: each one's shuffle key is hashed again, and must lie in a range of its shard.

```
shard 3 of conditioned   plan rows   c4 epoch 0  100..199    dclm epoch 0  40..99
doc ids                  c4 file 0, row 7  ->  shuffle key 150     fine
                         c4 file 0, row 9  ->  shuffle key 270     not planned for this shard
```

Ranges of one source and epoch must share no document that one model could read twice. This keeps phases apart even if
epochs repeat, and checking it needs only the output. Ranges may overlap

```
shuffle keys    0        100       200
bin 0           |---------|---------|        if their predicates are disjoint, as those of two bins of an order are
bin 1           |---------|---------|
branch                    |--|               in a branch and the timeline after it leaves, and in two branches
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import mmh3
import numba
import numpy as np
import pyarrow as pa

from byline.schemas.plan import Plan
from byline.schemas.planned_stage import BranchPoint, PlannedStage
from byline.schemas.predicates import Predicate
from byline.splitmix import splitmix64
from byline.transforms.fields.selecting import disjoint

# More lines than this for one shard would tell the user nothing new.
_SHOWN = 3


@dataclass(frozen=True)
class InputNames:
    """The input files of a build.

    Attributes:
        names: (source, path) of each.
        sources: str [files].
        hashes: uint64 [files], to which a record's row is added to hash its shuffle key.
    """

    names: list[tuple[str, str]]
    sources: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of(cls, names: list[tuple[str, str]]) -> "InputNames":
        """Hashes every name once."""
        hashes = [mmh3.hash64(f"{source}/{path}".encode(), seed=0, signed=False)[0] for source, path in names]
        return cls(names, np.array([source for source, _ in names], object), np.array(hashes, np.uint64))

    def shuffle_keys(self, documents: np.ndarray) -> np.ndarray:
        """The shuffle key (uint64) of each doc id (int64); their files must exist."""
        with np.errstate(over="ignore"):
            return splitmix64(self.hashes[documents >> 32] + (documents & (2**32 - 1)).astype(np.uint64))


def check_shuffle_keys(documents: np.ndarray, inputs: InputNames, rows: pa.RecordBatch | None) -> list[str]:
    """One line for each document of a shard that its plan has no range for.

    Args:
        documents: int64 [n], the shard's doc ids, each once.
        inputs: the input files.
        rows: the plan's rows for the shard; None if it has none.
    """
    shuffle_key = inputs.shuffle_keys(documents)
    sources = inputs.sources[documents >> 32]
    planned = np.zeros(len(documents), bool)
    for row in [] if rows is None else rows.select(["source", "shuffle_key_lo", "shuffle_key_hi"]).to_pylist():
        within = (shuffle_key >= np.uint64(row["shuffle_key_lo"])) & (shuffle_key <= np.uint64(row["shuffle_key_hi"]))
        planned |= within & (sources == row["source"])
    strays = documents[~planned]
    problems = []
    for document in strays[:_SHOWN].tolist():
        source, path = inputs.names[document >> 32]
        problems.append(f"row {document & (2**32 - 1)} of {source}/{path} is in it, but not planned for it")
    if len(strays) > _SHOWN:
        problems.append(f"{len(strays) - _SHOWN} more documents are not planned for it")
    return problems


def check_ranges(plan: Plan) -> list[str]:
    """Checks that no model reads a document twice in an epoch: one line for each range that repeats an earlier one.

    Takes time n log n for n rows of the plan, and n for each kind of row: predicates, and stretch or branch.
    """
    table = plan.table
    sources = table["source"].combine_chunks().dictionary_encode()
    epoch, low, high = (table[name].to_numpy() for name in ("epoch", "shuffle_key_lo", "shuffle_key_hi"))
    order = np.lexsort((low, epoch, sources.indices.to_numpy()))
    stretches = _Stretches(plan.header.stages)
    kinds = np.stack([table["predicates"].to_numpy(), stretches.of_rows(table)], axis=1)[order]
    keys = np.stack([sources.indices.to_numpy(), epoch], axis=1)[order]
    problems, predicates = [], plan.predicates
    for rows in np.split(np.arange(len(order)), np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1):
        distinct, kind = np.unique(kinds[rows], axis=0, return_inverse=True)
        clash = _clashes(distinct, predicates, stretches)
        earlier = _earlier_clash(low[order[rows]], high[order[rows]], kind.ravel(), clash)
        for number in np.flatnonzero(earlier >= 0):
            first, second = (table.slice(order[rows[n]], 1).to_pylist()[0] for n in (earlier[number], number))
            problems.append(
                f"_plan.ipc: shard {first['shard']} of {first['phase']} and shard {second['shard']} of "
                f"{second['phase']} take the same shuffle keys of source {first['source']}, epoch {first['epoch']}"
            )
    return problems


class _Stretches:
    """The timeline cut where branches leave it, then the branches, all numbered.

    ```
    shards of the timeline     0   1   2   3   4          stretches   0   1   2
    branches leave at               '-- 3   '-- 4          branches            3   4
    ```

    Args:
        phases: of the plan's header.
    """

    def __init__(self, stages: Sequence[PlannedStage]) -> None:
        phases = [stage for stage in stages if stage.branch is None]
        firsts = accumulate((phase.shards for phase in phases), initial=0)
        self.first = {phase.name: first for phase, first in zip(phases, firsts, strict=False)}
        leaves = {stage.name: self._leave(stage.branch) for stage in stages if stage.branch is not None}
        self.borders = np.array(sorted(set(leaves.values())), np.int64)
        self.branches = {name: len(self.borders) + 1 + number for number, name in enumerate(leaves)}
        count = len(self.borders) + 1 + len(leaves)
        # Whether some model reads both: one reads all stretches of the timeline, and each branch has its own model.
        self.meet = np.eye(count, dtype=bool)
        self.meet[: len(self.borders) + 1, : len(self.borders) + 1] = True
        for name, number in self.branches.items():
            before = np.searchsorted(self.borders, leaves[name]) + 1
            self.meet[number, :before] = self.meet[:before, number] = True
        for stage in stages:
            if stage.is_holdout:
                # No model may read what is held out.
                self.meet[self.branches[stage.name]] = self.meet[:, self.branches[stage.name]] = True

    def _leave(self, branch: BranchPoint) -> int:
        return self.first[branch.phase] + branch.shards

    def of_rows(self, table: pa.Table) -> np.ndarray:
        """The stretch or branch of each of the plan's rows, int64 [n]."""
        names = table["phase"].combine_chunks().dictionary_encode()
        texts, codes = names.dictionary.to_pylist(), names.indices.to_numpy()
        firsts = np.array([self.first.get(name, 0) for name in texts], np.int64)[codes]
        branches = np.array([self.branches.get(name, -1) for name in texts], np.int64)[codes]
        stretches = np.searchsorted(self.borders, firsts + table["shard"].to_numpy(), side="right")
        return np.where(branches >= 0, branches, stretches)


def _clashes(kinds: np.ndarray, predicates: list[list[Predicate]], stretches: _Stretches) -> np.ndarray:
    """bool [n, n]: whether rows of two kinds (int64 [n, 2], predicates and stretch) may not share shuffle keys."""
    numbers = np.unique(kinds[:, 0])
    shares = np.ones((len(numbers), len(numbers)), bool)
    for one, first in enumerate(numbers):
        # Each with itself, too: two rows of a bin that no document can be in share no document.
        for other, second in enumerate(numbers[: one + 1]):
            shares[one, other] = shares[other, one] = not disjoint(predicates[first], predicates[second])
    index = np.searchsorted(numbers, kinds[:, 0])
    return shares[np.ix_(index, index)] & stretches.meet[np.ix_(kinds[:, 1], kinds[:, 1])]


@numba.njit(cache=True, nogil=True)
def _earlier_clash(low: np.ndarray, high: np.ndarray, kind: np.ndarray, clash: np.ndarray) -> np.ndarray:
    """For each range, in order of `low`, the number of an earlier one that it clashes with, or -1; int64 [n]."""
    earlier = np.full(len(low), -1, np.int64)
    # For each kind, the range that reaches furthest so far.
    furthest = np.full(len(clash), -1, np.int64)
    for row in range(len(low)):
        for other_kind in range(len(clash)):
            other = furthest[other_kind]
            if other >= 0 and clash[kind[row], other_kind] and high[other] >= low[row]:
                earlier[row] = other
                break
        if furthest[kind[row]] < 0 or high[row] > high[furthest[kind[row]]]:
            furthest[kind[row]] = row
    return earlier
