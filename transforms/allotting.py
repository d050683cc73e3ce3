"""From shares of tokens to intervals of each source's line of documents: plain arithmetic on integers.

```
tokens 100 x L   phases 0.9, 0.1   mixture dclm 0.6, c4 0.4
target positions   conditioned  dclm 54 L   c4 36 L     cooldown  dclm 6 L   c4 4 L
intervals                       [0, x)      [0, y)                [x, x')    [y, y')
packed (simulated)              53.1 L      36.2 L      ...      -> longer or shorter intervals, until they fit
```

A source's **capacity** is how many positions one epoch of it fills, divided between the phases by their shares.
"""

from dataclasses import dataclass
from fractions import Fraction

from byline.errors import BylineError
from schemas.config import Config
from schemas.recipe import Shortage
from transforms.intervals import EPOCH, Line, place_ranges
from transforms.simulating import Outcome, Ranges, Recipe, SourceSample, simulate

# The error of the costs falls by ten or more a round until single documents decide.
_ROUNDS = 3
# Packing lengths takes milliseconds where a phase is so short that it needs many tries.
_TRIES = 32
_GOOD_ENOUGH = Fraction(1, 2_000)


@dataclass(frozen=True)
class PhaseAllotment:
    """One phase.

    Attributes:
        points: source -> (start, end) on its line.
        shards: number of shards.
        target: source -> positions asked for.
        expected: source -> positions that packing is expected to fill.
        rows: sequences expected.
    """

    points: dict[str, tuple[int, int]]
    shards: int
    target: dict[str, int]
    expected: dict[str, int]
    rows: int


@dataclass(frozen=True)
class Allotment:
    """The whole recipe. `capacity`: source -> positions in one epoch; `weights`: source -> share of the mixture."""

    phases: list[PhaseAllotment]
    capacity: dict[str, int]
    weights: dict[str, Fraction]


class Allotter:
    """Finds the intervals.

    Args:
        config: the recipe.
        lines: for each phase, source -> its line.
        recipes: how each phase is packed.
        samples: sampled documents of each source.
        sampled: share of the documents in the samples; exactly 1 where they hold every document.

    Raises:
        BylineError: a phase selects nothing of a source that has a weight, or a source is short.
    """

    def __init__(
        self,
        config: Config,
        lines: list[dict[str, Line]],
        recipes: list[Recipe],
        samples: dict[str, SourceSample],
        sampled: Fraction,
    ) -> None:
        self.config = config
        self.lines = lines
        self.recipes = recipes
        self.samples = samples
        self.sampled = sampled
        self.length = config.sequence.length
        self.shares = [phase.share for phase in config.phases]
        self.sources = _sources_with_documents(config, lines)
        # Stream tokens needed to fill one position, for each phase and source; corrected in every round.
        self.costs = [dict.fromkeys(self.sources, Fraction(1)) for _ in config.phases]

    def allot(self) -> Allotment:
        """Learns what a position costs, fixes the targets, then fits one phase after the other."""
        for _ in range(_ROUNDS):
            found = self._round()
            self._correct(found)
        found = self._round()
        self._check_shortage(found)
        starts = dict.fromkeys(self.sources, 0)
        phases = []
        for number, phase in enumerate(found.phases):
            fixed = self._whole_epochs(found.capacity, found.weights) if number == len(found.phases) - 1 else {}
            fitted = self._fit(number, starts, phase.target, fixed)
            starts = {source: end for source, (_, end) in fitted.points.items()}
            phases.append(fitted)
        return Allotment(phases, found.capacity, found.weights)

    def _fit(
        self, number: int, starts: dict[str, int], target: dict[str, int], fixed: dict[str, int]
    ) -> PhaseAllotment:
        """The best of some lengths around the right one.

        One document more moves every cut behind it, so what packing discards of a source is not smooth in the length of
        its interval: it scatters, and in a short phase by more than a document. So lengths near by are tried.

        Args:
            number: of the phase.
            starts: where each source's interval begins.
            target: positions asked for.
            fixed: ends that are not to be moved.
        """
        asked = dict(target)
        best: PhaseAllotment | None = None
        may_repeat = self.config.tokens != "all" and self.config.shortage is Shortage.REPEAT
        for _ in range(_TRIES):
            ends = {source: self._end(number, source, starts[source], asked[source]) for source in self.sources}
            if not may_repeat:
                # Where a source is just enough, rounding must not begin a second epoch.
                ends = {source: min(end, EPOCH) for source, end in ends.items()}
            points = {source: (starts[source], fixed.get(source, ends[source])) for source in self.sources}
            found = self._pack(number, points, target)
            if best is None or _error(found) < _error(best):
                best = found
            if _error(best) <= _GOOD_ENOUGH or len(fixed) == len(self.sources):
                break
            # Half of the way, because half of what was found is scatter.
            asked = {s: max(asked[s] + (target[s] - found.expected[s]) // 2, 0) for s in self.sources}
        assert best is not None
        return best

    def _round(self) -> Allotment:
        capacity = {source: self._capacity(source) for source in self.sources}
        weights = self._weights(capacity)
        targets = self._targets(capacity, weights)
        starts = dict.fromkeys(self.sources, 0)
        phases = []
        for number, target in enumerate(targets):
            ends = {source: self._end(number, source, starts[source], target[source]) for source in self.sources}
            points = {source: (starts[source], ends[source]) for source in self.sources}
            phases.append(self._pack(number, points, target))
            starts = ends
        return Allotment(phases, capacity, weights)

    def _end(self, phase: int, source: str, start: int, positions: int) -> int:
        return self.lines[phase][source].advance(start, int(positions * self.costs[phase][source]))

    def _capacity(self, source: str) -> int:
        """The most positions whose division by the phases' shares ends within one epoch, by bisection."""
        low, high = 0, sum(lines[source].total for lines in self.lines) * len(self.lines) + 1
        while high - low > 1:
            middle = (low + high) // 2
            point = 0
            for number, share in enumerate(self.shares):
                point = self._end(number, source, point, int(share * middle))
            low, high = (middle, high) if point <= EPOCH else (low, middle)
        return low

    def _weights(self, capacity: dict[str, int]) -> dict[str, Fraction]:
        given = self.config.weights()
        if given is not None:
            return {source: given[source] for source in self.sources}
        total = sum(capacity.values())
        return {source: Fraction(capacity[source], max(total, 1)) for source in self.sources}

    def _targets(self, capacity: dict[str, int], weights: dict[str, Fraction]) -> list[dict[str, int]]:
        if self.config.tokens == "all" and self.config.mixture == "natural":
            return [{source: int(share * capacity[source]) for source in self.sources} for share in self.shares]
        most = min(int(capacity[source] / weights[source]) for source in self.sources if weights[source])
        if self.config.tokens == "all":
            total = most
        else:
            total = self.config.tokens
            if self.config.shortage is Shortage.SHRINK:
                total = min(total, most)
        rows = [round(share * total / self.length) for share in self.shares]
        if 0 in rows:
            name = self.config.phases[rows.index(0)].name
            raise BylineError(
                f"phases.{name}: its share of {total:,} tokens is less than one sequence of {self.length}; raise the "
                f"share or `tokens`, shorten `sequence.length`, or leave the phase out"
            )
        return [{s: int(weights[s] * count * self.length) for s in self.sources} for count in rows]

    def _whole_epochs(self, capacity: dict[str, int], weights: dict[str, Fraction]) -> dict[str, int]:
        """Where `tokens: all` uses a source up, the end of the epoch: rounding must leave no document behind."""
        if self.config.tokens != "all":
            return {}
        if self.config.mixture == "natural":
            return dict.fromkeys(self.sources, EPOCH)
        most = min(Fraction(capacity[source]) / weights[source] for source in self.sources)
        return {source: EPOCH for source in self.sources if Fraction(capacity[source]) / weights[source] == most}

    def _pack(self, number: int, points: dict[str, tuple[int, int]], target: dict[str, int]) -> PhaseAllotment:
        rows = -(-sum(target.values()) // self.length)
        shards = max(-(-rows // self.config.shard.sequences), 1)
        if self.sampled == 1:
            outcome = simulate(self.recipes[number], self.samples, self.shard_ranges(number, points, shards))
        else:
            # A shard's last row would weigh too much in a sample of it, so the phase is packed as one.
            outcome = simulate(self.recipes[number], self.samples, self.shard_ranges(number, points, 1))
            positions = {source: int(count / self.sampled) for source, count in outcome.positions.items()}
            outcome = Outcome(positions, -(-sum(positions.values()) // self.length) + shards // 2)
        expected = {source: outcome.positions.get(source, 0) for source in self.sources}
        return PhaseAllotment(points, shards, target, expected, outcome.rows)

    def shard_ranges(self, phase: int, points: dict[str, tuple[int, int]], shards: int) -> list[Ranges]:
        """Cuts a phase's intervals into shards of equal tokens, source by source."""
        ranges: list[Ranges] = [{} for _ in range(shards)]
        for source, (start, end) in points.items():
            line = self.lines[phase][source]
            tokens = line.tokens_before(end) - line.tokens_before(start)
            cuts = [line.advance(start, tokens * number // shards) for number in range(1, shards)]
            borders = [start, *(min(max(cut, start), end) for cut in cuts), end]
            for number in range(shards):
                ranges[number][source] = place_ranges(line.offset, borders[number], borders[number + 1])
        return ranges

    def _correct(self, found: Allotment) -> None:
        for number, phase in enumerate(found.phases):
            for source, (start, end) in phase.points.items():
                line = self.lines[number][source]
                used = line.tokens_before(end) - line.tokens_before(start)
                if used > 0 and phase.expected[source] > 0:
                    self.costs[number][source] = Fraction(used, phase.expected[source])

    def _check_shortage(self, found: Allotment) -> None:
        if self.config.tokens == "all" or self.config.shortage is Shortage.REPEAT:
            return
        asked = {source: sum(phase.target[source] for phase in found.phases) for source in self.sources}
        # Rounding to whole sequences may ask for a sequence a phase more than there is.
        slack = self.length * len(found.phases) if self.config.shortage is Shortage.SHRINK else 0
        short = [source for source in self.sources if asked[source] > found.capacity[source] + slack]
        if not short:
            return
        lines = "; ".join(
            f"{source}: {asked[source]:,} asked, {found.capacity[source]:,} there "
            f"({asked[source] / max(found.capacity[source], 1):.2f} epochs)"
            for source in short
        )
        total = sum(asked.values())
        most = min(int(found.capacity[s] / found.weights[s]) for s in self.sources if found.weights[s])
        raise BylineError(
            f"tokens: the selected documents are too few for {total:,} tokens in this mixture. {lines}. "
            f"Ask for less (about {most // self.length * self.length:,} tokens fit), change the mixture or the "
            f"selection, or set `shortage: repeat` (further epochs) or `shortage: shrink` (fewer tokens)"
        )


def _sources_with_documents(config: Config, lines: list[dict[str, Line]]) -> list[str]:
    weights = config.weights()
    names = sorted(name for name in config.sources if weights is None or weights[name] > 0)
    found = []
    for name in names:
        empty = [phase.name for phase, some in zip(config.phases, lines, strict=True) if some[name].total == 0]
        if len(empty) == len(lines) and weights is None:
            continue
        if empty:
            raise BylineError(
                f"phases.{empty[0]}: it selects no document of source {name!r}; change its `select`, check what "
                f"sources.{name}.path matches, or leave the source out of the mixture"
            )
        found.append(name)
    if not found:
        raise BylineError("sources: no phase selects any document; check the paths and the phases' `select`")
    return found


def _error(phase: PhaseAllotment) -> Fraction:
    """The largest difference between asked and expected positions, as a share of the phase."""
    total = max(sum(phase.target.values()), 1)
    return max(Fraction(abs(phase.target[source] - phase.expected[source]), total) for source in phase.target)
