"""From shares of tokens to intervals of each source's stream of documents: plain arithmetic on integers.

```
tokens 100 x L   phases 0.9, 0.1   mixture dclm 0.6, c4 0.4
target positions   conditioned  dclm 54 L   c4 36 L     cooldown  dclm 6 L   c4 4 L
intervals                       [0, x)      [0, y)                [x, x')    [y, y')
packed (simulated)              53.1 L      36.2 L      ...      -> longer or shorter intervals, until they fit
```

A branch begins, in each source, where the timeline was when it left.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.recipe import Branch, Holdout
from byline.transforms.plans.budgeting import Budget, Demand, Targets
from byline.transforms.plans.fitting import Mover, corrected, error_of
from byline.transforms.plans.intervals import EPOCH, Stream
from byline.transforms.plans.laying_out import Laid, lay_ordered, lay_shuffled
from byline.transforms.plans.limits import check_plan_size
from byline.transforms.plans.simulating import Draws, Outcome, Recipe, SourceSample, simulate
from byline.transforms.plans.slicing import Slice
from byline.transforms.plans.strata import Strata

# The error of the costs falls by ten or more a round until single documents decide.
_ROUNDS = 3
# Packing lengths takes milliseconds where a phase is so short that it needs many tries.
_TRIES = 16
_STEPS = 48
# Of so many sources or strata the ends are moved.
_MOVED = 8
_GOOD_ENOUGH = Fraction(1, 2)
# Sampled documents that fill fewer rows say less of what packing costs than nothing.
_TELLING_ROWS = 16


@dataclass(frozen=True)
class Leave:
    """Where a branch leaves the timeline.

    Attributes:
        at: the branch's point, a share of the recipe's tokens.
        phase: number of the phase that it leaves.
        progress: how far that phase is then, above 0.
        rows: sequences of the branch.
    """

    at: Fraction
    phase: int
    progress: Fraction
    rows: int


@dataclass(frozen=True)
class StageAllotment:
    """One phase, or a branch at one point.

    Attributes:
        name: of its folder.
        number: of the stage.
        points: source -> (start, end) on its stream.
        slices: the stage's slices.
        draws: what each slice takes.
        cuts: source -> the point of the stream at the end of each slice; None in a stage with an order.
        target: source -> positions asked for.
        filled: source -> positions that packing is expected to fill, for each slice.
        rows: sequences expected.
        framed: source -> tokens of the framed documents that are expected to be packed.
        costs: source -> framed document tokens to a position, where enough documents were packed to tell.
        leave: of a branch.
    """

    name: str
    number: int
    points: dict[str, tuple[int, int]]
    slices: list[Slice]
    draws: list[Draws]
    cuts: dict[str, list[int] | None]
    target: dict[str, int]
    filled: dict[str, list[int]]
    rows: int
    framed: dict[str, int]
    costs: dict[str, Fraction]
    leave: Leave | None = None

    @property
    def shards(self) -> int:
        """Number of shards."""
        return self.slices[-1].shard + 1

    @property
    def expected(self) -> dict[str, int]:
        """Source -> positions that packing is expected to fill."""
        return {source: sum(counts) for source, counts in self.filled.items()}


@dataclass(frozen=True)
class Allotment:
    """The whole recipe. `capacity`: source -> positions in one epoch; `notes`: what a reader should know."""

    stages: list[StageAllotment]
    capacity: dict[str, int]
    notes: list[str]


@dataclass(frozen=True)
class _Task:
    """A stage to be fitted.

    Attributes:
        number: of the stage.
        slices: of the stage.
        starts: source -> where its interval begins.
        target: positions asked for.
        fixed: source -> an end that is not to be moved.
        leave: of a branch.
    """

    number: int
    slices: list[Slice]
    starts: dict[str, int]
    target: Targets
    fixed: dict[str, int] = field(default_factory=dict)
    leave: Leave | None = None


class Allotter:
    """Finds the intervals.

    Args:
        config: the recipe.
        streams: for each stage, source -> its stream.
        recipes: how each stage is packed.
        samples: sampled documents of each source.
        sampled: share of the documents in the samples; exactly 1 where they hold every document.
        strata: as in `Budget`, and so a stratum's name may stand for a source's everywhere here.

    Raises:
        BylineError: a stage selects nothing of a source that has a weight, or a source is short.
    """

    def __init__(
        self,
        config: Config,
        streams: list[dict[str, Stream]],
        recipes: list[Recipe],
        samples: dict[str, SourceSample],
        sampled: Fraction,
        strata: Strata | None = None,
    ) -> None:
        self.config = config
        self.budget = Budget(config, streams, strata)
        self.streams = streams
        self.recipes = recipes
        self.samples = samples
        self.sampled = sampled
        self.length = config.sequence.length

    def allot(self) -> Allotment:
        """Learns what a position costs, fixes the targets, then fits one stage after the other."""
        for round_number in range(_ROUNDS):
            demand = self.budget.demand()
            if round_number == 0:
                self._check_size(demand)
            starts = dict.fromkeys(self.budget.names, 0)
            for number in range(len(self.config.phases)):
                slices = self.budget.slices(demand, number)
                task = _Task(number, slices, dict(starts), self.budget.targets(demand, number, slices))
                packed = self._pack(task, task.target)
                self.budget.costs[number].update(packed.costs)
                starts.update(_ends(packed))
        demand = self.budget.demand()
        self.budget.check_shortage(demand)
        leaves = self._leaves(demand)
        main = self._fit_main(demand, leaves)
        branches = [self._fit_branch(demand, number, leave, main) for number, leave in leaves]
        holdouts = [] if self.config.holdout is None else [self._lay_holdout(demand)]
        return Allotment([*main, *branches, *holdouts], demand.capacity, demand.notes)

    def _check_size(self, demand: Demand) -> None:
        try:
            check_plan_size(self.config, demand)
        except BylineError:
            # Where the documents are too few anyway, that is what to say.
            self.budget.check_shortage(demand)
            raise

    def _fit_main(self, demand: Demand, leaves: list[tuple[int, Leave]]) -> list[StageAllotment]:
        starts = dict.fromkeys(self.budget.names, 0)
        main = []
        for number in range(len(self.config.phases)):
            cuts = {leave.progress for _, leave in leaves if leave.phase == number}
            slices = self.budget.slices(demand, number, cuts)
            is_last = number + 1 == len(self.config.phases)
            fixed = self.budget.whole_epochs(demand) if is_last else {}
            target = self.budget.targets(demand, number, slices)
            main.append(self._fit(_Task(number, slices, dict(starts), target, fixed)))
            starts.update(_ends(main[-1]))
        return main

    def _fit(self, task: _Task) -> StageAllotment:
        """The best of some lengths around the right one (see `byline.transforms.plans.fitting`)."""
        asked = {source: list(counts) for source, counts in task.target.items()}
        groups = np.array([slice_.group for slice_ in task.slices])
        tried = []
        for attempt in range(_TRIES):
            packed = self._pack(task, asked)
            tried.append((self._error(task, packed, groups), attempt, asked, packed))
            if tried[-1][0] <= _GOOD_ENOUGH or len(task.fixed) == len(task.target):
                return packed
            asked = corrected(asked, packed.filled, packed.rows, task.target, groups, self.length, halve=attempt > 1)
        error, _, asked, packed = min(tried, key=lambda one: one[:2])
        return self._step_by_document(task, asked, packed, error, groups)

    def _error(self, task: _Task, packed: StageAllotment, groups: np.ndarray) -> Fraction:
        """`error_of` in terms of what the stage's mixture divides between."""
        by_name = self.budget.strata.targets
        filled, target = by_name(task.number, packed.filled), by_name(task.number, task.target)
        return error_of(filled, packed.rows, target, groups, self.length)

    def _step_by_document(
        self, task: _Task, asked: Targets, best: StageAllotment, error: Fraction, groups: np.ndarray
    ) -> StageAllotment:
        """Moves one interval's end by single documents for as long as that comes nearer."""
        if self.sampled < 1 or task.fixed:
            return best
        movers = {
            source: Mover(self.samples[source], task.number, self.streams[task.number][source]) for source in asked
        }
        steps = [(source, step) for step in (1, -1, 2, -2, 4, -4) for source in _furthest_off(best)]
        left = _STEPS
        while left > 0:
            for source, step in steps:
                left -= 1
                ends = _ends(best)
                ends[source] = movers[source].moved(ends[source], step)
                packed = self._pack(task, asked, ends)
                closer = self._error(task, packed, groups)
                if closer < error:
                    best, error = packed, closer
                    break
            else:
                break
        return best

    def _pack(self, task: _Task, asked: Targets, ends: dict[str, int] | None = None) -> StageAllotment:
        """Lays a stage out for the positions asked for, or up to given ends, and packs it."""
        ends = ends or task.fixed | {
            source: self.budget.end(task.number, source, task.starts[source], sum(asked[source]))
            for source in task.target
            if source not in task.fixed
        }
        laid = {source: self._lay(task, source, asked[source], ends[source]) for source in task.target}
        draws: list[Draws] = [
            {source: drawn for source in task.target if (drawn := laid[source].draws[k])}
            for k in range(len(task.slices))
        ]
        outcome = self._simulate(task, draws)
        stage = self.config.stages[task.number]
        filled = {source: self._filled(task, source, asked[source], laid[source], outcome) for source in task.target}
        return StageAllotment(
            name=stage.name_at(task.leave.at) if task.leave and isinstance(stage, Branch) else stage.name,
            number=task.number,
            points={source: (task.starts[source], laid[source].end) for source in task.target},
            slices=task.slices,
            draws=draws,
            cuts={source: laid[source].points for source in task.target},
            target={source: sum(counts) for source, counts in task.target.items()},
            filled=filled,
            rows=self._rows(task, filled, outcome),
            framed={source: self._framed(task, source, laid[source], outcome) for source in task.target},
            costs=self._costs(task, outcome),
            leave=task.leave,
        )

    def _filled(self, task: _Task, source: str, asked: list[int], laid: Laid, outcome: Outcome) -> list[int]:
        """Positions that a source fills in each slice.

        A sample says which share of a source's tokens packing keeps; how many tokens there are, its stream knows
        exactly.
        """
        column = self.budget.names.index(source)
        filled: list[int] = outcome.positions[:, column].tolist()
        if self.sampled == 1:
            return filled
        tokens = self._framed(task, source, laid, outcome)
        if outcome.framed[column] > _TELLING_ROWS * self.length:
            return [count * tokens // int(outcome.framed[column]) for count in filled]
        positions = tokens / self.budget.costs[task.number][source]
        return [int(positions * count / max(sum(asked), 1)) for count in asked]

    def _framed(self, task: _Task, source: str, laid: Laid, outcome: Outcome) -> int:
        """Tokens of the framed documents of a source's interval."""
        if self.sampled == 1:
            return int(outcome.framed[self.budget.names.index(source)])
        stream = self.streams[task.number][source]
        return stream.tokens_before(laid.end) - stream.tokens_before(task.starts[source])

    def _lay(self, task: _Task, source: str, positions: list[int], end: int) -> Laid:
        # Where packing gave more than was asked, though an end is fixed, the asking may have come down to nothing.
        positions = positions if any(positions) else task.target[source]
        number, start = task.number, task.starts[source]
        is_holdout = isinstance(self.config.stages[number], Holdout)
        stream, limit = self.streams[number][source], None if is_holdout else self.budget.end_limit(source)
        # Where a source is just enough, rounding must not begin another epoch.
        end = max(end if limit is None else min(end, limit), start)
        order = self.config.stages[number].ordering
        if order.ranked_by is None:
            return lay_shuffled(stream, start, end, positions)
        bins = [order.bin_of(slice_.group) for slice_ in task.slices]
        sample, specials = self.samples[source], self.recipes[number].specials
        return lay_ordered(stream, start, end, positions, bins, sample, number, specials)

    def _simulate(self, task: _Task, draws: list[Draws]) -> Outcome:
        recipe, names = self.recipes[task.number], self.budget.names
        if self.sampled < 1:
            # A shard's last row would weigh too much in a sample of it, so the stage is packed as one shard.
            return simulate(recipe, self.samples, names, [draws])
        by_shard: list[list[Draws]] = [[] for _ in range(task.slices[-1].shard + 1)]
        for slice_, drawn in zip(task.slices, draws, strict=True):
            by_shard[slice_.shard].append(drawn)
        return simulate(recipe, self.samples, names, by_shard)

    def _rows(self, task: _Task, filled: dict[str, list[int]], outcome: Outcome) -> int:
        if self.sampled == 1:
            return outcome.rows
        packed = max(int(outcome.positions.sum()), 1)
        positions = sum(sum(counts) for counts in filled.values()) * max(outcome.rows * self.length, packed) // packed
        # Half a row, on average, is padding at the end of each shard.
        return max(-(-positions // self.length) + (task.slices[-1].shard + 1) // 2, 1)

    def _costs(self, task: _Task, outcome: Outcome) -> dict[str, Fraction]:
        """Of the documents that were packed themselves, as streams divide tokens where documents cannot be."""
        least = 0 if self.sampled == 1 else _TELLING_ROWS * self.length
        costs = {}
        for source in task.target:
            column = self.budget.names.index(source)
            framed, positions = int(outcome.framed[column]), int(outcome.positions[:, column].sum())
            if framed > least and positions > 0:
                costs[source] = Fraction(framed, positions)
        return costs

    def _leaves(self, demand: Demand) -> list[tuple[int, Leave]]:
        """(number of the stage, where it leaves) for each branch and point."""
        rows = [-(-positions // self.length) for positions in demand.positions]
        leaves = []
        for number, branch in enumerate(self.config.branches, len(self.config.phases)):
            for at in branch.at:
                before = round((1 - branch.share) * at * sum(rows))
                count = round(at * sum(rows)) - before
                if before == 0 or count == 0:
                    raise BylineError(
                        f"branches.{branch.name}: at {float(at):g} of {demand.total:,} tokens, the branch or the "
                        f"timeline before it is less than one sequence of {self.length}; raise `at` or `tokens`"
                    )
                phase = next(n for n in range(len(rows)) if sum(rows[: n + 1]) >= before)
                progress = Fraction(before - sum(rows[:phase]), rows[phase])
                leaves.append((number, Leave(at, phase, progress, count)))
        return leaves

    def _fit_branch(self, demand: Demand, number: int, leave: Leave, main: list[StageAllotment]) -> StageAllotment:
        starts = dict.fromkeys(self.budget.names, 0)
        for phase in main[: leave.phase]:
            starts.update({source: end for source, (_, end) in phase.points.items()})
        left = main[leave.phase]
        index = max(k for k, slice_ in enumerate(left.slices) if slice_.end <= leave.progress)
        for source, (_, end) in left.points.items():
            cuts = left.cuts[source]
            # A stage with an order has taken from all of its interval at any point.
            starts[source] = end if cuts is None else cuts[index]
        slices = self.budget.slices(demand, number, rows=leave.rows)
        target = self.budget.targets(demand, number, slices, leave.rows * self.length)
        fitted = self._fit(_Task(number, slices, starts, target, leave=leave))
        self._check_fresh(fitted, target)
        return fitted

    def _lay_holdout(self, demand: Demand) -> StageAllotment:
        """All that is held out, once."""
        number = len(self.config.stages) - 1
        tokens = {source: self.streams[number][source].total for source in self.budget.sources[number]}
        slices = self.budget.slices(demand, number, rows=-(-sum(tokens.values()) // self.length))
        target = {
            source: [int(total * slice_.end) - int(total * slice_.start) for slice_ in slices]
            for source, total in tokens.items()
        }
        task = _Task(number, slices, dict.fromkeys(tokens, 0), target, fixed=dict.fromkeys(tokens, EPOCH))
        return self._pack(task, target)

    def _check_fresh(self, fitted: StageAllotment, target: Targets) -> None:
        """A branch takes only documents that the timeline had not used when it left, as far as epochs allow."""
        for source, counts in target.items():
            asked, limit = sum(counts), self.budget.end_limit(source)
            start, end = fitted.points[source]
            if limit is None or end < limit:
                continue
            filled = fitted.expected[source]
            if filled == 0 < asked or asked - filled > max(asked // 50, self.length):
                branch, at = self.config.stages[fitted.number], float(fitted.leave.at) if fitted.leave else 0
                raise BylineError(
                    f"branches.{branch.name}: at {at:g}, source {source} has "
                    f"fresh documents for {filled:,} of the {asked:,} tokens asked for: the timeline has used "
                    f"{start / EPOCH:.2f} epochs of it by then. Lower `at` or `share`, give the branch another mixture "
                    f"or selection, {self.budget.ways_out(is_branch=True)}"
                )


def _furthest_off(stage: StageAllotment) -> list[str]:
    """The sources or strata that a stage takes, of many those that are furthest from what was asked."""
    names = [*stage.target]
    if len(names) <= _MOVED:
        return names
    expected = stage.expected
    return sorted(names, key=lambda name: (-abs(stage.target[name] - expected[name]), name))[:_MOVED]


def _ends(stage: StageAllotment) -> dict[str, int]:
    return {source: end for source, (_, end) in stage.points.items()}
