"""The plan of a recipe: scans over the token store's index columns, then arithmetic (`allotting`).

```
selection   as many scans as the boundaries need            -> predicates       (byline.transforms.scans.choosing)
strata      labels that mixtures are by, and their borders   -> strata           (byline.transforms.plans.strata)
values      commonest values, borders of bins                -> values           (byline.transforms.scans.value_counts)
lengths     SampleCounter                                    -> packing, simulated
keys        ShuffleKeyCounter, where the sample is not everything -> a stream for each stage and stratum
            Allotter                                         -> intervals, shards, slices
lists       ListCounter                                      -> warnings of values that no document has
drawn       DrawCounter                                      -> exact documents and tokens, used and unused
```
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.plan import PLAN_SCHEMA, Plan, PlanHeader
from byline.schemas.planned_stage import FieldValues
from byline.schemas.predicates import Predicate, PredicateNumbers, RankRange
from byline.schemas.recipe import Stage
from byline.schemas.store import RunInfo
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.transforms.documents.shuffle_keys import BINS, circle_offset, shuffle_key_bins
from byline.transforms.fields.placeholders import replaced_ids
from byline.transforms.fields.ranking import Number
from byline.transforms.packing import policy_of
from byline.transforms.plans.allotting import Allotment, Allotter
from byline.transforms.plans.intervals import Stream, shuffle_key_ranges
from byline.transforms.plans.plan_header import drawn_of, inputs_sha256, planned_stages
from byline.transforms.plans.simulating import Draw, Recipe, SourceSample, no_sample, split_sample
from byline.transforms.plans.strata import Strata, find_strata
from byline.transforms.scans.choosing import find_bin_borders, find_predicates
from byline.transforms.scans.counting import Scan
from byline.transforms.scans.draws import DrawCounter
from byline.transforms.scans.list_matches import find_unmatched
from byline.transforms.scans.measuring import SampleCounter, ShuffleKeyCounter, StageView, StratumView
from byline.transforms.scans.value_counts import find_top_values
from byline.transforms.store.attribute_columns import NO_ATTRIBUTES, AttributeFolders
from byline.transforms.tokens.text_tokenizer import shared_tokenizer

# With so many documents the plan packs a sample: its error is far below a document's length then, and it takes 100 MB.
SAMPLED_DOCUMENTS = 2_000_000


def make_plan(
    config: Config,
    tokenizer: TokenizerInfo,
    runs: list[RunInfo],
    scan: Scan,
    attributes: AttributeFolders = NO_ATTRIBUTES,
) -> Plan:
    """Plans a recipe.

    Args:
        config: the recipe.
        tokenizer: its tokenizer.
        runs: every run of every source.
        scan: runs a counter over all of them; where the recipe replaces ranges, it counts what is left.
        attributes: where the columns are that the recipe names of attributes.

    Raises:
        BylineError: the recipe asks for more than there is, or for nothing.
    """
    replaced = replaced_ids(config, shared_tokenizer(config.tokenizer))
    strata = find_strata(config, scan)
    views, cuts = _views(config, tokenizer, scan), strata.view(config)
    documents = sum(run.rows for run in runs)
    threshold = min(2**32, SAMPLED_DOCUMENTS * 2**32 // max(documents, 1))
    samples = split_sample(scan(SampleCounter(views, threshold, cuts)), len(views))
    samples.update({name: no_sample(len(views)) for name in strata.by_name if name not in samples})
    # A sample of every document has all that the other scan would find.
    tokens = _shuffle_key_tokens(views, samples) if threshold == 2**32 else _count_shuffle_keys(views, cuts, scan)
    streams = _streams(config, views, strata, tokens)
    recipes = [_recipe(config, tokenizer, view) for view in views]
    allotment = Allotter(config, streams, recipes, samples, Fraction(threshold, 2**32), strata).allot()
    intervals = [
        (
            stage.name,
            stage.number,
            {s: shuffle_key_ranges(streams[stage.number][s].offset, *p) for s, p in stage.points.items()},
        )
        for stage in allotment.stages
    ]
    drawn = scan(DrawCounter(views, intervals, cuts, {source: list(columns) for source, columns in replaced.items()}))
    conjunctions = _Conjunctions()
    table = _rows(allotment, views, strata, conjunctions)
    header = PlanHeader(
        seed=config.seed,
        sequence=config.sequence,
        shard=config.shard,
        tokenizer=tokenizer,
        predicates=conjunctions.predicates.predicates,
        conjunctions=[list(numbers) for numbers in conjunctions.numbers],
        stages=planned_stages(config, allotment.stages, views, streams, strata),
        intervals={name: ranges for name, _, ranges in intervals},
        drawn=drawn_of(drawn, strata, {stage.name: stage.number for stage in allotment.stages}),
        fingerprints={run.source: run.fingerprint for run in runs},
        inputs=inputs_sha256(runs),
        capacity=strata.by_source(allotment.capacity),
        notes=allotment.notes,
        warnings=[*strata.warnings, *find_unmatched(config, scan)],
        attributes={source: dict(columns) for source, columns in attributes.items()},
        replace=replaced,
    )
    return Plan(table, header)


def _views(config: Config, tokenizer: TokenizerInfo, scan: Scan) -> list[StageView]:
    """What the scans must know of each stage; the first scans find it out."""
    orders = [_order_number(config, stage) for stage in config.stages]
    predicates = {
        (number, source): [*selecting, *_has_number(orders[number])]
        for (number, source), selecting in find_predicates(config, scan).items()
    }
    borders = find_bin_borders(config, predicates, scan)
    views = []
    for number, stage in enumerate(config.stages):
        bins = {field: own for (owner, field), own in borders.items() if owner == number}
        views.append(
            StageView(
                name=stage.name,
                number=number,
                predicates={name: predicates[number, name] for name in config.sources_of(stage)},
                condition=stage.condition,
                values=FieldValues(top={}, bins=bins),
                specials=tokenizer.specials,
                length=config.sequence.length,
                tokenizer=config.tokenizer,
                order=orders[number],
            )
        )
    tops = find_top_values(views, scan)
    return [
        replace(view, values=FieldValues(top=top, bins=view.values.bins)) for view, top in zip(views, tops, strict=True)
    ]


def _has_number(order: Number | None) -> list[Predicate]:
    """An order by a number takes only documents that have it."""
    return [] if order is None else [RankRange(order.field, order.kind, order.descending)]


def _order_number(config: Config, stage: Stage) -> Number | None:
    number = stage.ordering.ranked_by
    if number is None:
        return None
    kind = config.numbers_of(config.sources_of(stage)[0])[number]
    return Number(number, kind, descending=stage.ordering.is_descending)


def _recipe(config: Config, tokenizer: TokenizerInfo, view: StageView) -> Recipe:
    return Recipe(
        number=view.number,
        condition=view.condition,
        seed=config.seed,
        bos=int(tokenizer.bos_id is not None),
        specials=tokenizer.specials,
        length=config.sequence.length,
        packing=policy_of(config.packing_of(config.stages[view.number])),
    )


# (number of a stage, stratum) -> int64 [65536], tokens of the framed documents by shuffle key.
_KeyTokens = dict[tuple[int, str], np.ndarray]


def _count_shuffle_keys(views: list[StageView], cuts: StratumView, scan: Scan) -> _KeyTokens:
    counts = scan(ShuffleKeyCounter(views, cuts))
    strata = counts["stratum"].dictionary_encode()
    stages, codes, bins, sums = (
        column.to_numpy() for column in (counts["stage"], strata.indices, counts["bin"], counts["tokens"])
    )
    tokens = {}
    for stage, code in np.unique(np.stack([stages, codes]), axis=1).T.tolist():
        rows = (stages == stage) & (codes == code)
        by_bin = tokens[stage, strata.dictionary[code].as_py()] = np.zeros(BINS, np.int64)
        by_bin[bins[rows]] = sums[rows]
    return tokens


def _shuffle_key_tokens(views: list[StageView], samples: dict[str, SourceSample]) -> _KeyTokens:
    """What `ShuffleKeyCounter` counts, from samples that hold every document."""
    tokens = {}
    for view in views:
        for stratum, sample in samples.items():
            chosen = sample.selected[view.number]
            if not chosen.any():
                continue
            bins = shuffle_key_bins(sample.shuffle_key[chosen])
            by_bin = tokens[view.number, stratum] = np.zeros(BINS, np.int64)
            np.add.at(by_bin, bins, (sample.tokens + sample.prefixes[view.number] + view.specials)[chosen])
    return tokens


def _streams(config: Config, views: list[StageView], strata: Strata, tokens: _KeyTokens) -> list[dict[str, Stream]]:
    """Of each stage, stratum -> its stream; takes what is in `tokens` out of it."""
    empty = np.zeros(BINS, np.int64)
    nothing, streams = Stream(0, empty, empty), []
    made: dict[str, list[tuple[np.ndarray, Stream]]] = {name: [] for name in strata.by_name}
    for view in views:
        of_stage = {}
        for name, stratum in strata.by_name.items():
            offset, counts = circle_offset(config.seed, stratum.source), tokens.pop((view.number, name), None)
            # Stages mostly see a stratum alike, or not at all: a stream takes a MB, and there may be many strata.
            alike = [stream for known, stream in made[name] if counts is not None and np.array_equal(known, counts)]
            if counts is None:
                of_stage[name] = replace(nothing, offset=offset)
            elif alike:
                of_stage[name] = alike[0]
            else:
                of_stage[name] = Stream.from_shuffle_keys(offset, counts)
                made[name].append((counts, of_stage[name]))
        streams.append(of_stage)
    return streams


class _Conjunctions:
    """Lists of predicates, each once, by number."""

    def __init__(self) -> None:
        self.predicates = PredicateNumbers()
        self.numbers: dict[tuple[int, ...], int] = {}

    def number(self, predicates: list[Predicate]) -> int:
        """The number of a list of predicates."""
        return self.numbers.setdefault(tuple(map(self.predicates.number, predicates)), len(self.numbers))


def _rows(allotment: Allotment, views: list[StageView], strata: Strata, conjunctions: _Conjunctions) -> pa.Table:
    rows = []
    for stage in allotment.stages:
        view = views[stage.number]
        for slice_, draws in zip(stage.slices, stage.draws, strict=True):
            in_slice = []
            for source, name in sorted((strata.by_name[name].source, name) for name in draws):
                predicates = [*strata.by_name[name].predicates, *view.predicates[source]]
                for draw in draws[name]:
                    number = conjunctions.number(_with_bin(predicates, view.order, draw))
                    in_slice += [(source, epoch, low, high, number) for epoch, low, high in draw.ranges]
            rows += [(stage.name, slice_.shard, slice_.number, *row) for row in sorted(in_slice)]
    _check_shards(allotment, {row[:2] for row in rows})
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(PLAN_SCHEMA)
    return pa.table(
        [pa.array(column, item.type) for column, item in zip(columns, PLAN_SCHEMA, strict=True)], PLAN_SCHEMA
    )


def _check_shards(allotment: Allotment, planned: set[tuple[str, int]]) -> None:
    for stage in allotment.stages:
        for shard in range(stage.shards):
            if (stage.name, shard) not in planned:
                kind = "phases" if stage.leave is None else "branches"
                raise BylineError(
                    f"{kind}: shard {shard} of the {stage.shards} of {stage.name} would get no document; raise "
                    f"`shard.sequences`, give the phases other shares, or ask for fewer `tokens`"
                )


def _with_bin(predicates: list[Predicate], order: Number | None, draw: Draw) -> list[Predicate]:
    """A stage's predicates, the last of which says that a document has the order's number, for one bin of the order."""
    if order is None or (draw.first is None and draw.below is None):
        return predicates
    bin_ = RankRange(order.field, order.kind, order.descending, draw.first, draw.below)
    return [*predicates[:-1], bin_]
