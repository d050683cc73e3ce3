"""What the plan needs to know of the token store; each class is one scan (see `byline.transforms.scans.counting`).

```
ShuffleKeyCounter  tokens of the framed documents that each stage would make, by shuffle key
SampleCounter      shuffle key, tokens, prefix lengths and keys of a share of the documents, one row each
```

What the finished plan draws, `byline.transforms.scans.draws` counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import PlainSerializer, PlainValidator

from byline.schemas.corpora import Tokenizer
from byline.schemas.planned_stage import FieldValues
from byline.schemas.recipe import Condition
from byline.transforms.documents.shuffle_keys import in_sample, shuffle_key_bins
from byline.transforms.fields.conditioning import make_prefixes, store_columns
from byline.transforms.fields.cuts import Cut, cut_columns, stratum_rows
from byline.transforms.fields.ranking import Number, number_keys
from byline.transforms.fields.selecting import holds, predicate_columns
from byline.transforms.scans.counting import Summing, count_by_value, one_batch
from byline.transforms.scans.shared_predicates import SharedPredicate
from byline.transforms.store.attribute_columns import StoredRun
from byline.transforms.store.run_reading import open_run
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


def _read_tokenizer(value: Tokenizer | Mapping[str, Any]) -> Tokenizer:
    return value if isinstance(value, Tokenizer) else Tokenizer.from_json(value)


# With what the rest of the recipe says of it: which tokens no text becomes, and where its comparison is kept.
ScannedTokenizer = Annotated[Tokenizer, PlainSerializer(Tokenizer.to_json), PlainValidator(_read_tokenizer)]


@dataclass(frozen=True)
class StageView:
    """What a scan must know of a stage: which documents it selects, and how long they are when framed.

    Attributes:
        name: of the stage.
        number: of the stage in `Config.stages`.
        predicates: source name -> the plan's predicates; sources that the stage never draws from are absent.
        condition: of the stage.
        values: what the condition's `top` and `bins` came to.
        specials: BOS and EOS tokens of a framed document.
        length: L.
        tokenizer: for the prefixes.
        order: None where the stage is shuffled.
    """

    name: str
    number: int
    predicates: dict[str, list[SharedPredicate]]
    condition: Condition | None
    values: FieldValues
    specials: int
    length: int
    tokenizer: ScannedTokenizer
    order: Number | None = None

    @property
    def predicate_columns(self) -> set[str]:
        """Store columns that its predicates need, of any source."""
        return {name for predicates in self.predicates.values() for name in predicate_columns(predicates)}

    @property
    def columns(self) -> set[str]:
        """Store columns that it needs, of any source."""
        ordered = {self.order.field} if self.order else set()
        return self.predicate_columns | store_columns(self.condition) | ordered

    def selected(self, batch: pa.RecordBatch, source: str) -> np.ndarray:
        """bool [rows]: the documents that the stage may take."""
        if source not in self.predicates:
            return np.zeros(batch.num_rows, bool)
        return holds(self.predicates[source], batch, source)

    def prefix_lengths(self, batch: pa.RecordBatch, source: str) -> np.ndarray:
        """int64 [rows]: tokens of each prefix, dropout not considered; 0 for a source that the stage never takes."""
        if source not in self.predicates:
            return np.zeros(batch.num_rows, np.int64)
        tokenizer = shared_tokenizer(self.tokenizer)
        return make_prefixes(batch, source, self.condition, self.values, None, tokenizer, self.length).lengths

    def order_keys(self, batch: pa.RecordBatch, source: str) -> np.ndarray:
        """uint64 [rows]: keys of the stage's order; 0 where it has none."""
        if self.order is None or source not in self.predicates:
            return np.zeros(batch.num_rows, np.uint64)
        return number_keys(batch[self.order.field], self.order.kind, descending=self.order.descending)[0]


@dataclass(frozen=True)
class StratumView:
    """How the scans tell documents apart.

    Attributes:
        cuts: of the recipe; none where all its mixtures are between sources.
        drawn: number of a stage, but for the holdout -> the strata that its mixture has a weight for; None for all.
    """

    cuts: list[Cut] = field(default_factory=list)
    drawn: dict[int, list[str]] | None = None

    def has_weight(self, stage: int, stratum: str) -> bool:
        """Whether a stage's mixture has a weight for a stratum of a source that it may draw from."""
        return self.drawn is None or stratum in self.drawn.get(stage, ())


# Where no mixture cuts sources.
UNCUT = StratumView()


def read_columns(run: str | StoredRun, columns: set[str]) -> tuple[pa.RecordBatch, str]:
    """The named columns of a run, those of them that it has, and its source."""
    opened = open_run(run, sorted({"shuffle_key", "num_tokens", *columns}))
    return opened.whole(), opened.source


@dataclass(frozen=True)
class ShuffleKeyCounter(Summing):
    """Framed tokens by the number of the stage, stratum, and bin: the upper 16 bits of the shuffle key."""

    keys: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("stage", pa.int32(), nullable=False),
            pa.field("stratum", pa.string(), nullable=False),
            pa.field("bin", pa.int64(), nullable=False),
        ]
    )

    stages: Sequence[StageView]
    strata: StratumView = UNCUT

    def count(self, run: str | StoredRun) -> pa.RecordBatch:
        """Histograms over one run, for every stage."""
        columns = cut_columns(self.strata.cuts).union(*(stage.columns for stage in self.stages))
        batch, source = read_columns(run, columns)
        bins = shuffle_key_bins(batch["shuffle_key"].to_numpy())
        tokens = batch["num_tokens"].to_numpy().astype(np.int64)
        strata = stratum_rows(self.strata.cuts, batch, source)
        counts = []
        for stage in self.stages:
            selected = stage.selected(batch, source)
            framed = tokens + stage.specials + stage.prefix_lengths(batch, source)
            for stratum, rows in strata:
                chosen = rows[selected[rows]]
                distinct, documents, sums = count_by_value(bins[chosen], framed[chosen])
                counts.append(self.batch(documents, sums, stage=stage.number, stratum=stratum, bin=distinct))
        return self.merge(counts)


@dataclass(frozen=True)
class SampleCounter:
    """Documents of a sample, one row each: stratum, shuffle key, num_tokens, and for stage i `prefix_i`, `selected_i`,
    `key_i`.

    Attributes:
        threshold: the share of the sample times 2^32.
    """

    stages: Sequence[StageView]
    threshold: int
    strata: StratumView = UNCUT

    @property
    def schema(self) -> pa.Schema:
        """The columns of the sample."""
        fields = [("stratum", pa.string()), ("shuffle_key", pa.uint64()), ("num_tokens", pa.int64())]
        for number in range(len(self.stages)):
            fields += [(f"prefix_{number}", pa.int64()), (f"selected_{number}", pa.bool_())]
            fields += [(f"key_{number}", pa.uint64())] if self.stages[number].order else []
        return pa.schema(fields)

    def count(self, run: str | StoredRun) -> pa.RecordBatch:
        """The sample of one run."""
        needed = cut_columns(self.strata.cuts).union(*(stage.columns for stage in self.stages))
        batch, source = read_columns(run, needed)
        batch = batch.filter(pa.array(in_sample(batch["shuffle_key"].to_numpy(), self.threshold)))
        columns = [
            _stratum_names(self.strata, batch, source),
            batch["shuffle_key"],
            batch["num_tokens"].cast(pa.int64()),
        ]
        for stage in self.stages:
            columns += [pa.array(stage.prefix_lengths(batch, source)), pa.array(stage.selected(batch, source))]
            columns += [pa.array(stage.order_keys(batch, source))] if stage.order else []
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def merge(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        """All rows, by stratum and shuffle key (equal ones are alike in what the plan asks of them)."""
        table = pa.Table.from_batches(batches, self.schema)
        return one_batch(
            table.sort_by([("stratum", "ascending"), ("shuffle_key", "ascending"), ("num_tokens", "ascending")])
        )


def _stratum_names(strata: StratumView, batch: pa.RecordBatch, source: str) -> pa.Array:
    """string [rows]: the stratum of each document."""
    named = stratum_rows(strata.cuts, batch, source)
    codes = np.zeros(batch.num_rows, np.int64)
    for number, (_, rows) in enumerate(named):
        codes[rows] = number
    return pa.array([name for name, _ in named], pa.string()).take(pa.array(codes))
