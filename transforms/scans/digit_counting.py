"""Finds documents by what stands before them in an order of ranks, one digit of the rank a scan.

```
looked for   the document before which 2 others stand, in the order (number descending, tie, shuffle key)
number       0.9  0.7  0.7  0.7  none
scan 1       upper digit of the key   0.9: 1, 0.7: 3, none: 1      it is a 0.7, and 1 stands before it
scan 2       lower digit of the key   0.7: 3                       the same
scan 3       upper digit of the tie   1, 5, 9: 1 each              it is the one of tie 5, for it stands there alone
```

A scan answers many questions at once (see `transforms/scans/counting.py`). One about small whole numbers begins with a
scan over their values, not the upper digits of their keys, which are all alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from byline.schemas.predicates import Predicate
from byline.transforms.fields.ranking import (
    DIGIT_VALUES,
    Digits,
    Number,
    key_digits,
    near_bins,
    near_key,
    next_digits,
    number_keys,
)
from byline.transforms.fields.selecting import holds, predicate_columns
from byline.transforms.scans.counting import Scan, Summing, count_by_value
from byline.transforms.scans.shared_predicates import SharedPredicate
from byline.transforms.store.attribute_columns import StoredRun
from byline.transforms.store.run_reading import open_run

# Documents: (source, numbers of the predicates that hold for them) of each source.
Population = tuple[tuple[str, tuple[int, ...]], ...]

# The bin of documents without the number, in the first scan for a question.
_WITHOUT = DIGIT_VALUES


@dataclass(frozen=True)
class Question:
    """What one histogram of a scan is of.

    Attributes:
        population: the documents that it counts.
        number: which ranks.
        heads: beginnings of ranks, as `next_digits` takes them; none for a scan over small whole numbers.
    """

    population: Population
    number: Number
    heads: tuple[Digits, ...]

    @property
    def is_first(self) -> bool:
        """Whether documents without the number are counted too."""
        return self.heads in ((), ((),))


@dataclass(frozen=True)
class DigitCounter(Summing):
    """Documents and tokens by the next digit of their ranks: the number of the question, and bins as in `next_digits`.

    Attributes:
        questions: of all sources.
        predicates: those that the questions' populations number.
    """

    keys: ClassVar[pa.Schema] = pa.schema(
        [pa.field("question", pa.int32(), nullable=False), pa.field("bin", pa.int64(), nullable=False)]
    )

    questions: Sequence[Question]
    predicates: Mapping[int, SharedPredicate]

    def count(self, run: str | StoredRun) -> pa.RecordBatch:
        """Histograms over one run, for the questions about its source."""
        columns = predicate_columns(self.predicates.values()) | {asked.number.field for asked in self.questions}
        opened = open_run(run, sorted({"shuffle_key", "num_tokens", *columns}))
        source = opened.source
        populations = {number: dict(asked.population) for number, asked in enumerate(self.questions)}
        about_source = {n: population[source] for n, population in populations.items() if source in population}
        if not about_source:
            return self.merge([])
        batch = opened.whole()
        # Questions share most of their predicates, and a list of hosts costs the most.
        needed = {predicate for predicates in about_source.values() for predicate in predicates}
        held = {number: holds([self.predicates[number]], batch, source) for number in needed}
        counts = []
        for number, predicates in about_source.items():
            reached = np.ones(batch.num_rows, bool)
            for predicate in predicates:
                reached &= held[predicate]
            bins, documents, tokens = _count(self.questions[number], batch, reached)
            counts.append(self.batch(documents, tokens, question=number, bin=bins))
        return self.merge(counts)


def _count(question: Question, batch: pa.RecordBatch, reached: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The histogram of one question over the documents that it is about (bool [rows]): bins, documents, tokens."""
    number = question.number
    keys, present = number_keys(batch[number.field], number.kind, number.descending)
    rows = np.flatnonzero(reached & present)
    if question.heads:
        shuffle_keys = batch["shuffle_key"].to_numpy()
        at_heads, bins = next_digits(keys[rows], shuffle_keys[rows], number.kind, question.heads)
        rows = rows[at_heads]
    else:
        bins = near_bins(keys[rows], number.descending)
    if question.is_first:
        without = np.flatnonzero(reached & ~present)
        rows, bins = np.concatenate([rows, without]), np.concatenate([bins, np.full(len(without), _WITHOUT)])
    return count_by_value(bins, batch["num_tokens"].to_numpy().astype(np.int64)[rows])


@dataclass(frozen=True)
class Histogram:
    """Documents and tokens by bin.

    Attributes:
        bins, documents, tokens: int64 [k], bins ascending.
    """

    bins: np.ndarray
    documents: np.ndarray
    tokens: np.ndarray

    def of_head(self, number: int) -> "Histogram":
        """The digits of those whose ranks begin with one of the question's heads; without those of no number."""
        start, end = np.searchsorted(self.bins, [number * DIGIT_VALUES, (number + 1) * DIGIT_VALUES])
        bins = self.bins[start:end] - number * DIGIT_VALUES
        return Histogram(bins, self.documents[start:end], self.tokens[start:end])

    def sizes(self, count: str) -> np.ndarray:
        """int64 [k]: documents or tokens."""
        return self.documents if count == "documents" else self.tokens


def ask(scan: Scan, questions: Iterable[Question], predicates: Sequence[Predicate]) -> dict[Question, Histogram]:
    """One scan for all questions; equal ones are asked once."""
    asked = list(dict.fromkeys(questions))
    used = {number for question in asked for _, numbers in question.population for number in numbers}
    counts = scan(DigitCounter(asked, {number: predicates[number] for number in sorted(used)}))
    numbers = counts["question"].to_numpy()
    columns = [counts[name].to_numpy() for name in ("bin", "documents", "tokens")]
    return {question: Histogram(*(column[numbers == n] for column in columns)) for n, question in enumerate(asked)}


@dataclass(frozen=True)
class Target:
    """A document that is looked for.

    Attributes:
        digits: the digits of its rank as far as they are known.
        before: documents or tokens before it, of those whose ranks have these digits.
        by_value: whether the next scan goes over small whole numbers.
    """

    digits: Digits
    before: int
    by_value: bool = False

    @classmethod
    def start(cls, number: Number, before: int = 0) -> "Target":
        """Before any scan."""
        return cls((), before, by_value=number.kind == "int")

    def descend(self, histogram: Histogram, count: str, number: Number) -> tuple["Target", bool]:
        """The target with its next digits, and whether no other document has them.

        Args:
            histogram: of the target's head.
            count: `documents` or `tokens`, which `before` counts; more than that many are in the histogram.
        """
        sizes = histogram.sizes(count)
        ends = np.cumsum(sizes)
        at = int(np.searchsorted(ends, self.before, side="right"))
        assert at < len(ends), f"{self.before} {count} before a document of {int(sizes.sum())}"
        digit = int(histogram.bins[at])
        digits: Digits = (*self.digits, digit)
        if self.by_value:
            key = near_key(digit, number.descending)
            if key is None:
                return Target((), self.before), False
            digits = key_digits(key, number.kind)
        return Target(digits, self.before - int(ends[at] - sizes[at])), bool(histogram.documents[at] == 1)


def heads_of(targets: Iterable[Target]) -> tuple[Digits, ...]:
    """The heads to ask for next; the targets have equally many digits known."""
    known = {(target.by_value, target.digits) for target in targets}
    return tuple(sorted(digits for by_value, digits in known if not by_value))
