"""What a study answers, in words: the kinds of `statements` of a recipe.

```yaml
statements:
  - {kind: compare, question: Does a host help?, arm: conditioned, evaluation: host, against: {evaluation: none}}
  - {kind: reach, arm: cooldown, of: standard, evaluation: none, published: "with 33 % fewer tokens (2501.01956)"}
  - {kind: order, arms: [plain, reverse], evaluation: own, metric: exact, threshold: 0.99}
```

```
compare   is A's final value better than B's?              1.074 ± 0.012 against 1.102 ± 0.009, in every seed
reach     does A reach B's final value with fewer tokens?  with 0.70 (0.65 to 0.74) of them, in all 9 pairs of seeds
order     which arm is first to a threshold?               reverse before plain; within the spread: ...
```

`against` has what differs from A. With `model: each` a statement is made for every size. The verdict is by the rule of
`analysis`; a side with so few seeds that chance alone gives an order more often than once in 20 has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations, pairwise
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from byline.lab.results import numbers
from byline.lab.results.analysis import PairRatio, all_before, chance, final, is_better, ratios, reaches
from byline.lab.results.kinds import Known, parse_kinds
from byline.lab.results.series import Measure, series_of
from byline.lab.results.table import Results
from byline.schemas.model import Model

EACH = "each"
# Three seeds against three.
_RAREST = 20


class Verdict(Enum):
    """What came of a question."""

    YES = "yes"
    NO = "no"  # the other way round, in every seed
    WITHIN = "within the spread"
    ORDERED = "told apart"  # each arm from the next
    PARTLY = "partly told apart"  # some are within the spread
    FEW = "too few seeds"


@dataclass(frozen=True)
class Statement:
    """A question and its answer.

    Attributes:
        question: in words.
        verdict: by the rule.
        answer: a sentence with the numbers that matter most.
        numbers: the rest: what, and its value.
        chance: one in how many orders of the seeds would give the verdict by chance.
        published: what others reported.
    """

    question: str
    verdict: Verdict
    answer: str
    numbers: tuple[tuple[str, str], ...]
    chance: int
    published: str = ""


class Question(Measure):
    """What all kinds take: the measure, and words for the page."""

    kind: ClassVar[str]
    question: str = ""
    published: str = ""

    def answer(self, results: Results) -> Statement:
        """The statement, for a model that is given. Raises: BylineError: it was not measured."""
        raise NotImplementedError

    def in_model(self, model: str) -> "Question":
        """The same question about a model's size."""
        question = f"{self.question} ({model})" if self.question else ""
        return self.model_copy(update={"model": model, "question": question})

    @property
    def _where(self) -> str:
        source = "" if self.source == "all" else f", on {self.source}"
        return source if self.model is None else f"{source}, at {self.model}"


class Against(Model):
    """What a comparison's other side has that differs."""

    arm: str | None = None
    evaluation: str | None = None
    source: str | None = None
    model: str | None = None


class Compare(Question):
    """Whether the final value of one is better than that of another."""

    kind: ClassVar[str] = "compare"
    arm: str
    against: Against

    def answer(self, results: Results) -> Statement:
        changed = {key: name for key, name in self.against.model_dump().items() if name is not None}
        sides = [self, self.model_copy(update=changed)]
        names = [_side(side, changed) for side in sides]
        one, other = (final(series_of(results, side.arm, side)) for side in sides)
        seeds = chance(len(one.values), len(other.values))
        if is_better(one, other, self.is_lower_better):
            verdict = Verdict.YES
        elif is_better(other, one, self.is_lower_better):
            verdict = Verdict.NO
        else:
            verdict = Verdict.WITHIN
        shown = [numbers.spread(side, self.metric) for side in (one, other)]
        better = "lower" if self.is_lower_better else "higher"
        metric = numbers.metric_name(self.metric)
        return Statement(
            self.question or f"Is the {metric} of {names[0]} {better} than that of {names[1]}{self._where}?",
            verdict if seeds >= _RAREST else Verdict.FEW,
            f"{names[0]}: {shown[0]}; {names[1]}: {shown[1]}.",
            tuple(
                (f"{name}, range of {len(side.values)} seeds", numbers.least_to_greatest(side, self.metric))
                for name, side in zip(names, (one, other), strict=True)
            ),
            seeds,
            self.published,
        )


class ReachFinal(Question):
    """Whether one needs fewer tokens to reach what another ends with."""

    kind: ClassVar[str] = "reach"
    arm: str
    of: str

    def answer(self, results: Results) -> Statement:
        one, other = series_of(results, self.arm, self), series_of(results, self.of, self)
        pairs = ratios(one, other, self.is_lower_better)
        back = ratios(other, one, self.is_lower_better)
        seeds = chance(len(one), len(other))
        if all(pair.is_sooner for pair in pairs):
            verdict = Verdict.YES
        elif all(pair.is_sooner for pair in back):
            verdict = Verdict.NO
        else:
            verdict = Verdict.WITHIN
        unit = "steps" if self.x == "step" else self.x
        metric = numbers.metric_name(self.metric)
        return Statement(
            self.question or f"Does {self.arm} reach the final {metric} of {self.of} with fewer {unit}{self._where}?",
            verdict if seeds >= _RAREST else Verdict.FEW,
            f"{self.arm} {_ratio(pairs, metric, self.of, unit)}.",
            (
                (f"pairs of seeds in which {self.arm} is sooner", f"{sum(map(_sooner, pairs))} of {len(pairs)}"),
                ("the other way round", f"{self.of} {_ratio(back, metric, self.arm, unit)}"),
                (f"final {metric} of {self.arm}", numbers.spread(final(one), self.metric)),
                (f"final {metric} of {self.of}", numbers.spread(final(other), self.metric)),
            ),
            seeds,
            self.published,
        )


class Order(Question):
    """The order of arms by what they need to reach a threshold; without one, by their final values."""

    kind: ClassVar[str] = "order"
    arms: list[str] = Field(min_length=2)
    threshold: float | None = None

    def answer(self, results: Results) -> Statement:
        measured = {arm: series_of(results, arm, self) for arm in self.arms}
        never: list[str] = []
        if self.threshold is None:
            finals = {arm: final(series) for arm, series in measured.items()}
            sign = 1 if self.is_lower_better else -1
            ranked = sorted(finals, key=lambda arm: sign * finals[arm].mean)
            shown = {arm: numbers.spread(finals[arm], self.metric) for arm in ranked}

            def is_first(one: str, other: str) -> bool:
                return is_better(finals[one], finals[other], self.is_lower_better)

        else:
            times = {
                arm: list(reaches(series, self.threshold, self.is_lower_better).values())
                for arm, series in measured.items()
            }
            ranked = sorted(times, key=lambda arm: [np.mean([time.at for time in times[arm]]), -_reached(times[arm])])
            never = [arm for arm in ranked if not _reached(times[arm])]
            shown = {arm: "; ".join(numbers.reached(time, self.x) for time in times[arm]) for arm in ranked}

            def is_first(one: str, other: str) -> bool:
                return all_before(times[one], times[other])

        steps = [is_first(one, other) for one, other in pairwise(ranked)]
        apart = [(one, other) for one, other in combinations(ranked, 2) if is_first(one, other)]
        seeds = min(chance(len(measured[a]), len(measured[b])) for a, b in pairwise(ranked))
        verdict = Verdict.ORDERED if all(steps) else Verdict.PARTLY if apart else Verdict.WITHIN
        what = f"final {numbers.metric_name(self.metric)}" if self.threshold is None else f"{_threshold(self)}"
        return Statement(
            self.question or f"In which order do {_listed(self.arms)} come by {what}{self._where}?",
            verdict if seeds >= _RAREST else Verdict.FEW,
            _in_words(ranked, steps, apart) + (f" In no seed reached: {_listed(never)}." if never else ""),
            tuple(shown.items()),
            seeds,
            self.published,
        )


STATEMENTS: dict[str, type[Question]] = {kind.kind: kind for kind in (Compare, ReachFinal, Order)}


def parse_statements(values: Sequence[Mapping[str, Any]], known: Known | None = None) -> list[Question]:
    """The questions of a recipe. Raises: BylineError: one is wrong; one line."""
    return parse_kinds(values, STATEMENTS, "statements", known)


def answers(questions: Sequence[Question], results: Results) -> list[Statement]:
    """The statements, of one about each model as many as there are models. Raises: BylineError."""
    return [
        one.answer(results)
        for question in questions
        for one in ([question.in_model(model) for model in results.models] if question.model == EACH else [question])
    ]


def rule(statements: Sequence[Statement]) -> str:
    """How to read the verdicts, for below them."""
    odds = sorted({statement.chance for statement in statements})
    by_chance = " or ".join(f"1 in {one}" for one in odds)
    return (
        "A verdict says that every seed of one side is before every seed of the other; otherwise the two are within "
        "the spread. If the sides did not differ, chance alone would put all seeds of a given side first "
        f"{by_chance} times, so of many verdicts a few may be chance. Where it is more than 1 in {_RAREST}, as with "
        "fewer than three seeds a side, there is no verdict. Thresholds are interpolated between evaluations, the "
        "first time that they are reached; ± is the standard deviation over seeds."
    )


def _side(side: Compare, changed: Mapping[str, str]) -> str:
    name = side.arm
    if "evaluation" in changed:
        name += f" on {side.evaluation}"
    if "source" in changed:
        name += f" of {side.source}"
    return f"{name} at {side.model}" if "model" in changed else name


def _ratio(pairs: Sequence[PairRatio], metric: str, of: str, unit: str) -> str:
    finite = [pair.ratio for pair in pairs if np.isfinite(pair.ratio)]
    if not finite:
        return f"does not reach the final {metric} of {of}"
    span = f"{np.mean(finite):.2f} ({min(finite):.2f} to {max(finite):.2f})"
    share = f"with {span} of its {unit}"
    if len(finite) == len(pairs):
        return f"reaches the final {metric} of {of} {share}"
    return f"reaches the final {metric} of {of} in {len(finite)} of {len(pairs)} pairs of seeds, there {share}"


def _sooner(pair: PairRatio) -> bool:
    return pair.is_sooner


def _reached(times: Sequence[Any]) -> int:
    return sum(time.is_reached for time in times)


def _threshold(order: Order) -> str:
    unit = "steps" if order.x == "step" else order.x
    return f"{unit} to {numbers.metric_name(order.metric)} {numbers.threshold(order.threshold or 0.0, order.metric)}"


def _in_words(ranked: Sequence[str], steps: Sequence[bool], apart: Sequence[tuple[str, str]]) -> str:
    """The order of arms, of which each is or is not told apart from the next, and which pairs are."""
    groups = [[ranked[0]]]
    for arm, is_apart in zip(ranked[1:], steps, strict=True):
        if is_apart:
            groups.append([arm])
        else:
            groups[-1].append(arm)
    if len(groups) == 1 and apart:
        behind = {one: [other for before, other in apart if before == one] for one, _ in apart}
        pairs = "; ".join(f"{one} before {_listed(others)}" for one, others in behind.items())
        return f"On average {', before '.join(ranked)}. In every seed: {pairs}."
    if len(groups) == 1:
        return f"Not told apart: {_listed(ranked)}."
    together = [_listed(group) for group in groups if len(group) > 1]
    within = f" Within the spread of each other: {'; '.join(together)}." if together else ""
    return f"{', before '.join(_listed(group) for group in groups)}.{within}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
