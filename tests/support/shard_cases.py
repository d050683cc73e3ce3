"""Shards to make, drawn by hypothesis: runs of several sources, ranges of them, a condition; written to a disk.

```
files     a 0.jsonl   b 1.jsonl   a 2.jsonl                 seven documents each at most
ranges    a, epoch 0, documents 1-3 by shuffle key   ...    rows of the plan of one shard
```
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from byline.schemas.config import Config
from byline.schemas.plan import PLAN_SCHEMA, Plan
from byline.schemas.planned_stage import FieldValues
from byline.schemas.predicates import Predicate, RankRange, ValueList
from byline.transforms.packing import POLICIES
from byline.transforms.shards.assembling import AssembleJob, PackedShard, pack_shard, planned_phases
from byline.transforms.shards.gathering import RunIndex
from byline.transforms.shards.records import ShardMaker
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info
from tests.reference import assembly
from tests.support import small
from tests.support.planned import numbered, plan_of, stage_of
from tests.support.small import StoredRow

CIRCLE_END = 2**64 - 1
TEMPLATES = ("URL: {host}\n\n", "{host}", "{license}", "{license}{host}|", "{source}: ", "", "{ratio}", "{year}{ratio}")
UNKNOWNS = ("unknown", "?", "")
HOSTS = (None, "", "a.org", "en.example.org", "x1y2z3" * 8)
# Numbers that bins of an order are cut by: name, type.
NUMBERS = (("quality", "float32"), ("ratio", "float"), ("year", "int"), ("num_tokens", "int"))
# What a formatter weighs ranges of tokens.
FACTORS = (0.1, 0.3, 2, 3)
# Predicates that rows of several bins share.
COMMON: tuple[Predicate, ...] = (
    ValueList("host", ("", "a.org"), is_allowed=False),
    ValueList("host", ("a.org", "en.example.org"), is_allowed=True),
    ValueList("topic", ("spam",), is_allowed=False),
    ValueList("source", ("a",), is_allowed=True),
    RankRange("year", "int", descending=False, first=(2**63, 0, 0)),
)


@dataclass(frozen=True)
class Case:
    """One shard to make.

    Attributes:
        values: what `top` and `bins` of the condition came to.
        files: (source, path, rows); the position is the file's number.
        ranges: (source, epoch, numbers by shuffle key of the documents that the range begins and ends with).
        open_low, open_high: whether ranges begin behind the one and end before the other.
        slices: of the ranges, in turn.
        common: source -> numbers in `COMMON` of what every row of it asks.
        bins: source -> (number and type, descending, number by rank of the first document of the second bin); absent
            where the source is not cut into bins.
        weights: of the loss; None for none.
        weight_type: of these.
    """

    length: int
    packing: str
    condition: dict[str, Any] | None
    values: dict[str, Any]
    specials: dict[str, str]
    seed: int
    ids: str
    files: list[tuple[str, str, list[StoredRow]]]
    ranges: list[tuple[str, int, int, int]]
    open_low: bool
    open_high: bool
    slices: list[int]
    common: dict[str, list[int]]
    bins: dict[str, tuple[tuple[str, str], bool, int]]
    weights: dict[str, Any] | None
    weight_type: str


@st.composite
def stored_rows(draw: st.DrawFn, length: int, least: int, has_spans: bool, has_weights: bool) -> list[StoredRow]:
    rows = []
    for row in sorted(draw(st.sets(st.integers(0, 40), min_size=least, max_size=7))):
        size, start = draw(st.integers(1, 5 * length)), draw(st.integers(0, small.VOCABULARY - 11))
        borders = sorted(draw(st.sets(st.integers(0, size), max_size=6)))
        # Apart from the masked ranges and across them, as attributes may mask what a formatter weighs.
        weighed = draw(st.just(borders) | st.sets(st.integers(0, size), max_size=6).map(sorted))
        ranges = zip(weighed[has_spans::2], weighed[has_spans + 1 :: 2], strict=False)
        rows.append(
            StoredRow(
                row,
                [(start + 7 * at) % (small.VOCABULARY - 10) for at in range(size)],
                host=draw(st.sampled_from(HOSTS)),
                license=draw(st.sampled_from((None, "", "cc"))),
                quality=draw(st.sampled_from((None, float("nan"), -1.5, -0.0, 0.0, 0.25, 0.5))),
                year=draw(st.sampled_from((None, -(2**63), -1, 0, 2**53 + 1, 2**63 - 1))),
                ratio=draw(st.sampled_from((None, -1e300, -0.0, 0.0, 0.1, 1e300))),
                topic=draw(st.sampled_from((None, "spam", "news"))),
                masked=list(zip(borders[::2], borders[1::2], strict=False)) if has_spans else None,
                weighed=[(*pair, draw(st.sampled_from(FACTORS))) for pair in ranges] if has_weights else None,
            )
        )
    return rows


@st.composite
def conditions(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A condition, and what its `top` and `bins` came to."""
    template = draw(st.sampled_from(TEMPLATES))
    markers = {key: f"<{key}>" for key in ("begin", "end") if draw(st.booleans())}
    condition: dict[str, Any] = {
        "template": template,
        "position": draw(st.sampled_from(("before", "after"))),
        "dropout": draw(st.sampled_from(("0", "0.25", "1/3"))),
        "unknown": draw(st.sampled_from(UNKNOWNS)),
        "empty": draw(st.sampled_from(("0", "0.5"))) if markers else "0",
        **markers,
    }
    values: dict[str, Any] = {"top": {}, "bins": {}}
    if "{host}" in template and draw(st.booleans()):
        condition["top"], values["top"] = {"host": 2}, {"host": ["a.org", "en.example.org"]}
    if "{ratio}" in template:
        condition["bins"], values["bins"] = {"ratio": 3}, {"ratio": draw(st.sampled_from(([], [0.0, 0.1], [0.1, 0.1])))}
    if "{year}" in template and draw(st.booleans()):
        condition["bins"], values["bins"] = condition["bins"] | {"year": 2}, values["bins"] | {"year": [2**53 + 1]}
    return condition, values


@st.composite
def loss_weights(draw: st.DrawFn, with_weights: set[str]) -> dict[str, Any]:
    constants = st.sampled_from((0.125, 0.1, 1, 3))
    numbers = st.sampled_from([name for name, _ in NUMBERS])
    by_number = st.fixed_dictionaries({"by": numbers, "most": constants, "unknown": st.sampled_from((0, 0.5))})
    weights = draw(st.dictionaries(st.sampled_from("ab"), constants | by_number))
    for source in sorted(with_weights & draw(st.sets(st.sampled_from("ab")))):
        weights[source] = ["formatter", weights[source]] if source in weights else "formatter"
    return weights


@st.composite
def cases(draw: st.DrawFn) -> Case:
    length = draw(st.integers(8, 64))
    condition, values = draw(conditions() | conditions() | st.just((None, {"top": {}, "bins": {}})))
    names = draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=4))
    with_spans, with_weights = (draw(st.sets(st.sampled_from("ab"))) for _ in range(2))
    files = [
        (
            source,
            f"{number}.jsonl",
            draw(stored_rows(length, int(number == 0), source in with_spans, source in with_weights)),
        )
        for number, source in enumerate(names)
    ]
    ranges, common, bins = [], {}, {}
    for source in sorted(set(names)):
        count = sum(len(rows) for name, _, rows in files if name == source)
        for epoch in draw(st.sets(st.integers(0, 3), min_size=1, max_size=2)):
            cuts = sorted(draw(st.sets(st.integers(0, max(count - 1, 0)), min_size=1, max_size=4)))
            ranges += [(source, epoch, low, high) for low, high in zip(cuts[::2], cuts[1::2], strict=False)]
            ranges += [(source, epoch, cuts[-1], cuts[-1])] if len(cuts) % 2 else []
        common[source] = sorted(draw(st.sets(st.integers(0, len(COMMON) - 1), max_size=1)))
        if count and draw(st.booleans()):
            bins[source] = (draw(st.sampled_from(NUMBERS)), draw(st.booleans()), draw(st.integers(0, count - 1)))
    return Case(
        length=length,
        packing=draw(st.sampled_from(list(POLICIES))),
        condition=condition,
        values=values,
        specials={key: small.BOS for key in ("bos", "eos") if draw(st.booleans())},
        seed=draw(st.sampled_from((0, 1, 2**32 - 1))),
        ids=draw(st.sampled_from(("int32", "uint16"))),
        files=files,
        ranges=ranges,
        open_low=draw(st.booleans()),
        open_high=draw(st.booleans()),
        slices=draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)),
        common=common,
        bins=bins,
        weights=draw(st.none() | loss_weights(with_weights)),
        weight_type=draw(st.sampled_from(("float16", "float32"))),
    )


@dataclass
class Made:
    """A case written to disk."""

    config: Config
    job: AssembleJob
    plan: Plan
    index: RunIndex
    documents: list[assembly.Document]

    @property
    def rows(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(self.plan.table.to_pylist(), schema=PLAN_SCHEMA)

    def pack(self) -> PackedShard:
        return pack_shard(self.rows, self.job, planned_phases(self.plan)["only"], self.index)


def make(case: Case, folder: Path) -> Made:
    """Writes the runs of a case into a new folder."""
    runs, documents = folder / f"runs-{len(list(folder.iterdir()))}", []
    index = []
    has_masks = any(row.masked is not None for _, _, rows in case.files for row in rows)
    weighing = {source for source, _, rows in case.files if any(row.weighed is not None for row in rows)}
    for number, (source, path, rows) in enumerate(case.files):
        has = {"has_masks": has_masks, "has_weights": source in weighing}
        uri, some = small.write_run_of(runs / source, source, path, number, rows, **has)
        index.append((source, number, uri))
        documents += some
    config = small.small_config(
        folder,
        seed=case.seed,
        tokenizer={
            "file": str(folder / "tokenizer.json"),
            "pad": small.PAD,
            "add": ["<begin>", "<end>"],
            **case.specials,
        },
        sequence={"length": case.length},
        shard={"ids": case.ids, "loss_weight": case.weight_type},
        loss_weight=case.weights,
        phases=[{"name": "only", "share": 1, "condition": case.condition, "packing": case.packing}],
    )
    info = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    rows, predicates = _plan_rows(case, documents)
    (phase,) = config.phases
    stage = stage_of(
        "only",
        condition=phase.condition,
        values=FieldValues(**case.values),
        packing=case.packing,
        loss_weight=config.weights_of(phase),
    )
    plan = plan_of(stage, rows=rows, tokenizer=info, **numbered(predicates))
    return Made(config, AssembleJob.of(config, info, ShardMaker("", "")), plan, RunIndex.of(index), documents)


def _plan_rows(case: Case, documents: list[assembly.Document]) -> tuple[list[tuple[Any, ...]], list[Any]]:
    """Rows of the plan, and its predicates.

    Ranges begin and end at a document's shuffle key or one beside it, the last of a source at the circle's end. Of a
    source in two bins, the second takes the whole circle, so that its ranges and those of the first bin overlap.
    """
    rows: list[tuple[Any, ...]] = []
    predicates: list[list[Predicate]] = []
    whole: dict[tuple[str, int], int] = {}
    for number, (source, epoch, low, high) in enumerate(case.ranges):
        mine = [document for document in documents if document.source == source]
        shuffle_keys = sorted(document.shuffle_key for document in mine)
        if not shuffle_keys:
            continue
        slice_ = case.slices[number % len(case.slices)]
        first = shuffle_keys[low] + case.open_low
        last = CIRCLE_END if high == len(shuffle_keys) - 1 else shuffle_keys[high] - case.open_high
        bins = _bins(case, source, mine)
        rows.append(("only", 0, slice_, source, epoch, first, last, _number(predicates, bins[0])))
        if len(bins) > 1 and whole.setdefault((source, epoch), number) == number:
            rows.append(("only", 0, slice_ + 1, source, epoch, 0, CIRCLE_END, _number(predicates, bins[1])))
    return rows, predicates


def _number(predicates: list[list[Predicate]], entry: list[Predicate]) -> int:
    if entry not in predicates:
        predicates.append(entry)
    return predicates.index(entry)


def _bins(case: Case, source: str, documents: list[assembly.Document]) -> list[list[Predicate]]:
    """The predicates of each bin of a source; one entry where it has no bins."""
    common = [COMMON[number] for number in case.common[source]]
    if source not in case.bins:
        return [common]
    (field, kind), descending, border = case.bins[source]
    ranks = sorted(filter(None, (small.rank(document, field, kind, descending) for document in documents)))
    rank = ranks[min(border, len(ranks) - 1)] if ranks else (0, 0, 0)
    first, second = (RankRange(field, kind, descending, *borders) for borders in ((None, rank), (rank, None)))
    return [[*common, first], [*common, second]]
