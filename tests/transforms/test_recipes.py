"""Random recipes over random corpora, planned and held against the slow planner; and what plans promise."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from byline.errors import BylineError
from schemas.config import Config
from schemas.plan import Plan, read_plan, rows_by_shard
from schemas.recipe import Packing, Part, Selection, Shortage
from tests import small
from tests.reference import assembly, placing, planner, selection
from tests.reference.planner import Drawn
from tests.small import SmallStore, StoredRow
from transforms import planning
from transforms.assembling import AssembleJob, planned_phases, shard_batches
from transforms.checking_places import check_ranges
from transforms.tokenizing import TokenizerInfo

NUMBERS = ("quality", "year", "ratio", "num_tokens")
HOSTS = ("a.org", "b.org", "c.example.org")
KEEP = {"license": "string", "year": "int", "ratio": "float"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recipes")
    small.tokenizer_file(made)
    return made


# ------------------------------------------------------------------------------------------------- corpora and recipes


@st.composite
def rows(draw: st.DrawFn, sources: int) -> list[StoredRow]:
    """Documents with many equal scores; every number but the sizes may be missing."""
    # A source may be of a single document.
    count = draw(st.integers(1, 20) | st.integers(20, 120 // sources))
    longest = draw(st.sampled_from([5, 20, 60]))
    missing = draw(st.sampled_from([0, 5]))
    seed = draw(st.integers(0, 2**32 - 1))

    def number(row: int, column: int) -> int:
        return placing.splitmix64(placing.splitmix64(seed) ^ (row << 8) ^ column)

    def one_of(row: int, column: int, values: Sequence[Any]) -> Any:
        """One of the values, and sometimes nothing; drawn by hypothesis, 100 documents would be most of an example."""
        chosen = number(row, column)
        return None if missing and chosen % missing == 0 else values[chosen // 8 % len(values)]

    return [
        StoredRow(
            row,
            [row] * (1 + number(row, 0) % longest),
            host=one_of(row, 1, HOSTS),
            quality=one_of(row, 2, [0.5, 0.5, 0.25, -0.0, 0.0, 0.9, number(row, 3) / 2**64]),
            year=one_of(row, 4, [2020, 2021, 2021, -(2**62), number(row, 5) % 9]),
            ratio=one_of(row, 6, [0.1, 0.1, 1e300, float("nan"), number(row, 7) / 2**64]),
        )
        for row in range(count)
    ]


@st.composite
def corpora(draw: st.DrawFn) -> dict[tuple[str, str], list[StoredRow]]:
    names = "abc"[: draw(st.sampled_from([2, 3]))]
    files = {(name, "x"): draw(rows(len(names))) for name in names}
    return {**files, ("a", "y"): draw(rows(len(names)))}


def shares(count: int) -> st.SearchStrategy[list[str]]:
    """Exact fractions above zero that sum to one."""
    return st.lists(st.integers(1, 6), min_size=count, max_size=count).map(
        lambda parts: [str(Fraction(part, sum(parts))) for part in parts]
    )


@st.composite
def weights(draw: st.DrawFn, names: Sequence[str]) -> dict[str, str]:
    parts = draw(st.lists(st.integers(0, 5), min_size=len(names), max_size=len(names)).filter(any))
    return {name: str(Fraction(part, sum(parts))) for name, part in zip(names, parts, strict=True)}


@st.composite
def mixtures(draw: st.DrawFn, names: Sequence[str]) -> dict[str, Any]:
    method = draw(
        st.sampled_from(
            ["natural", "natural", "weights", "temperature", "unimax", "epochs", "piecewise", "linear", "cosine"]
        )
    )
    found: dict[str, Any] = {"method": method}
    epochs = st.sampled_from(["0.5", "1", "1.5", "2", "3"])
    if method == "weights":
        found["weights"] = draw(weights(names))
    if method == "temperature":
        found["alpha"] = draw(st.sampled_from(["0", "0.3", "1"]))
    if method == "epochs":
        found["epochs"] = {name: draw(epochs) for name in names}
    if method in ("piecewise", "linear", "cosine"):
        between = sorted(draw(st.sets(st.fractions("1/10", "9/10", max_denominator=10), max_size=2)))
        places = [Fraction(0), *between, *([Fraction(1)] if method != "piecewise" else [])]
        found["points"] = [{"at": str(at), "weights": draw(weights(names))} for at in places]
    if method == "unimax" or (method != "epochs" and draw(st.integers(0, 3)) == 0):
        by_source = draw(st.booleans())
        found["max_epochs"] = {names[0]: draw(epochs)} if by_source else draw(epochs)
    return found


@st.composite
def steps(draw: st.DrawFn, names: Sequence[str]) -> dict[str, Any]:
    step: dict[str, Any] = {}
    kind = draw(st.sampled_from(["top", "bottom", "threshold", "allow", "deny"]))
    if kind in ("top", "bottom"):
        step[kind] = draw(st.sampled_from(["1", "0.9", "0.7", "1/2"]))
        step |= {
            "count": draw(st.sampled_from(["documents", "tokens"])),
            "over": draw(st.sampled_from(["each", "all"])),
        }
        step["by"] = draw(st.sampled_from(NUMBERS))
    elif kind == "threshold":
        bounds = {"quality": ("0", "0.9"), "year": ("0", "2021"), "ratio": ("0.05", "1"), "num_tokens": ("2", "40")}
        step["by"] = draw(st.sampled_from(NUMBERS))
        low, high = bounds[step["by"]]
        step |= draw(st.sampled_from([{"at_least": low}, {"at_most": high}, {"at_least": low, "at_most": high}]))
    elif kind == "allow":
        some = draw(st.lists(st.sampled_from(list(names)), min_size=1, unique=True))
        step["allow"] = draw(st.sampled_from([{"host": list(HOSTS[:2])}, {"source": some}]))
    else:
        step["deny"] = {"host": draw(st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2))}
    if draw(st.booleans()):
        step["sources"] = draw(st.lists(st.sampled_from(list(names)), min_size=1, unique=True))
    return step


CONDITIONS: list[dict[str, Any]] = [
    {"template": "{host}\n", "unknown": "?", "dropout": "0.25"},
    {"template": "{source}", "place": "after", "begin": small.PAD, "empty": "0.5"},
    {"template": "q{quality}y{year}", "unknown": "?", "bins": {"quality": 3, "year": [0, 2021]}},
    {"template": "{host}{ratio}", "unknown": "?", "top": {"host": 1}, "bins": {"ratio": 2}, "end": small.PAD},
]


def named_by(mixture: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The sources that a mixture draws from."""
    given_ = [mixture.get("weights"), mixture.get("epochs"), *(point["weights"] for point in mixture.get("points", ()))]
    some = [mapping for mapping in given_ if mapping]
    return [name for name in names if not some or any(Fraction(mapping[name]) > 0 for mapping in some)]


@st.composite
def parts(draw: st.DrawFn, names: Sequence[str], mixture: Mapping[str, Any]) -> dict[str, Any]:
    """What phases and branches share."""
    part: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        mixture = part["mixture"] = draw(mixtures(names))
    if draw(st.booleans()):
        part["select"] = draw(st.lists(steps(names), max_size=2))
    order = draw(st.sampled_from([None, None, "number", "number", "source"]))
    if order == "number":
        part["order"] = {
            "by": draw(st.sampled_from(NUMBERS)),
            "direction": draw(st.sampled_from(["ascending", "descending"])),
            "bins": draw(st.integers(2, 6)),
        }
    elif order == "source" and mixture["method"] not in ("piecewise", "linear", "cosine"):
        part["order"] = {"by": "source", "sources": draw(st.permutations(named_by(mixture, names)))}
    if draw(st.booleans()):
        part["condition"] = draw(st.sampled_from(CONDITIONS))
    if draw(st.booleans()):
        part["packing"] = draw(st.sampled_from(Packing)).value
    return part


@st.composite
def branches(draw: st.DrawFn, names: Sequence[str], mixture: Mapping[str, Any]) -> dict[str, Any]:
    points = st.sampled_from(["0.25", "0.5", "0.7", "0.75", "1"])
    return {
        **draw(parts(names, mixture)),
        "at": draw(st.lists(points, min_size=1, max_size=3, unique=True)),
        "share": draw(st.sampled_from(["0.05", "0.1", "0.3", "0.5"])),
    }


@st.composite
def recipes(draw: st.DrawFn, names: Sequence[str], tokens: int) -> dict[str, Any]:
    """A recipe for sources whose documents have so many tokens."""
    mixture = draw(mixtures(names))
    length = draw(st.sampled_from([16, 24, 32]))
    phases = draw(st.integers(1, 4))
    whole = st.sampled_from([Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2)])
    return {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "sequence": {"length": length, "packing": draw(st.sampled_from(Packing)).value},
        "shard": {"sequences": draw(st.sampled_from([3, 8, 40]))},
        "tokens": "all" if draw(st.integers(0, 2)) == 0 else max(int(tokens * draw(whole)), 2 * length),
        "mixture": mixture,
        "shortage": draw(st.sampled_from([kind.value for kind in Shortage])),
        "phases": [
            {**draw(parts(names, mixture)), "name": f"p{number}", "share": share}
            for number, share in enumerate(draw(shares(phases)))
        ],
        "branches": [
            {**draw(branches(names, mixture)), "name": f"b{number}"}
            for number in range(draw(st.sampled_from([0, 0, 1, 2])))
        ],
    }


def config_of(folder: Path, names: Iterable[str], recipe: Mapping[str, Any]) -> Config:
    source = {"format": "jsonl", "keep": KEEP, "score": {"quality": "quality"}}
    sources = {name: {**source, "path": f"{name}/*.jsonl"} for name in names}
    return small.small_config(folder, **{"sources": sources, **recipe})


# --------------------------------------------------------------------------------------------------- the slow planner


@dataclass(frozen=True)
class Made:
    """A plan, what it was made from, and what the slow planner makes of its decisions."""

    config: Config
    store: SmallStore
    plan: Plan

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        return self.plan.header["phases"]

    @property
    def main(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["branch"] is None]

    @cached_property
    def selected(self) -> list[dict[str, list[assembly.Document]]]:
        """For each part, source -> the documents that it may take."""
        return [self._selected(part) for part in self.config.parts]

    def _selected(self, part: Part) -> dict[str, list[assembly.Document]]:
        sources = self.config.sources_of(part)
        documents = [document for document in self.store.documents if document.source in sources]
        candidates = [
            selection.Candidate(one.source, one.place, len(one.tokens), one.numbers, one.fields) for one in documents
        ]
        found = selection.select(candidates, map(reference_step, part.select), self.config.numbers_of(sources[0]))
        chosen = [documents[index] for index in sorted(found)]
        if self.is_by_number(part):
            assert part.order is not None
            chosen = [one for one in chosen if selection.is_number(one.numbers[part.order.by])]
        return {source: [one for one in chosen if one.source == source] for source in sources}

    @staticmethod
    def is_by_number(part: Part) -> bool:
        return part.order is not None and part.order.by != "source"

    @cached_property
    def intervals(self) -> dict[tuple[str, str], Drawn]:
        """(part, source) -> what it draws, by the points of the header."""
        found = {}
        for entry in self.entries:
            for source, some in entry["sources"].items():
                start, end = map(int, some["points"])
                chosen = self.selected[entry["part"]][source]
                found[entry["name"], source] = Drawn(entry["name"], source, chosen, start, end)
        return found

    @cached_property
    def uses(self) -> dict[tuple[str, str], list[assembly.Document]]:
        """What each part draws of each source, by point of the line."""
        return {key: drawn.uses(self.config.seed) for key, drawn in self.intervals.items()}

    def uses_of(self, name: str) -> list[assembly.Document]:
        return [use for (part, _), uses in self.uses.items() if part == name for use in uses]

    @cached_property
    def drawn(self) -> dict[tuple[str, int], list[assembly.Document]]:
        """The documents of each shard by the plan's rows, as they stand in it."""
        found = small.drawn_by(self.plan, self.store.documents)
        return {
            shard: [
                use
                for number in sorted({use.slice for use in uses})
                for use in planner.in_order([[use for use in uses if use.slice == number]], self.config.seed)
                for use in [replace(use, slice=number)]
            ]
            for shard, uses in found.items()
        }

    @cached_property
    def shards(self) -> dict[tuple[str, int], assembly.Shard]:
        """Every shard, made by the reference from the plan's rows."""
        return small.reference_shards(self.plan, self.config, self.store.documents)

    def rows(self, name: str, source: str | None = None) -> list[dict[str, Any]]:
        """The plan's rows of a part, or of one source in it."""
        return [row for row in self.plan.table.to_pylist() if row["phase"] == name and source in (None, row["source"])]

    def slices(self, name: str) -> list[tuple[int, int]]:
        """(shard, slice) of a part, as far as they have documents."""
        return sorted(
            {(shard, use.slice) for (part, shard), uses in self.drawn.items() if part == name for use in uses}
        )

    def in_slice(self, name: str, slice_: tuple[int, int], source: str) -> list[assembly.Document]:
        shard, number = slice_
        return [use for use in self.drawn[name, shard] if use.slice == number and use.source == source]

    def bins(self, name: str, source: str) -> list[int]:
        """The bin of each slice: slices whose rows have other ranks are of another bin."""
        entry = next(entry for entry in self.entries if entry["name"] == name)
        found, last, number = [], None, 0
        for slice_ in self.slices(name):
            mine = [row for row in self.rows(name, source) if (row["shard"], row["slice"]) == slice_]
            if mine and self.is_by_number(self.config.parts[entry["part"]]):
                (ranks,) = {str(self.plan.predicates[row["predicates"]][-1]) for row in mine}
                number += last not in (None, ranks)
                last = ranks
            found.append(number)
        return found

    def slow_shards(self, name: str) -> dict[tuple[str, int], list[assembly.Document]]:
        """A part's documents as the slow planner puts them into slices of as many documents as the plan's."""
        entry = next(entry for entry in self.entries if entry["name"] == name)
        part, slices = self.config.parts[entry["part"]], self.slices(name)
        by_slice: dict[tuple[int, int], list[assembly.Document]] = {slice_: [] for slice_ in slices}
        for source in entry["sources"]:
            counts = [len(self.in_slice(name, slice_, source)) for slice_ in slices]
            uses = self.uses[name, source]
            if self.is_by_number(part):
                rank = ranker(self.config, part)
                found = planner.sliced_by_rank(uses, counts, self.bins(name, source), rank)
            else:
                found = planner.sliced(uses, counts)
            for slice_, some in zip(slices, found, strict=True):
                by_slice[slice_] += [replace(use, slice=slice_[1]) for use in some]
        shards: dict[tuple[str, int], list[assembly.Document]] = {(name, n): [] for n in range(entry["shards"])}
        for (shard, number), some in sorted(by_slice.items()):
            ordered = planner.in_order([some], self.config.seed)
            shards[name, shard] += [replace(use, slice=number) for use in ordered]
        return shards


def reference_step(step: Selection) -> selection.Step:
    return selection.Step(**{name: getattr(step, name) for name in Selection.model_fields})


def ranker(config: Config, part: Part) -> Any:
    """A document -> its rank in the part's order: the number, then the tie, then the place."""
    order = part.order
    assert order is not None
    sign = -1 if order.direction == "descending" else 1
    return lambda one: (sign * one.numbers[order.by], selection.tie(one.place), one.place)


# --------------------------------------------------------------------------------------------------------- properties


def check_rows(made: Made) -> None:
    """The plan's rows are in order, of places in the part's intervals, and tile these where the part is shuffled."""
    names = [entry["name"] for entry in made.entries]
    keys = [
        (names.index(row["phase"]), *(row[key] for key in ("shard", "slice", "source", "epoch", "place_lo")))
        for row in made.plan.table.to_pylist()
    ]
    assert keys == sorted(keys)
    for (name, source), drawn in made.intervals.items():
        ranges = made.plan.header["intervals"][name][source]
        assert sum(high - low + 1 for _, low, high in ranges) == drawn.end - drawn.start
        assert consecutive(drawn, ranges, made.config.seed)
        entry = next(entry for entry in made.entries if entry["name"] == name)
        rows = made.rows(name, source)
        taken = [(row["epoch"], row["place_lo"], row["place_hi"]) for row in rows]
        if not made.is_by_number(made.config.parts[entry["part"]]):
            assert consecutive(drawn, in_line(taken, source, made.config.seed), made.config.seed)
            continue
        by_bin: dict[str, list[tuple[int, int, int]]] = {}
        for row, range_ in zip(rows, taken, strict=True):
            ranks = made.plan.predicates[row["predicates"]][-1]
            # Several bins may be empty, and of the same ranks.
            if ranks["from"] is None or ranks["from"] != ranks["below"]:
                by_bin.setdefault(str(ranks), []).append(range_)
        for some in by_bin.values():
            assert consecutive(drawn, in_line(some, source, made.config.seed), made.config.seed)


def in_line(ranges: Iterable[tuple[int, int, int]], source: str, seed: int) -> list[tuple[int, int, int]]:
    offset = planner.offset(source, seed)
    return sorted(ranges, key=lambda one: (one[0], (one[1] - offset) % planner.CIRCLE))


def consecutive(drawn: Drawn, ranges: Sequence[Sequence[int]], seed: int) -> bool:
    """Whether ranges follow one another on the line from the interval's start to its end."""
    offset, point = planner.offset(drawn.source, seed), drawn.start
    for epoch, low, high in ranges:
        if low > high or epoch * planner.CIRCLE + (low - offset) % planner.CIRCLE != point:
            return False
        point += high - low + 1
    return point == drawn.end


def check_line(made: Made) -> None:
    """Each part begins where the main line was; no document is drawn twice within an epoch."""
    ends: dict[str, int] = {}
    for entry in made.main:
        for source in entry["sources"]:
            drawn = made.intervals[entry["name"], source]
            assert drawn.start == ends.get(source, 0) <= drawn.end
            ends[source] = drawn.end
    uses = [use for entry in made.main for use in made.uses_of(entry["name"])]
    assert len({(use.doc_id, use.epoch) for use in uses}) == len(uses)
    for (_, source), drawn in made.intervals.items():
        limit = epoch_limit(made, source)
        assert drawn.start <= drawn.end
        assert limit is None or drawn.end <= limit * planner.CIRCLE


def epoch_limit(made: Made, source: str) -> Fraction | None:
    """The most epochs that any part may reach on a source's line; None for no limit."""
    may_repeat = made.config.shortage is Shortage.REPEAT and made.config.tokens != "all"
    found = [Fraction(0)]
    for entry in made.entries:
        if source in entry["sources"]:
            limit = made.config.mixture_of(made.config.parts[entry["part"]]).epoch_limit(source)
            if limit is None and may_repeat:
                return None
            found.append(Fraction(1) if limit is None else limit)
    return max(found)


def check_targets(made: Made) -> None:
    """A part is to have its share of the tokens, from its sources in their weights."""
    whole = made.config.tokens
    if whole == "all" or made.config.shortage is Shortage.SHRINK:
        return
    length = made.config.sequence.length
    for entry, phase in zip(made.main, made.config.phases, strict=True):
        positions = round(phase.share * whole / length) * length
        targets = {source: found["target_positions"] for source, found in entry["sources"].items()}
        assert positions - len(targets) < sum(targets.values()) <= positions
        mixture = made.config.mixture_of(phase)
        if mixture.method == "weights" and mixture.max_epochs is None:
            assert targets == {source: int(positions * mixture.weights[source]) for source in targets}


def check_epochs(made: Made) -> None:
    """A part draws of an epoch what it selects behind its start, all of it before it draws of the next."""
    for (name, source), uses in made.uses.items():
        drawn = made.intervals[name, source]
        for use in uses:
            for epoch in range(drawn.start // planner.CIRCLE, use.epoch):
                points = {one.doc_id: planner.point_of(one, epoch, made.config.seed) for one in drawn.selected}
                due = {doc_id for doc_id, point in points.items() if point >= drawn.start}
                assert due <= {one.doc_id for one in uses if one.epoch == epoch}


def check_branches(made: Made) -> None:
    """A branch draws no document that the main line had drawn, within an epoch, when it left."""
    for entry in made.entries:
        if entry["branch"] is None:
            continue
        before: set[tuple[int, int]] = set()
        for phase in made.main:
            shards = entry["branch"]["shards"] if phase["name"] == entry["branch"]["phase"] else phase["shards"]
            for shard in range(shards):
                before |= {(use.doc_id, use.epoch) for use in made.drawn[phase["name"], shard]}
            if phase["name"] == entry["branch"]["phase"]:
                break
        mine = [(use.doc_id, use.epoch) for use in made.uses_of(entry["name"])]
        assert len(mine) == len(set(mine))
        assert before.isdisjoint(mine)


def check_documents(made: Made) -> None:
    """Who is drawn, how often, and in which order: as the slow planner says."""
    for entry in made.entries:
        for shard, uses in made.slow_shards(entry["name"]).items():
            assert [(use.doc_id, use.epoch, use.slice) for use in made.drawn[shard]] == [
                (use.doc_id, use.epoch, use.slice) for use in uses
            ]
    mixed: dict[str, set[int]] = {}
    for some in made.selected:
        for source, chosen in some.items():
            mixed.setdefault(source, set()).update(document.doc_id for document in chosen)
    found = made.plan.header["drawn"]
    expected = planner.drawn_counts(made.store.documents, [*made.intervals.values()], mixed, made.config.seed)
    assert found == expected
    for source in made.config.sources:
        counts = [found["used"].get(source), *found["unused"].get(source, {}).values()]
        whole = planner.count(document for document in made.store.documents if document.source == source)
        assert {key: sum(count[key] for count in counts if count) for key in whole} == whole


def check_sequence(made: Made) -> None:
    """One source after the other where the recipe says so."""
    for entry in made.entries:
        part = made.config.parts[entry["part"]]
        if part.order is None or part.order.by != "source":
            continue
        last = 0
        for slice_ in made.slices(entry["name"]):
            sources = [source for source in entry["sources"] if made.in_slice(entry["name"], slice_, source)]
            assert len(sources) == 1, (slice_, sources)
            assert part.order.sources.index(sources[0]) >= last
            last = part.order.sources.index(sources[0])


def check_expected(made: Made) -> None:
    """Rows and positions are those that the reference packs, where the plan has packed every document."""
    for entry in made.entries:
        mine = [shard for (name, _), shard in made.shards.items() if name == entry["name"]]
        assert len(mine) == entry["shards"]
        assert entry["expected_rows"] == sum(len(shard.rows) for shard in mine)
        for source, found in entry["sources"].items():
            assert found["expected_positions"] == sum(
                shard.counts[source]["positions"] for shard in mine if source in shard.counts
            )


def check_assembled(made: Made) -> None:
    """What is assembled from the plan is what the reference lays out and packs; the plan's own checks find nothing."""
    assert check_ranges(made.plan) == []
    tokenizer = TokenizerInfo(**made.plan.header["tokenizer"])
    job, phases = AssembleJob.of(made.config, tokenizer, made.plan.sha256, "1"), planned_phases(made.plan)
    for some in rows_by_shard(made.plan.table):
        name, shard = some["phase"][0].as_py(), some["shard"][0].as_py()
        batches = shard_batches(some, job, phases[name], made.store.index)
        assert [row for batch in batches for row in batch.to_pylist()] == made.shards[name, shard].rows


def check_whole(made: Made) -> None:
    """All tokens in a natural mixture are every selected document once."""
    phases = made.config.phases
    if made.config.tokens != "all" or made.config.mixture.method != "natural" or made.config.mixture.max_epochs:
        return
    if any(phase.mixture for phase in phases) or any(branch.mixture for branch in made.config.branches):
        return
    last = made.main[-1]
    for source in last["sources"]:
        assert made.intervals[last["name"], source].end == planner.CIRCLE, source


def check_text(made: Made, again: SmallStore | None) -> None:
    """A plan reads back, and is the same for runs in any order."""
    content = made.plan.to_bytes()
    back = read_plan(content, "plan.arrow")
    assert back.table.equals(made.plan.table)
    assert back.to_bytes() == content
    if again is not None:
        assert small.plan_of(made.config, again).to_bytes() == content


def check(made: Made, again: SmallStore | None = None, *, is_sampled: bool = False) -> None:
    check_text(made, again)
    check_rows(made)
    check_line(made)
    check_targets(made)
    check_epochs(made)
    check_branches(made)
    check_documents(made)
    check_sequence(made)
    check_whole(made)
    check_assembled(made)
    if not is_sampled:
        check_expected(made)


def test_the_slow_planner() -> None:
    """The drawing at the head of the slow planner, with a document's number as its rank."""
    start = planner.offset("x", 0)

    def document(number: int, step: int) -> assembly.Document:
        return assembly.Document("x", (start + step) % planner.CIRCLE, number, [7] * number)

    documents = [document(number, step) for step, number in enumerate((3, 1, 7, 2))]
    uses = Drawn("only", "x", documents, 1, planner.CIRCLE + 1).uses(0)
    assert [(use.doc_id, use.epoch) for use in uses] == [(1, 0), (7, 0), (2, 0), (3, 1)]
    shuffled = planner.sliced(uses, [2, 1, 1])
    assert [[use.doc_id for use in some] for some in shuffled] == [[1, 7], [2], [3]]
    ordered = planner.sliced_by_rank(uses, [2, 1, 1], [0, 1, 1], lambda use: (use.doc_id, 0, 0))
    assert [[use.doc_id for use in some] for some in ordered] == [[1, 2], [7], [3]]
    with pytest.raises(AssertionError):
        planner.sliced(uses, [2, 1])
    with pytest.raises(AssertionError):
        planner.sliced_by_rank([*uses, *uses], [1, 7], [0, 1], lambda use: (use.doc_id, 0, 0))
    counts = planner.drawn_counts(
        [*documents, document(9, 2**63)], [Drawn("only", "x", documents, 1, planner.CIRCLE + 1)], {"x": {1, 2, 3, 7}}, 0
    )
    assert counts == {
        "phases": {"only": {"x": {"0": {"documents": 3, "tokens": 10}, "1": {"documents": 1, "tokens": 3}}}},
        "used": {"x": {"documents": 4, "tokens": 13}},
        "unused": {"x": {"selection": {"documents": 1, "tokens": 9}}},
    }


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_recipe(folder: Path, data: st.DataObject) -> None:
    files = data.draw(corpora())
    names = sorted({source for source, _ in files})
    tokens = sum(len(row.tokens) + 2 for some in files.values() for row in some)
    recipe = data.draw(recipes(names, tokens))
    config = config_of(folder, names, recipe)
    with tempfile.TemporaryDirectory(dir=folder) as made_in, pytest.MonkeyPatch.context() as patch:
        is_sampled = data.draw(st.integers(0, 4)) == 0
        if is_sampled:
            patch.setattr(planning, "SAMPLED_DOCUMENTS", sum(map(len, files.values())) // 2)
        store = small.write_store(Path(made_in), files)
        try:
            plan = small.plan_of(config, store)
        except BylineError as error:
            problem = str(error)
        else:
            problem = ""
        event(problem.partition(":")[0].partition(".")[0] or "planned")
        if problem:
            assert "\n" not in problem
            return
        again = replace(store, runs=store.runs[::-1]) if data.draw(st.booleans()) else None
        check(Made(config, store, plan), again, is_sampled=is_sampled)
