"""What the plan needs to know of the token store; each class is one pass (see `transforms.counting`).

```
DigitCounter    documents and tokens of each selection by the next digit of their rank
PlaceCounter    tokens of the streams that each phase would make, by place
SampleCounter   place, tokens and prefix length of a share of the documents, one row each
DrawCounter     what the finished plan draws and leaves
```
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.corpora import Tokenizer
from schemas.reasons import UnusedReason
from schemas.recipe import Condition
from transforms.conditioning import make_prefixes, store_columns
from transforms.counting import Summing, count_by_bin, one_batch
from transforms.placing import in_sample
from transforms.run_reading import open_run
from transforms.selecting import digit_of, holds, matches, predicate_fields, rank_words
from transforms.tokenizing import shared_tokenizer

# A bin is the upper 16 bits of a place: 65,536 bins a source make a plan exact to a bin's documents, and cost 0.5 MB.
PLACE_BITS = 48


@dataclass(frozen=True)
class PhaseView:
    """What a pass must know of a phase: who is selected, and how long their streams are.

    Attributes:
        name: of the phase.
        predicates: source name -> the plan's predicates; sources without weight are absent.
        condition: of the phase.
        specials: BOS and EOS tokens of a stream.
        length: L.
        tokenizer: for the prefixes.
    """

    name: str
    predicates: dict[str, str]
    condition: Condition | None
    specials: int
    length: int
    tokenizer: Tokenizer

    @property
    def score_columns(self) -> set[str]:
        """Store columns that its predicates need, of any source."""
        return {name for predicates in self.predicates.values() for name in predicate_fields(predicates)}

    @property
    def columns(self) -> set[str]:
        """Store columns that it needs, of any source."""
        return self.score_columns | store_columns(self.condition)

    def selected(self, batch: pa.RecordBatch, source: str) -> np.ndarray:
        """bool [rows]: who the phase may take."""
        if source not in self.predicates:
            return np.zeros(batch.num_rows, bool)
        return holds(self.predicates[source], _as_columns(batch), batch["place"].to_numpy())

    def prefix_lengths(self, batch: pa.RecordBatch, source: str) -> np.ndarray:
        """int64 [rows]: tokens of each prefix, dropout not considered; 0 for a source that the phase never takes."""
        if source not in self.predicates:
            return np.zeros(batch.num_rows, np.int64)
        tokenizer = shared_tokenizer(self.tokenizer)
        return make_prefixes(batch, source, self.condition, None, tokenizer, self.length).lengths


def _as_columns(batch: pa.RecordBatch) -> dict[str, Any]:
    return {name: batch[name] for name in batch.schema.names}


def _read(uri: str, columns: set[str]) -> tuple[pa.RecordBatch, str]:
    """The named columns of a run, those of them that it has, and its source."""
    run = open_run(uri, sorted({"place", "num_tokens", *columns}))
    return run.whole(), run.info.source


@dataclass(frozen=True)
class DigitCounter(Summing):
    """Documents and tokens by the next digit; key that of the question, bin the digit.

    Attributes:
        questions: (key, source, score field, digits known) of each selection that is not finished.
    """

    questions: Sequence[tuple[str, str, str, tuple[int, ...]]]

    def count(self, uri: str) -> pa.RecordBatch:
        """Histograms over one run, for the questions about its source."""
        batch, source = _read(uri, {name for _, _, name, _ in self.questions})
        mine = [question for question in self.questions if question[1] == source]
        tokens = batch["num_tokens"].to_numpy().astype(np.int64)
        parts = []
        for key, _, name, digits in mine:
            words = rank_words(batch[name], batch["place"].to_numpy())
            at_boundary = matches(words, digits)
            parts.append(count_by_bin(key, digit_of(words, len(digits))[at_boundary], tokens[at_boundary]))
        return self.merge(parts)


@dataclass(frozen=True)
class PlaceCounter(Summing):
    """Tokens of the streams by place; key `phase<TAB>source`, bin the upper 16 bits of the place."""

    phases: Sequence[PhaseView]

    def count(self, uri: str) -> pa.RecordBatch:
        """Histograms over one run, for every phase."""
        batch, source = _read(uri, set().union(*(phase.columns for phase in self.phases)))
        bins = (batch["place"].to_numpy() >> np.uint64(PLACE_BITS)).astype(np.int64)
        tokens = batch["num_tokens"].to_numpy().astype(np.int64)
        parts = []
        for phase in self.phases:
            chosen = phase.selected(batch, source)
            streams = tokens + phase.specials + phase.prefix_lengths(batch, source)
            parts.append(count_by_bin(f"{phase.name}\t{source}", bins[chosen], streams[chosen]))
        return self.merge(parts)


@dataclass(frozen=True)
class SampleCounter:
    """Documents of a sample, one row each: source, place, num_tokens, and for phase i `prefix_i` and `selected_i`.

    Attributes:
        threshold: the share of the sample times 2^32.
    """

    phases: Sequence[PhaseView]
    threshold: int

    @property
    def schema(self) -> pa.Schema:
        """The columns of the sample."""
        fields = [("source", pa.string()), ("place", pa.uint64()), ("num_tokens", pa.int64())]
        for number in range(len(self.phases)):
            fields += [(f"prefix_{number}", pa.int64()), (f"selected_{number}", pa.bool_())]
        return pa.schema(fields)

    def count(self, uri: str) -> pa.RecordBatch:
        """The sample of one run."""
        batch, source = _read(uri, set().union(*(phase.columns for phase in self.phases)))
        batch = batch.filter(pa.array(in_sample(batch["place"].to_numpy(), self.threshold)))
        columns = [
            pa.array([source] * batch.num_rows, pa.string()),
            batch["place"],
            batch["num_tokens"].cast(pa.int64()),
        ]
        for phase in self.phases:
            columns += [pa.array(phase.prefix_lengths(batch, source)), pa.array(phase.selected(batch, source))]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        """All rows, by source and place (equal ones are alike in what the plan asks of them)."""
        table = pa.Table.from_batches(batches, self.schema)
        return one_batch(table.sort_by([("source", "ascending"), ("place", "ascending"), ("num_tokens", "ascending")]))


@dataclass(frozen=True)
class DrawCounter(Summing):
    """What the plan draws and leaves.

    Keys: `draw<TAB>phase<TAB>source<TAB>epoch`, `used<TAB>source`, `unused<TAB>source<TAB>reason`; bin 0.

    Attributes:
        intervals: phase -> source -> (epoch, first place, last place).
    """

    phases: Sequence[PhaseView]
    intervals: dict[str, dict[str, list[tuple[int, int, int]]]] = field(default_factory=dict)

    def count(self, uri: str) -> pa.RecordBatch:
        """Counts over one run."""
        batch, source = _read(uri, set().union(*(phase.score_columns for phase in self.phases)))
        tokens = batch["num_tokens"].to_numpy().astype(np.int64)
        place = batch["place"].to_numpy()
        used, selected = np.zeros(len(tokens), bool), np.zeros(len(tokens), bool)
        parts = []
        for phase in self.phases:
            chosen = phase.selected(batch, source)
            selected |= chosen
            for epoch, low, high in self.intervals.get(phase.name, {}).get(source, []):
                drawn = chosen & (place >= np.uint64(low)) & (place <= np.uint64(high))
                used |= drawn
                parts.append(_count(f"draw\t{phase.name}\t{source}\t{epoch}", drawn, tokens))
        is_mixed = any(source in phase.predicates for phase in self.phases)
        reason = UnusedReason.SELECTION if is_mixed else UnusedReason.MIXTURE
        parts.append(_count(f"used\t{source}", used, tokens))
        parts.append(_count(f"unused\t{source}\t{reason.value}", ~selected, tokens))
        parts.append(_count(f"unused\t{source}\t{UnusedReason.BUDGET.value}", selected & ~used, tokens))
        return self.merge(parts)


def _count(key: str, chosen: np.ndarray, tokens: np.ndarray) -> pa.RecordBatch:
    some = tokens[chosen]
    return count_by_bin(key, np.zeros(len(some), np.int64), some)
