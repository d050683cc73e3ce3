"""What a recipe asks of each source, before documents are read: capacities, mixtures, positions, shortages.

```
capacity   c4 1.9 M positions in one epoch, wiki 0.1 M      tokens 2 M      mixture {method: unimax, max_epochs: 4}
mixture    c4 0.5, wiki 0.5    -> wiki at most 0.4 M        -> c4 0.8, wiki 0.2
phases     0.9 and 0.1                                      -> c4 1.44 M and 0.16 M, wiki 0.36 M and 0.04 M
```

A source's **capacity** is how many positions one epoch of it fills, divided between the phases by their shares. All
of it is arithmetic on integers and exact fractions, with streams of tokens by shuffle key
(`transforms/plans/intervals.py`).

Where a mixture is by a label, each stratum of a source is what a source is otherwise (`transforms/plans/strata.py`):
`source` below is then the name of a stratum.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.mixtures.blend import Blend
from byline.schemas.recipe import Holdout, Shortage
from byline.transforms.plans.empty_sources import strata_with_documents
from byline.transforms.plans.intervals import EPOCH, Stream
from byline.transforms.plans.mixing import cap_weights
from byline.transforms.plans.slicing import Slice, cut_slices
from byline.transforms.plans.strata import Strata

# Of sources that are short, so many are told of.
_SHOWN = 10
# Source -> positions for each slice of a stage.
Targets = dict[str, list[int]]


@dataclass(frozen=True)
class Demand:
    """What is asked of every stage.

    Attributes:
        capacity: source -> positions in one epoch.
        total: positions of the timeline.
        positions: of each phase.
        blends: of each stage.
        notes: where a cap changed a mixture.
    """

    capacity: dict[str, int]
    total: int
    positions: list[int]
    blends: list[Blend]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Caps:
    """What `max_epochs` of one mixture allows.

    Attributes:
        parts: numbers of those that have the mixture, phases first.
        share: of the recipe's tokens that its phases have.
        positions: source -> the most of them together.
    """

    stages: list[int]
    share: Fraction
    positions: dict[str, Fraction]


class Budget:
    """Counts what there is against what is asked.

    Args:
        config: the recipe.
        streams: for each stage, source -> its stream.
        strata: of the recipe; None where each source is one.

    Raises:
        BylineError: a stage selects nothing of a source or a label that has a weight.

    Attributes:
        sources: of each stage, those that it draws from.
        names: of all stages, sorted.
        costs: of each stage, source -> framed document tokens needed to fill one position, to be corrected by whoever
            packs.
    """

    def __init__(self, config: Config, streams: list[dict[str, Stream]], strata: Strata | None = None) -> None:
        self.config = config
        self.streams = streams
        self.strata = Strata.uncut(config) if strata is None else strata
        self.length = config.sequence.length
        self.sources = [
            strata_with_documents(config, number, streams[number], self.strata) for number in range(len(config.stages))
        ]
        self.names = sorted({source for sources in self.sources for source in sources})
        self.costs = [dict.fromkeys(sources, Fraction(1)) for sources in self.sources]
        # Asked for each source in every try of a stage.
        self._limits = {source: self._find_limit(source) for source in self.names}

    def demand(self) -> Demand:
        """What the recipe asks for, by the costs known so far."""
        capacity = {source: self._capacity(source) for source in self.names}
        blends = [self._blend(number, capacity) for number in range(len(self.config.stages))]
        notes: list[str] = []
        if self.config.tokens == "all":
            total = self._most_tokens(blends)
        else:
            total = self.config.tokens
            if self.config.shortage is Shortage.SHRINK:
                total = min(total, self._most_capped(blends))
            blends = self._capped(blends, self._caps(), total, notes)
        return Demand(capacity, total, self._positions(total), blends, notes)

    def end(self, number: int, source: str, start: int, positions: int) -> int:
        """The point of a source's stream so many positions of a stage behind another."""
        return self.streams[number][source].advance(start, int(positions * self.costs[number][source]))

    def end_limit(self, source: str) -> int | None:
        """The point of a source's stream behind which nothing may be drawn; None for no limit."""
        limit = self._limits[source]
        return None if limit is None else int(limit * EPOCH)

    def targets(self, demand: Demand, number: int, slices: list[Slice], positions: int | None = None) -> Targets:
        """Positions asked of each source in each slice; `positions` of a branch, which the demand does not know."""
        blend = demand.blends[number]
        whole = demand.positions[number] if positions is None else positions
        targets: Targets = {}
        for source in self.sources[number]:
            given = [0, *(int(whole * blend.given(source, slice_.end)) for slice_ in slices)]
            targets[source] = [later - earlier for earlier, later in pairwise(given)]
        return targets

    def slices(
        self, demand: Demand, number: int, cuts: Collection[Fraction] = (), rows: int | None = None
    ) -> list[Slice]:
        """The slices of a stage.

        Args:
            demand: what is asked.
            number: of the stage.
            cuts: progress at which a shard must end.
            rows: of a branch; None for the phase's own.
        """
        stage, blend = self.config.stages[number], demand.blends[number]
        return cut_slices(
            -(-demand.positions[number] // self.length) if rows is None else rows,
            self.config.shard.sequences,
            set(cuts),
            blend.jumps,
            bins=stage.ordering.stretches,
            is_smooth=blend.is_smooth,
            is_constant=blend.is_constant,
        )

    def whole_epochs(self, demand: Demand) -> dict[str, int]:
        """Where `tokens: all` uses a source up, its end: rounding must leave no document behind."""
        phases = self.config.phases
        if self.config.tokens != "all" or any(phase.mixture is not None for phase in phases):
            return {}
        if self.config.mixture.uses_every_source_up:
            used_up = self.names
        else:
            most = {source: self._most_of(source, demand.blends) for source in self.names}
            scarce = {self._mixed_as(source) for source in self.names if most[source] == demand.total}
            used_up = [source for source in self.names if self._mixed_as(source) in scarce]
        return {source: limit for source in used_up if (limit := self.end_limit(source)) is not None}

    def check_shortage(self, demand: Demand) -> None:
        """Holds the timeline against what there is.

        Raises:
            BylineError: a source is short; says how much there is, and what would work.
        """
        if self.config.tokens == "all":
            return
        asked, there = dict.fromkeys(self.names, 0), dict.fromkeys(self.names, 0)
        for source in self.names:
            positions = {
                n: int(demand.positions[n] * demand.blends[n].given(source, Fraction(1)))
                for n in range(len(self.config.phases))
                if source in self.sources[n]
            }
            asked[source] = sum(positions.values())
            there[source] = self._available(source, positions)
        # Rounding to whole sequences may ask for a sequence a phase more than there is.
        capped = self.config.shortage is Shortage.SHRINK or any(
            self.config.mixture_of(stage).max_epochs is not None for stage in self.config.stages
        )
        slack = self.length * len(self.config.phases) if capped else 0
        short = [source for source in self.names if asked[source] > there[source] + slack]
        if not short:
            return
        streams = "; ".join(
            f"{source}: {asked[source]:,} asked, {there[source]:,} there "
            f"({asked[source] / max(demand.capacity[source], 1):.2f} epochs)"
            for source in short[:_SHOWN]
        )
        streams += f"; and {len(short) - _SHOWN:,} more" if len(short) > _SHOWN else ""
        blends = [self._blend(number, demand.capacity) for number in range(len(self.config.stages))]
        most = self._most_capped(blends) // self.length * self.length
        raise BylineError(
            f"tokens: the selected documents are too few for {sum(asked.values()):,} tokens in this mixture. "
            f"{streams}. "
            f"Ask for less (about {most:,} tokens fit), change the mixture or the selection, {self.ways_out()}"
        )

    def ways_out(self, *, is_branch: bool = False) -> str:
        """What else helps where a source is short; a branch does not shrink."""
        more = "allow more epochs of a source (`max_epochs`)"
        if self.config.shortage is Shortage.REPEAT:
            return f"or {more}"
        shrink = "" if is_branch else " or `shortage: shrink` (fewer tokens)"
        return f"{more}, or set `shortage: repeat` (further epochs){shrink}"

    def _positions(self, total: int) -> list[int]:
        if self.config.tokens == "all":
            return [max(int(phase.share * total), 1) for phase in self.config.phases]
        rows = [round(phase.share * total / self.length) for phase in self.config.phases]
        if 0 in rows:
            name = self.config.phases[rows.index(0)].name
            raise BylineError(
                f"phases.{name}: its share of {total:,} tokens is less than one sequence of {self.length}; raise the "
                f"share or `tokens`, shorten `sequence.length`, or leave the phase out"
            )
        return [count * self.length for count in rows]

    def _capacity(self, source: str) -> int:
        """The most positions whose division by the phases' shares ends within one epoch, by bisection."""
        numbers = [n for n in range(len(self.config.phases)) if source in self.sources[n]]
        # A source of branches alone is measured by the first that draws from it.
        numbers = numbers or [n for n in range(len(self.sources)) if source in self.sources[n]][:1]
        shares = {n: self.config.phases[n].share if n < len(self.config.phases) else Fraction(1) for n in numbers}
        return self._most_positions(source, shares, EPOCH)

    def _most_positions(self, source: str, shares: Mapping[int, Fraction], limit: int) -> int:
        """The most positions, divided between parts in proportion to shares, that end no later than a point."""
        whole = sum(shares.values())
        return _largest(
            lambda count: self._fits(source, {n: int(share / whole * count) for n, share in shares.items()}, limit)
        )

    def _fits(self, source: str, positions: dict[int, int], limit: int) -> bool:
        """Whether a source has so many positions of each stage before a point of its stream."""
        if not positions:
            return True
        stream = self.streams[max(positions)][source]
        # A walk ends behind shuffle keys without documents, which may lie behind the limit.
        return self._walk(source, positions) <= max(limit, stream.advance(0, stream.tokens_before(limit)))

    def _walk(self, source: str, positions: dict[int, int]) -> int:
        """Where a source's stream is after so many positions of each stage, in their order."""
        point = 0
        for number, count in sorted(positions.items()):
            point = self.end(number, source, point, count)
        return point

    def _blend(self, number: int, capacity: dict[str, int]) -> Blend:
        stage = self.config.stages[number]
        sizes = {source: capacity[source] for source in self.sources[number]}
        mixed = {name: int(size) for name, size in self.strata.summed(number, sizes).items()}
        blend = stage.ordering.arrange(self.config.mixture_of(stage).blend(mixed))
        return blend.divided(self.strata.divided(number, sizes))

    def _mixed_as(self, source: str) -> str | None:
        """What the recipe's own mixture, which all phases have, calls a source or stratum."""
        return self.strata.mixed_as(0, source)

    def _arranged(self, number: int, weights: Mapping[str, Fraction]) -> Blend:
        """Weights that stay, in the order of a stage."""
        blend = self.config.stages[number].ordering.arrange(Blend.constant(self.strata.summed(number, weights)))
        return blend.divided(self.strata.divided(number, weights))

    def _caps(self) -> list[_Caps]:
        """What `max_epochs` allows, for all phases together that share a mixture.

        A branch without a mixture of its own has that of the timeline, so what bounds the one bounds the other.
        """
        caps = []
        for alike in self._alike():
            shares = {n: self.config.phases[n].share for n in alike if n < len(self.config.phases)}
            mixture = self.config.mixture_of(self.config.stages[alike[0]])
            if not shares or mixture.max_epochs is None or mixture.is_schedule:
                continue
            limits = {source: self._limit_in(alike[0], source) for source in self.sources[alike[0]]}
            positions = {
                source: Fraction(self._most_positions(source, shares, int(limit * EPOCH)))
                for source, limit in limits.items()
                if limit is not None
            }
            caps.append(_Caps(alike, sum(shares.values(), Fraction(0)), positions))
        return caps

    def _capped(self, blends: list[Blend], caps: list[_Caps], total: int, notes: list[str]) -> list[Blend]:
        """The blends with what caps free shared out."""
        capped = list(blends)
        for cap in caps:
            weights = blends[cap.stages[0]].shares()
            bound = cap_weights(weights, cap.positions, int(total * cap.share))
            notes += self._cap_notes(cap.stages[0], weights, bound)
            for number in cap.stages:
                capped[number] = self._arranged(number, bound)
        return capped

    def _cap_notes(self, number: int, weights: Mapping[str, Fraction], bound: Mapping[str, Fraction]) -> Iterator[str]:
        """What caps made of the weights of a stage, for each source or label that they hold."""
        field_name = self.config.mixture_of(self.config.stages[number]).label_field
        what, others = ("source", "sources") if field_name is None else (field_name, "labels")
        asked, given = self.strata.summed(number, weights), self.strata.summed(number, bound)
        for name in asked:
            if given[name] < asked[name]:
                yield (
                    f"max_epochs holds {what} {name} at {float(given[name]):.2%} of the mixture instead of "
                    f"{float(asked[name]):.2%}; the other {others} take the rest"
                )

    def _alike(self) -> list[list[int]]:
        """The parts in groups of the same weights: of the recipe's mixture over the same sources, or one alone."""
        groups: dict[object, list[int]] = {}
        for number, stage in enumerate(self.config.stages):
            has_recipes = stage.mixture is None and not isinstance(stage, Holdout)
            key = tuple(self.sources[number]) if has_recipes else number
            groups.setdefault(key, []).append(number)
        return list(groups.values())

    def _find_limit(self, source: str) -> Fraction | None:
        """The most epochs that may be drawn from a source: the largest limit of its stages; None for no limit."""
        may_repeat = self.config.tokens != "all" and self.config.shortage is Shortage.REPEAT
        highest = Fraction(0)
        for number, (stage, sources) in enumerate(zip(self.config.stages, self.sources, strict=True)):
            if isinstance(stage, Holdout):
                continue
            limit = self._limit_in(number, source) if source in sources else Fraction(0)
            if limit is None and may_repeat:
                return None
            highest = max(highest, Fraction(1) if limit is None else limit)
        return highest

    def _limit_in(self, number: int, source: str) -> Fraction | None:
        """The most epochs that the mixture of a stage allows of a source or stratum that it draws from."""
        mixed_as = self.strata.mixed_as(number, source)
        assert mixed_as is not None, f"stage {number} draws from {source}, which its mixture cannot name"
        return self.config.mixture_of(self.config.stages[number]).epoch_limit(mixed_as)

    def _most_tokens(self, blends: list[Blend]) -> int:
        """The most tokens of the timeline that no source ends beyond its limit for; 0 where none has a limit."""
        mosts = [self._most_of(source, blends) for source in self.names]
        return min((most for most in mosts if most is not None), default=0)

    def _most_capped(self, blends: list[Blend]) -> int:
        """The same with mixtures that yield to their caps, as they do for a number of tokens."""
        if all(self.config.mixture_of(phase).max_epochs is None for phase in self.config.phases):
            return self._most_tokens(blends)

        caps = self._caps()

        def fits(total: int) -> bool:
            capped = self._capped(blends, caps, total, [])
            # Caps are met to a position, and cuts fall between documents.
            return all((most := self._most_of(name, capped)) is None or total <= most + 1 for name in self.names)

        return _largest(fits)

    def _most_of(self, source: str, blends: list[Blend]) -> int | None:
        limit = self.end_limit(source)
        phases = self.config.phases
        shares = {n: phase.share * blends[n].given(source, Fraction(1)) for n, phase in enumerate(phases)}
        shares = {n: share for n, share in shares.items() if share > 0}
        if limit is None or not shares:
            return None
        return _largest(lambda total: self._fits(source, {n: int(share * total) for n, share in shares.items()}, limit))

    def _available(self, source: str, positions: dict[int, int]) -> int:
        """The most positions, divided between the phases as given, that end within the source's limit."""
        limit, whole = self.end_limit(source), sum(positions.values())
        if limit is None or whole == 0 or self._fits(source, positions, limit):
            return whole
        return _largest(
            lambda count: self._fits(source, {n: asked * count // whole for n, asked in positions.items()}, limit)
        )


def _largest(holds: Callable[[int], bool]) -> int:
    """The largest count, from 0, for which a condition holds that does not hold again once it fails."""
    high = 1
    while holds(high):
        high *= 2
        if high > 1 << 62:
            return high
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
