"""Random recipes over random corpora, and the slow planner's results for the decisions of a plan.

```python
files = data.draw(corpora())                     # (source, path) -> its documents, of two or three sources
recipe = data.draw(recipes(names, tokens))       # a recipe for these sources, whose documents have `tokens` tokens
config = config_of(folder, names, recipe)
Made(config, store, plan).slow_shards("p0")      # the shards of phase p0 as the slow planner fills them
```
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from byline.schemas.config import Config
from byline.schemas.plan import Plan
from byline.schemas.planned_stage import PlannedStage, StageSource, StageStratum
from byline.schemas.predicates import Predicate
from byline.schemas.recipe import Selection, Shortage, Stage
from byline.transforms.packing import POLICIES
from tests.reference import assembly, hashing, planner, selection
from tests.reference.planner import Drawn
from tests.support import slow_shards, small
from tests.support.small import SmallStore, StoredRow

NUMBERS = ("quality", "year", "ratio", "num_tokens")
HOSTS = ("a.org", "b.org", "c.example.org")
KEEP = {"license": "string", "year": "int", "ratio": "float"}


# ------------------------------------------------------------------------------------------------- corpora and recipes


@st.composite
def rows(draw: st.DrawFn, sources: int) -> list[StoredRow]:
    """Documents with many equal scores; every number except the sizes may be missing."""
    # A source may have a single document.
    count = draw(st.integers(1, 20) | st.integers(20, 120 // sources))
    longest = draw(st.sampled_from([5, 20, 60]))
    missing = draw(st.sampled_from([0, 5]))
    seed = draw(st.integers(0, 2**32 - 1))

    def number(row: int, column: int) -> int:
        return hashing.splitmix64(hashing.splitmix64(seed) ^ (row << 8) ^ column)

    def one_of(row: int, column: int, values: Sequence[Any]) -> Any:
        """One of the values, or sometimes None. Not drawn by hypothesis: 100 documents would fill an example."""
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
    mixture: dict[str, Any] = {"method": method}
    epochs = st.sampled_from(["0.5", "1", "1.5", "2", "3"])
    if method == "weights":
        mixture["weights"] = draw(weights(names))
    if method == "temperature":
        mixture["alpha"] = draw(st.sampled_from(["0", "0.3", "1"]))
    if method == "epochs":
        mixture["epochs"] = {name: draw(epochs) for name in names}
    if method in ("piecewise", "linear", "cosine"):
        between = sorted(draw(st.sets(st.fractions("1/10", "9/10", max_denominator=10), max_size=2)))
        positions = [Fraction(0), *between, *([Fraction(1)] if method != "piecewise" else [])]
        mixture["points"] = [{"at": str(at), "weights": draw(weights(names))} for at in positions]
    if method == "unimax" or (method != "epochs" and draw(st.integers(0, 3)) == 0):
        by_source = draw(st.booleans())
        mixture["max_epochs"] = {names[0]: draw(epochs)} if by_source else draw(epochs)
    return mixture


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
        chosen = draw(st.lists(st.sampled_from(list(names)), min_size=1, unique=True))
        step["allow"] = draw(st.sampled_from([{"host": list(HOSTS[:2])}, {"source": chosen}]))
    else:
        step["deny"] = {"host": draw(st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2))}
    if draw(st.booleans()):
        step["sources"] = draw(st.lists(st.sampled_from(list(names)), min_size=1, unique=True))
    return step


CONDITIONS: list[dict[str, Any]] = [
    {"template": "{host}\n", "unknown": "?", "dropout": "0.25"},
    {"template": "{source}", "position": "after", "begin": small.PAD, "empty": "0.5"},
    {"template": "q{quality}y{year}", "unknown": "?", "bins": {"quality": 3, "year": [0, 2021]}},
    {"template": "{host}{ratio}", "unknown": "?", "top": {"host": 1}, "bins": {"ratio": 2}, "end": small.PAD},
]


def named_by(mixture: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The sources that a mixture draws from."""
    settings = [
        mixture.get("weights"),
        mixture.get("epochs"),
        *(point["weights"] for point in mixture.get("points", ())),
    ]
    shares_by_name = [mapping for mapping in settings if mapping]
    return [
        name for name in names if not shares_by_name or any(Fraction(mapping[name]) > 0 for mapping in shares_by_name)
    ]


@st.composite
def stages(draw: st.DrawFn, names: Sequence[str], mixture: Mapping[str, Any]) -> dict[str, Any]:
    """What phases and branches share."""
    stage: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        mixture = stage["mixture"] = draw(mixtures(names))
    if draw(st.booleans()):
        stage["select"] = draw(st.lists(steps(names), max_size=2))
    order = draw(st.sampled_from([None, None, "number", "number", "source"]))
    if order == "number":
        stage["order"] = {
            "by": draw(st.sampled_from(NUMBERS)),
            "direction": draw(st.sampled_from(["ascending", "descending"])),
            "bins": draw(st.integers(2, 6)),
        }
    elif order == "source" and mixture["method"] not in ("piecewise", "linear", "cosine"):
        stage["order"] = {"by": "source", "sources": draw(st.permutations(named_by(mixture, names)))}
    if draw(st.booleans()):
        stage["condition"] = draw(st.sampled_from(CONDITIONS))
    if draw(st.booleans()):
        stage["packing"] = draw(st.sampled_from(list(POLICIES)))
    return stage


@st.composite
def branches(draw: st.DrawFn, names: Sequence[str], mixture: Mapping[str, Any]) -> dict[str, Any]:
    points = st.sampled_from(["0.25", "0.5", "0.7", "0.75", "1"])
    return {
        **draw(stages(names, mixture)),
        "at": draw(st.lists(points, min_size=1, max_size=3, unique=True)),
        "share": draw(st.sampled_from(["0.05", "0.1", "0.3", "0.5"])),
    }


@st.composite
def recipes(draw: st.DrawFn, names: Sequence[str], tokens: int) -> dict[str, Any]:
    """A recipe for sources whose documents have `tokens` tokens in all."""
    mixture = draw(mixtures(names))
    length = draw(st.sampled_from([16, 24, 32]))
    phases = draw(st.integers(1, 4))
    whole = st.sampled_from([Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2)])
    return {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "sequence": {"length": length, "packing": draw(st.sampled_from(list(POLICIES)))},
        "shard": {"sequences": draw(st.sampled_from([3, 8, 40]))},
        "tokens": "all" if draw(st.integers(0, 2)) == 0 else max(int(tokens * draw(whole)), 2 * length),
        "mixture": mixture,
        "shortage": draw(st.sampled_from([kind.value for kind in Shortage])),
        "phases": [
            {**draw(stages(names, mixture)), "name": f"p{number}", "share": share}
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
    return small.small_config(folder, **{"sources": sources, "allow_empty": list(names), **recipe})


# --------------------------------------------------------------------------------------------------- the slow planner


@dataclass(frozen=True)
class Made:
    """A plan, what it was made from, and the slow planner's results for its decisions."""

    config: Config
    store: SmallStore
    plan: Plan

    @cached_property
    def entries(self) -> list[PlannedStage]:
        return self.plan.header.stages

    @property
    def main(self) -> list[PlannedStage]:
        return [entry for entry in self.entries if entry.branch is None]

    @cached_property
    def selected(self) -> list[dict[str, list[assembly.Document]]]:
        """For each stage, source -> the documents that it may take."""
        return [self._selected(stage) for stage in self.config.stages]

    def _selected(self, stage: Stage) -> dict[str, list[assembly.Document]]:
        sources = self.config.sources_of(stage)
        documents = [document for document in self.store.documents if document.source in sources]
        candidates = [
            selection.Candidate(
                document.source, document.shuffle_key, len(document.tokens), document.numbers, document.fields
            )
            for document in documents
        ]
        indices = selection.select(candidates, map(reference_step, stage.select), self.config.numbers_of(sources[0]))
        chosen = [documents[index] for index in sorted(indices)]
        if self.is_by_number(stage):
            assert stage.order is not None
            chosen = [document for document in chosen if selection.is_number(document.numbers[stage.order.by])]
        return {source: [document for document in chosen if document.source == source] for source in sources}

    @staticmethod
    def is_by_number(stage: Stage) -> bool:
        return stage.order is not None and stage.order.by != "source"

    @cached_property
    def intervals(self) -> dict[tuple[str, str], Drawn]:
        """(stage, source or stratum) -> what the stage draws from it, by the points in the header."""
        drawn = {}
        for entry in self.entries:
            for unit, planned in units(entry).items():
                source, (start, end) = source_of(entry, unit), planned.points
                chosen = [use for use in self.selected[entry.number][source] if self.is_in(entry, unit, use)]
                drawn[entry.name, unit] = Drawn(entry.name, source, chosen, start, end)
        return drawn

    def is_in(self, entry: PlannedStage, unit: str, document: assembly.Document) -> bool:
        """Whether a document is of a source, or in a stratum."""
        if not entry.strata:
            return document.source == unit
        return document.doc_id in self._strata[tuple(entry.strata[unit].predicates), source_of(entry, unit)]

    @cached_property
    def _strata(self) -> dict[tuple[tuple[Predicate, ...], str], set[int]]:
        """The doc ids of each stratum, by its predicates and source."""
        strata = {
            (tuple(stratum.predicates), stratum.source) for entry in self.entries for stratum in entry.strata.values()
        }
        return {
            (predicates, source): {
                document.doc_id
                for document in self.store.documents
                if document.source == source
                and all(holds(document) for holds in slow_shards.slow_predicates(predicates))
            }
            for predicates, source in strata
        }

    @cached_property
    def uses(self) -> dict[tuple[str, str], list[assembly.Document]]:
        """What each stage draws from each source, in order of the stream."""
        return {key: drawn.uses(self.config.seed) for key, drawn in self.intervals.items()}

    def uses_of(self, name: str) -> list[assembly.Document]:
        return [use for (stage, _), uses in self.uses.items() if stage == name for use in uses]

    @cached_property
    def drawn(self) -> dict[tuple[str, int], list[assembly.Document]]:
        """The documents of each shard by the plan's rows, in the order of the shard."""
        drawn = slow_shards.drawn_by(self.plan, self.store.documents)
        return {
            shard: [
                use
                for number in sorted({use.slice for use in uses})
                for use in planner.in_order([[use for use in uses if use.slice == number]], self.config.seed)
                for use in [replace(use, slice=number)]
            ]
            for shard, uses in drawn.items()
        }

    @cached_property
    def shards(self) -> dict[tuple[str, int], assembly.Shard]:
        """Every shard, made by the reference from the plan's rows."""
        return slow_shards.reference_shards(self.plan, self.config, self.store.documents)

    def rows(self, name: str, unit: str | None = None) -> list[dict[str, Any]]:
        """The plan's rows of a stage, or of one source or stratum in it."""
        entry = next(entry for entry in self.entries if entry.name == name)
        rows = [row for row in self.plan.table.to_pylist() if row["phase"] == name]
        return [row for row in rows if unit is None or self._takes(entry, unit, row)]

    def _takes(self, entry: PlannedStage, unit: str, row: Mapping[str, Any]) -> bool:
        """Whether a row of the plan is of a source or stratum."""
        own = entry.strata[unit].predicates if entry.strata else []
        return row["source"] == source_of(entry, unit) and self.plan.predicates[row["predicates"]][: len(own)] == own

    def slices(self, name: str) -> list[tuple[int, int]]:
        """(shard, slice) of a stage, for slices with documents."""
        return sorted(
            {(shard, use.slice) for (stage, shard), uses in self.drawn.items() if stage == name for use in uses}
        )

    def in_slice(self, name: str, slice_: tuple[int, int], unit: str) -> list[assembly.Document]:
        shard, number = slice_
        entry = next(entry for entry in self.entries if entry.name == name)
        return [use for use in self.drawn[name, shard] if use.slice == number and self.is_in(entry, unit, use)]

    def sources_in_slice(self, name: str, slice_: tuple[int, int]) -> list[str]:
        """The sources of the documents in a slice, sorted."""
        shard, number = slice_
        return sorted({use.source for use in self.drawn[name, shard] if use.slice == number})

    def bins(self, name: str, unit: str) -> list[int]:
        """The bin of each slice: slices whose rows have different ranks are in different bins."""
        entry = next(entry for entry in self.entries if entry.name == name)
        bins, last, number = [], None, 0
        for slice_ in self.slices(name):
            rows = [row for row in self.rows(name, unit) if (row["shard"], row["slice"]) == slice_]
            if rows and self.is_by_number(self.config.stages[entry.number]):
                (ranks,) = {self.plan.predicates[row["predicates"]][-1] for row in rows}
                number += last not in (None, ranks)
                last = ranks
            bins.append(number)
        return bins

    def slow_shards(self, name: str) -> dict[tuple[str, int], list[assembly.Document]]:
        """A stage's documents as the slow planner puts them into slices of the same sizes as the plan's."""
        entry = next(entry for entry in self.entries if entry.name == name)
        stage, slices = self.config.stages[entry.number], self.slices(name)
        by_slice: dict[tuple[int, int], list[assembly.Document]] = {slice_: [] for slice_ in slices}
        for unit in units(entry):
            counts = [len(self.in_slice(name, slice_, unit)) for slice_ in slices]
            uses = self.uses[name, unit]
            if self.is_by_number(stage):
                rank = ranker(self.config, stage)
                sliced = planner.sliced_by_rank(uses, counts, self.bins(name, unit), rank)
            else:
                sliced = planner.sliced(uses, counts)
            for slice_, in_slice in zip(slices, sliced, strict=True):
                by_slice[slice_] += [replace(use, slice=slice_[1]) for use in in_slice]
        shards: dict[tuple[str, int], list[assembly.Document]] = {(name, n): [] for n in range(entry.shards)}
        for (shard, number), in_slice in sorted(by_slice.items()):
            ordered = planner.in_order([in_slice], self.config.seed)
            shards[name, shard] += [replace(use, slice=number) for use in ordered]
        return shards


def units(entry: PlannedStage) -> Mapping[str, StageSource | StageStratum]:
    """What a stage takes by name of its strata, or of its sources where they are not cut."""
    return entry.strata or entry.sources


def source_of(entry: PlannedStage, unit: str) -> str:
    """The source of a stratum, or the source itself."""
    return entry.strata[unit].source if entry.strata else unit


def reference_step(step: Selection) -> selection.Step:
    return selection.Step(**{name: getattr(step, name) for name in Selection.model_fields})


def ranker(config: Config, stage: Stage) -> Any:
    """A document -> its rank in the stage's order: the number, then the tie, then the shuffle key."""
    order = stage.order
    assert order is not None
    sign = -1 if order.direction == "descending" else 1
    return lambda document: (
        sign * document.numbers[order.by],
        selection.tie(document.shuffle_key),
        document.shuffle_key,
    )
