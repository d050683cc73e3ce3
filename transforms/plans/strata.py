"""What the mixtures of a recipe divide between: sources, or where some are by a label, strata of sources.

```
mixture: {by: topic, weights: {cooking: 0.3, sport: 0.7}}      cut 0: topic, labels cooking, sport, null
strata   web: topic=cooking   web: topic=sport   web: topic=null   web: other topic    likewise of books
stage    draws from web: topic=cooking, books: topic=cooking, web: topic=sport, books: topic=sport
```

A label's share is divided between the sources by how much each has of it. The cuts of all stages are made at once, so
that a stage begins in each stratum where the one before it ended, whatever the mixtures of both are by.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.ledger import Amount
from byline.schemas.mixtures import Mixture
from byline.schemas.mixtures.mixture import UNKNOWN
from byline.schemas.recipe import Holdout
from byline.transforms.fields.cuts import Cut, Stratum, strata_of
from byline.transforms.fields.ranking import Number
from byline.transforms.scans.choosing import borders_of
from byline.transforms.scans.counting import Scan
from byline.transforms.scans.label_counts import count_labels
from byline.transforms.scans.measuring import StratumView

# A stage knows the tokens of each stratum by 65,536 stretches of shuffle keys: 1 MB.
MOST_STRATA = 1000
_SHOWN = 5

# A field and the bins of a number.
_Key = tuple[str, object]


@dataclass(frozen=True)
class Strata:
    """Every stratum of a recipe, and what each stage's mixture calls it.

    Attributes:
        cuts: of all mixtures.
        cut_of: number of a stage whose mixture is by a label -> number of its cut.
        by_name: every stratum.
        warnings: of labels without a weight.
    """

    cuts: list[Cut]
    cut_of: dict[int, int]
    by_name: dict[str, Stratum]
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def uncut(cls, config: Config) -> "Strata":
        """Each source is one stratum."""
        return cls([], {}, {stratum.name: stratum for stratum in strata_of([], sorted(config.sources))})

    def mixed_as(self, stage: int, stratum: str) -> str | None:
        """What a stage's mixture calls a stratum: a label, or the source; None for one that it cannot name."""
        own = self.by_name[stratum]
        return own.labels[self.cut_of[stage]] if stage in self.cut_of else own.source

    def of_source(self, source: str) -> list[Stratum]:
        """The strata of a source, in the order of its labels."""
        return [stratum for stratum in self.by_name.values() if stratum.source == source]

    def of_stage(self, config: Config, number: int) -> list[str]:
        """The strata that a stage may draw from; of a holdout all."""
        stage = config.stages[number]
        named = config.mixture_of(stage).named
        sources = config.sources_of(stage)
        return [
            name
            for name, stratum in self.by_name.items()
            if stratum.source in sources
            and (mixed_as := self.mixed_as(number, name)) is not None
            and (named is None or mixed_as in named)
        ]

    def view(self, config: Config) -> StratumView:
        """What the scans must know."""
        if not self.cuts:
            return StratumView()
        stages = [number for number, stage in enumerate(config.stages) if not isinstance(stage, Holdout)]
        return StratumView(self.cuts, {number: self.of_stage(config, number) for number in stages})

    def by_source(self, amounts: Mapping[str, int]) -> dict[str, int]:
        """Amounts of strata summed by source."""
        sums: dict[str, int] = {}
        for stratum, amount in amounts.items():
            source = self.by_name[stratum].source
            sums[source] = sums.get(source, 0) + amount
        return sums

    def divided(self, stage: int, amounts: Mapping[str, Fraction | int]) -> dict[str, dict[str, Fraction]]:
        """What a stage's mixture names -> its strata and the share of each, by an amount of each stratum."""
        named: dict[str, dict[str, Fraction]] = {}
        for stratum, amount in amounts.items():
            mixed_as = self.mixed_as(stage, stratum)
            assert mixed_as is not None, f"stage {stage} draws from {stratum}, which its mixture cannot name"
            named.setdefault(mixed_as, {})[stratum] = Fraction(amount)
        return {name: _to_one(parts) for name, parts in named.items()}

    def targets(self, stage: int, targets: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        """Positions of strata in each slice, summed by what a stage's mixture names."""
        sums: dict[str, list[int]] = {}
        for stratum, counts in targets.items():
            mixed_as = self.mixed_as(stage, stratum)
            assert mixed_as is not None, f"stage {stage} draws from {stratum}, which its mixture cannot name"
            sums[mixed_as] = [a + b for a, b in zip(sums.get(mixed_as, [0] * len(counts)), counts, strict=True)]
        return sums

    def summed(self, stage: int, amounts: Mapping[str, Fraction | int]) -> dict[str, Fraction]:
        """Amounts of strata summed by what a stage's mixture names."""
        sums: dict[str, Fraction] = {}
        for stratum, amount in amounts.items():
            mixed_as = self.mixed_as(stage, stratum)
            assert mixed_as is not None, f"stage {stage} draws from {stratum}, which its mixture cannot name"
            sums[mixed_as] = sums.get(mixed_as, Fraction(0)) + amount
        return sums


def _to_one(parts: Mapping[str, Fraction]) -> dict[str, Fraction]:
    total = sum(parts.values(), Fraction(0))
    return {name: part / total if total else Fraction(1, len(parts)) for name, part in parts.items()}


def find_strata(config: Config, scan: Scan) -> Strata:
    """The strata of a recipe.

    Args:
        config: the recipe.
        scan: runs a counter over all runs of all sources; not called where all mixtures are between sources.

    Raises:
        BylineError: a mixture names a label that no document has, or there are too many of them.
    """
    mixtures = [
        (number, where, mixture)
        for number, (where, stage) in enumerate(config.located_stages())
        if (mixture := config.mixture_of(stage)).label_field is not None
    ]
    keys = list(dict.fromkeys(_key(mixture) for _, _, mixture in mixtures))
    if not keys:
        return Strata.uncut(config)
    first = {key: next(mixture for _, _, mixture in mixtures if _key(mixture) == key) for key in keys}
    cuts = [_cut(config, mixture, scan) for mixture in first.values()]
    counted = count_labels(cuts, scan)
    warnings: list[str] = []
    for number, where, mixture in mixtures:
        at = f"{where}.mixture" if config.stages[number].mixture else "mixture"
        labels = counted[keys.index(_key(mixture))]
        _check_labels(at, mixture, labels)
        warnings += _left_out(at, mixture, labels)
    labelled = [
        replace(cut, labels=_labels([m for _, _, m in mixtures if _key(m) == key], cut, labels))
        for key, cut, labels in zip(keys, cuts, counted, strict=True)
    ]
    _check_number(config, labelled)
    strata = {stratum.name: stratum for stratum in strata_of(labelled, sorted(config.sources))}
    cut_of = {number: keys.index(_key(mixture)) for number, _, mixture in mixtures}
    return Strata(labelled, cut_of, strata, list(dict.fromkeys(warnings)))


def _check_number(config: Config, cuts: Sequence[Cut]) -> None:
    strata = sum(prod(len(cut.labels_of(source)) for cut in cuts) for source in config.sources)
    if strata > MOST_STRATA:
        by = ", ".join(f"{len(cut.labels):,} labels of {cut.field}" for cut in cuts)
        raise BylineError(
            f"mixture: {by} in {len(config.sources)} sources make {strata:,} strata; a plan holds at most "
            f"{MOST_STRATA:,}, so give weights to fewer labels"
        )


def _key(mixture: Mixture) -> _Key:
    assert mixture.label_field is not None, f"{mixture} is between sources"
    return mixture.label_field, tuple(mixture.bins) if isinstance(mixture.bins, list) else mixture.bins


def _cut(config: Config, mixture: Mixture, scan: Scan) -> Cut:
    """The cut of a mixture; its labels are not known yet, unless they are bins."""
    name = mixture.label_field
    assert name is not None, f"{mixture} is between sources"
    sources = config.sources_with(name)
    if mixture.bins is None:
        return Cut(name, sources, [])
    number = Number(name, config.numbers_of(sources[0])[name], descending=False)
    borders = borders_of(number, mixture.bins, sources, scan)
    return Cut(name, sources, [*mixture.bin_labels, UNKNOWN], number.kind, borders)


def _labels(mixtures: Sequence[Mixture], cut: Cut, counted: Mapping[str, Amount]) -> list[str]:
    """The labels that a cut tells apart: those that mixtures name, or all if one names none."""
    if cut.borders is not None:
        return cut.labels
    named = [mixture.named for mixture in mixtures]
    told = set(counted) if None in named else {label for labels in named for label in labels or ()}
    return sorted(told | {UNKNOWN})


def _check_labels(where: str, mixture: Mixture, counted: Mapping[str, Amount]) -> None:
    """Refuses labels that no document has."""
    capped = mixture.max_epochs if isinstance(mixture.max_epochs, dict) else ()
    missing = sorted({label for label in (*(mixture.named or ()), *capped) if label not in counted})
    if not missing:
        return
    if mixture.bins is not None and missing != [UNKNOWN]:
        raise BylineError(
            f"{where}: no document is in bin {missing[0]} of {mixture.label_field}, since many have the same value; "
            f"use fewer `bins`, or give their borders"
        )
    commonest = Counter({label: amount.tokens for label, amount in counted.items()}).most_common(_SHOWN)
    known = ", ".join(label for label, _ in commonest)
    more = f" and {len(counted) - len(commonest):,} more" if len(counted) > len(commonest) else ""
    raise BylineError(f"{where}: no document has {mixture.label_field} {missing[0]!r}; there are {known}{more}")


def _left_out(where: str, mixture: Mixture, counted: Mapping[str, Amount]) -> Iterator[str]:
    """A line for the labels of which a mixture says nothing."""
    if mixture.named is None:
        return
    left = {label: amount.tokens for label, amount in counted.items() if label not in mixture.mentioned}
    total = sum(amount.tokens for amount in counted.values())
    if not any(left.values()):
        return
    shown = [f"{label} {tokens / total:.2%}" for label, tokens in Counter(left).most_common(_SHOWN)]
    others = len(left) - len(shown)
    more = f" and {others:,} more, together {sum(left.values()) / total:.2%}," if others else ""
    yield (
        f"{where}: no weight for {mixture.label_field} {', '.join(shown)}{more} of all tokens; they are left out "
        f"(unused: mixture), so give each a weight, or 0"
    )
