"""Which documents a stage may take, and where the bins of its numbers lie: borders found by scans over the token store.

```
step        {deny: {host: [b.org]}}   {top: 1/2, by: quality}                    predicates
source x    no scan                   3 of the 6 that are left: below 0.7, 9     not_in b.org, rank below (0.7, 9, 0)
source y    no scan                   none of the 1 that is left                 not_in b.org, rank below the first
```

Borders are exact (see `transforms/scans/digit_counting.py`). A document without the number counts in what there is, but
no share below 1 takes it. All open questions go in one scan: those of every stage and source, and those of a later step
as soon as the steps before it are known for the sources that it is about. Equal questions are one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from byline.schemas.config import Config
from byline.schemas.predicates import HashShare, Predicate, PredicateNumbers, RankRange
from byline.schemas.recipe import Holdout, Selection, Stage
from byline.transforms.fields.ranking import (
    Number,
    digit_shuffle_keys,
    nearest_float,
    nearest_float32,
    rank_of,
    value_of,
)
from byline.transforms.fields.selecting import step_predicates
from byline.transforms.scans.counting import Scan
from byline.transforms.scans.digit_counting import Histogram, Population, Question, Target, ask, heads_of

# -------------------------------------------------------------------------------------------------------------- shares


@dataclass(frozen=True)
class _Cut:
    """A share as a step gives it, in `documents` or `tokens`."""

    number: Number
    share: Fraction
    count: str


@dataclass(frozen=True)
class _Share:
    """What is asked: where a share of a population ends."""

    population: Population
    cut: _Cut


@dataclass(frozen=True)
class _Border:
    """What is known of where a share ends.

    Attributes:
        target: the first document that is not taken; None before the first scan, and where all with a number are.
        done: whether nothing more is asked.
    """

    target: Target | None = None
    done: bool = False

    def question(self, share: _Share) -> Question:
        target = self.target or Target.start(share.cut.number)
        return Question(share.population, share.cut.number, heads_of([target]))

    def advance(self, cut: _Cut, histogram: Histogram) -> "_Border":
        """What is known after a scan."""
        target, numbered = self.target, histogram.of_head(0)
        if target is None:
            target = Target.start(cut.number, int(cut.share * int(histogram.sizes(cut.count).sum())))
            if target.before >= numbered.sizes(cut.count).sum():
                return _Border(done=True)
        target, is_alone = target.descend(numbered, cut.count, cut.number)
        # A document that stands alone at the border is larger than what is left to take; and where nothing is left
        # none fits, since every document of the store has tokens.
        is_whole = len(target.digits) == len(digit_shuffle_keys(cut.number.kind))
        return _Border(target, is_alone or target.before == 0 or is_whole)

    def predicate(self, number: Number) -> Predicate:
        """Holds for the documents that the share takes."""
        below = None if self.target is None else rank_of(self.target.digits, number.kind)
        return RankRange(number.field, number.kind, number.descending, below=below)


@dataclass(frozen=True)
class _Step:
    """A step of a stage.

    Attributes:
        groups: the sources that it is for; those of a group are ranked together.
        does: the numbers of its predicates, or the share that gives one.
    """

    groups: list[list[str]]
    does: tuple[int, ...] | _Cut


def _steps(config: Config, stage: Stage, numbering: PredicateNumbers) -> Iterator[_Step]:
    """The steps that leave out anyone of a stage's sources; what is held out, or is not, comes first."""
    if config.holdout is not None:
        held = HashShare(config.holdout.field, config.holdout.bound, is_below=isinstance(stage, Holdout))
        yield _Step([[source] for source in config.sources_of(stage)], (numbering.number(held),))
    for selection in stage.select:
        sources = [name for name in config.sources_of(stage) if selection.sources is None or name in selection.sources]
        if sources and selection.share != 1:
            groups = [sources] if selection.over == "all" else [[source] for source in sources]
            # A number has one type in all sources of a step.
            yield _Step(groups, _what_it_does(selection, config.numbers_of(sources[0]), numbering))


def _what_it_does(
    selection: Selection, kinds: Mapping[str, str], numbering: PredicateNumbers
) -> tuple[int, ...] | _Cut:
    if selection.share is None or selection.by is None:
        return tuple(map(numbering.number, step_predicates(selection, kinds)))
    number = Number(selection.by, kinds[selection.by], descending=selection.top is not None)
    return _Cut(number, selection.share, selection.count)


def find_predicates(config: Config, scan: Scan) -> dict[tuple[int, str], list[Predicate]]:
    """Who may be taken, by as many scans as the borders of shares need.

    Args:
        config: the recipe.
        scan: runs a counter over all runs of all sources.

    Returns:
        The predicates for (number of the stage in `Config.stages`, source), for every source of the stage.
    """
    numbering = PredicateNumbers()
    stages = [(config.sources_of(stage), list(_steps(config, stage, numbering))) for stage in config.stages]
    borders: dict[_Share, _Border] = {}
    while True:
        chains = [_Chain(sources, steps, borders, numbering) for sources, steps in stages]
        questions = {share: borders[share].question(share) for chain in chains for share in chain.asked}
        if not questions:
            break
        counts = ask(scan, questions.values(), numbering.predicates)
        for share, question in questions.items():
            borders[share] = borders[share].advance(share.cut, counts[question])
    return {
        (stage, source): [numbering.predicates[number] for number in numbers]
        for stage, chain in enumerate(chains)
        for source, numbers in chain.predicates.items()
    }


class _Chain:
    """A stage's steps, followed as far as borders are known.

    Attributes:
        predicates: their numbers by source.
        asked: shares at which sources stopped; they stand among the borders.
    """

    def __init__(
        self, sources: list[str], steps: list[_Step], borders: dict[_Share, _Border], numbering: PredicateNumbers
    ) -> None:
        self.predicates: dict[str, tuple[int, ...]] = dict.fromkeys(sources, ())
        self.asked: list[_Share] = []
        stopped: set[str] = set()
        for step in steps:
            for group in step.groups:
                taken = None if stopped.intersection(group) else self._take(group, step.does, borders, numbering)
                if taken is None:
                    stopped.update(group)
                else:
                    self.predicates.update({source: self.predicates[source] + taken for source in group})

    def _take(
        self,
        group: list[str],
        does: tuple[int, ...] | _Cut,
        borders: dict[_Share, _Border],
        numbering: PredicateNumbers,
    ) -> tuple[int, ...] | None:
        """The predicates of one step for sources that are ranked together; None where a border is still open."""
        if not isinstance(does, _Cut):
            return does
        share = _Share(tuple((source, self.predicates[source]) for source in group), does)
        border = borders.setdefault(share, _Border())
        if border.done:
            return (numbering.number(border.predicate(does.number)),)
        self.asked.append(share)
        return None


# ---------------------------------------------------------------------------------------------------------------- bins


@dataclass(frozen=True)
class _Bins:
    """What is asked: the borders between so many bins of equally many documents."""

    population: Population
    number: Number
    count: int

    def unknown(self, targets: Sequence[Target] | None) -> list[Target]:
        """The documents at borders whose keys are still looked for; None before the first scan."""
        if targets is None:
            return [Target.start(self.number)]
        return [target for target in targets if len(target.digits) < self.number.key_digits]

    def advance(
        self, targets: Sequence[Target] | None, heads: tuple[tuple[int, ...], ...], histogram: Histogram
    ) -> list[Target]:
        """What is known after a scan that asked for these heads."""
        if targets is None:
            documents = int(histogram.of_head(0).documents.sum())
            indices = [i * documents // self.count for i in range(1, self.count)] if documents else []
            targets = [Target.start(self.number, index) for index in indices]
        digits = {head: histogram.of_head(number) for number, head in enumerate(heads or ((),))}
        unknown = set(self.unknown(targets))
        return [
            target.descend(digits[target.digits], "documents", self.number)[0] if target in unknown else target
            for target in targets
        ]


def find_bin_borders(
    config: Config, predicates: Mapping[tuple[int, str], Sequence[Predicate]], scan: Scan
) -> dict[tuple[int, str], list[float]]:
    """The borders of the bins of every condition.

    Args:
        config: the recipe.
        predicates: of `find_predicates`.
        scan: as there.

    Returns:
        Borders by (number of the stage, number), ascending, each an `int` where the number is one; those that are given
        are rounded to float32 where the number is a score, and stay as they are otherwise.
    """
    numbering = PredicateNumbers()
    given: dict[tuple[int, str], list[float]] = {}
    wanted: dict[tuple[int, str], _Bins] = {}
    for stage, name, bins in _bins(config):
        sources = config.sources_of(config.stages[stage])
        kind = config.numbers_of(sources[0])[name]
        if isinstance(bins, int):
            population = tuple((source, tuple(map(numbering.number, predicates[stage, source]))) for source in sources)
            wanted[stage, name] = _Bins(population, Number(name, kind, descending=False), bins)
        else:
            given[stage, name] = [_as_number(border, kind) for border in bins]
    targets = _find_targets(wanted.values(), numbering, scan)
    return given | {where: _values(targets[bins], bins.number.kind) for where, bins in wanted.items()}


def borders_of(number: Number, bins: int | list[Fraction], sources: Iterable[str], scan: Scan) -> list[float]:
    """The borders of a number's bins, over all documents of some sources that have it; as in `find_bin_borders`."""
    if not isinstance(bins, int):
        return [_as_number(border, number.kind) for border in bins]
    wanted = _Bins(tuple((source, ()) for source in sources), number, bins)
    return _values(_find_targets([wanted], PredicateNumbers(), scan)[wanted], number.kind)


def _bins(config: Config) -> Iterator[tuple[int, str, int | list[Fraction]]]:
    for number, stage in enumerate(config.stages):
        for name, bins in (stage.condition.bins if stage.condition else {}).items():
            yield number, name, bins


def _find_targets(wanted: Iterable[_Bins], numbering: PredicateNumbers, scan: Scan) -> dict[_Bins, Sequence[Target]]:
    """The documents at the borders, up to their keys."""
    targets: dict[_Bins, Sequence[Target] | None] = dict.fromkeys(wanted)
    while True:
        open_ = {bins: unknown for bins, known in targets.items() if (unknown := bins.unknown(known))}
        if not open_:
            return {bins: known for bins, known in targets.items() if known is not None}
        questions = {bins: Question(bins.population, bins.number, heads_of(sought)) for bins, sought in open_.items()}
        counts = ask(scan, questions.values(), numbering.predicates)
        for bins, asked in questions.items():
            targets[bins] = bins.advance(targets[bins], asked.heads, counts[asked])


def _values(targets: Sequence[Target], kind: str) -> list[float]:
    return [value_of(key, kind) for key in sorted(rank_of(target.digits, kind)[0] for target in targets)]


def _as_number(border: Fraction, kind: str) -> float:
    """A border that JSON keeps; for integers a whole one stays whole, since a float past 2^53 would not be exact."""
    if kind == "int" and border.denominator == 1:
        return border.numerator
    return nearest_float32(border) if kind == "float32" else nearest_float(border)
