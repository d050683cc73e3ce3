"""Shards to make, drawn by hypothesis: runs of several sources, ranges of them, a condition; written to a disk.

```
files     a 0.jsonl   b 1.jsonl   a 2.jsonl                 seven documents each at most
ranges    a, epoch 0, documents 1-3 by shuffle key   ...    rows of the plan of one shard
```
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from byline.schemas.config import Config
from byline.schemas.plan import PLAN_SCHEMA, Plan
from byline.schemas.planned_stage import FieldValues
from byline.schemas.predicates import Predicate, RankRange, ValueList
from byline.transforms.fields.placeholders import replaced_ids
from byline.transforms.packing import POLICIES
from byline.transforms.shards.assembling import AssembleJob, PackedShard, pack_shard, planned_phases
from byline.transforms.shards.records import ShardMaker
from byline.transforms.shards.run_index import RunIndex
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info
from tests.reference import assembly
from tests.reference.layout import pairs_of
from tests.reference.replacing import with_placeholders
from tests.support import slow_shards, small
from tests.support.attribute_files import align_ranges, folder_of, write_ranges
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
ATTRIBUTES = ("quotes", "secrets", "toxic")
PLACEHOLDERS = ("<hidden>", "<quote>")
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
        spans: source -> attribute -> ranges of tokens of each file's rows: start, end, ...; None for none.
        replace: attribute -> its placeholder.
        mask: attributes.
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
    spans: dict[str, dict[str, dict[tuple[str, int], list[int] | None]]]
    replace: dict[str, str]
    mask: list[str]


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
def spans_of(draw: st.DrawFn, files: list[tuple[str, str, list[StoredRow]]]) -> dict[str, Any]:
    """Ranges of the attributes that a source has: none, the whole document, or some of any length."""
    spans: dict[str, Any] = {}
    for source in sorted({name for name, _, _ in files}):
        for attribute in sorted(draw(st.sets(st.sampled_from(ATTRIBUTES)))):
            of_rows = spans.setdefault(source, {}).setdefault(attribute, {})
            for path, row in ((path, row) for name, path, rows in files for row in rows if name == source):
                size = len(row.tokens)
                borders = sorted(draw(st.sets(st.integers(0, size), max_size=8)))
                some = st.just(borders[: len(borders) // 2 * 2])
                of_rows[path, row.row] = draw(some | some | st.none() | st.just([0, size]))
    return spans


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
    spans = draw(st.just({}) | spans_of(files))
    known = sorted({attribute for own in spans.values() for attribute in own})
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
        spans=spans,
        replace={name: draw(st.sampled_from(PLACEHOLDERS)) for name in known if draw(st.booleans())},
        mask=[name for name in known if draw(st.booleans())],
    )


@dataclass
class Made:
    """A case written to disk.

    Attributes:
        config, job, plan, index: of the case.
        documents: as its only phase has them, with placeholders and masked.
        values: uri of a run -> that of its ranges, where its source has any.
    """

    config: Config
    job: AssembleJob
    plan: Plan
    index: RunIndex
    documents: list[assembly.Document]
    values: dict[str, str]

    @property
    def rows(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(self.plan.table.to_pylist(), schema=PLAN_SCHEMA)

    def pack(self) -> PackedShard:
        return pack_shard(self.rows, self.job, planned_phases(self.plan)["only"], self.index)


def make(case: Case, folder: Path) -> Made:
    """Writes the runs of a case into a new folder."""
    runs = folder / f"runs-{len(list(folder.iterdir()))}"
    stored: list[tuple[assembly.Document, dict[str, list[int] | None]]] = []
    index, values = [], {}
    has_masks = any(row.masked is not None for _, _, rows in case.files for row in rows)
    weighing = {source for source, _, rows in case.files if any(row.weighed is not None for row in rows)}
    for number, (source, path, rows) in enumerate(case.files):
        has = {"has_masks": has_masks, "has_weights": source in weighing}
        uri, some = small.write_run_of(runs / source, source, path, number, rows, **has)
        index.append((source, number, uri))
        stored += [(document, _ranges_of(case, source, path, document)) for document in some]
        if source in case.spans:
            values[uri] = str(runs / f"{number}-values.arrow")
            of_rows = {document.doc_id & (2**32 - 1): _ranges_of(case, source, path, document) for document in some}
            write_ranges(values[uri], of_rows)
            align_ranges(uri, columns_of(case, source), [values[uri]])
    config = small.small_config(
        folder,
        seed=case.seed,
        tokenizer={
            "file": str(folder / "tokenizer.json"),
            "pad": small.PAD,
            "add": ["<begin>", "<end>", *PLACEHOLDERS],
            **case.specials,
        },
        sequence={"length": case.length},
        shard={"ids": case.ids, "loss_weight": case.weight_type},
        loss_weight=case.weights,
        attributes={
            name: {"kind": "spans", "path": "none.jsonl", "by": "row", "sources": sources}
            for name in ATTRIBUTES
            if (sources := [source for source in case.spans if name in case.spans[source]])
        },
        replace=case.replace,
        phases=[
            {
                "name": "only",
                "share": 1,
                "condition": case.condition,
                "packing": case.packing,
                "mask": case.mask,
            }
        ],
    )
    replaced = replaced_ids(config, shared_tokenizer(config.tokenizer))
    documents = [_as_trained(case, document, ranges, replaced) for document, ranges in stored]
    info = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    rows, predicates = _plan_rows(case, documents)
    (phase,) = config.phases
    stage = stage_of(
        "only",
        condition=phase.condition,
        values=FieldValues(**case.values),
        packing=case.packing,
        loss_weight=config.weights_of(phase),
        mask={source: columns for source in case.spans if (columns := config.masking_columns(phase, source))},
    )
    attributes = {source: {column: folder_of(column) for column in columns_of(case, source)} for source in case.spans}
    settings = {**numbered(predicates), "attributes": attributes, "replace": replaced}
    plan = plan_of(stage, rows=rows, tokenizer=info, **settings)
    job = AssembleJob.of(config, info, ShardMaker("", ""))
    return Made(config, job, plan, RunIndex.of(index), documents, values)


def columns_of(case: Case, source: str) -> list[str]:
    """The columns of ranges of a source, sorted."""
    return [f"{attribute}_ranges" for attribute in sorted(case.spans.get(source, {}))]


def _ranges_of(case: Case, source: str, path: str, document: assembly.Document) -> dict[str, list[int] | None]:
    """Column -> the ranges of a document of a file."""
    row = document.doc_id & (2**32 - 1)
    return {f"{name}_ranges": of_rows[path, row] for name, of_rows in sorted(case.spans.get(source, {}).items())}


def _as_trained(
    case: Case,
    document: assembly.Document,
    ranges: dict[str, list[int] | None],
    replaced: dict[str, dict[str, int]],
) -> assembly.Document:
    """A document with what its phase masks, and then what the recipe replaces."""
    pairs = {name: pairs_of(own) for name, own in ranges.items()}
    masked = [pair for name in case.mask for pair in pairs.get(f"{name}_ranges", [])]
    document = replace(document, masked=[*document.masked, *masked])
    ids = replaced.get(document.source, {})
    return with_placeholders(document, [(pairs[column], ids[column]) for column in sorted(ids)])


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
    ranks = sorted(filter(None, (slow_shards.rank(document, field, kind, descending) for document in documents)))
    rank = ranks[min(border, len(ranks) - 1)] if ranks else (0, 0, 0)
    first, second = (RankRange(field, kind, descending, *borders) for borders in ((None, rank), (rank, None)))
    return [[*common, first], [*common, second]]
