"""Small tokenizers, corpora, token stores and builds for tests; everything is made on demand.

```python
file = tokenizer_file(tmp_path)                     # byte-level BPE, 400 tokens, <|endoftext|> and <|padding|> special
config = small_config(tmp_path, tokens=4096)        # two JSONL sources `a` and `b` below tmp_path, one phase
uses = write_run_of(folder, "a", "x.jsonl", 0, rows)   # a run of the token store, and the reference's documents of it
```
"""

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from byline.pipelines.jobs.assemble import assemble
from byline.pipelines.jobs.plan import make_recipe_plan
from byline.pipelines.jobs.prepare import prepare
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas import documents
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.ledger import DrawCounts
from byline.schemas.plan import Plan
from byline.schemas.store import RunInfo
from byline.transforms.plans.planning import make_plan
from byline.transforms.scans.counting import RunCounter
from byline.transforms.shards.run_index import RunIndex
from byline.transforms.store.runs import write_run
from byline.transforms.store.state import StoreState
from byline.transforms.store.store_index import read_run_info
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info
from tests.reference import assembly, hashing, layout, selection

BOS, PAD = "<|endoftext|>", "<|padding|>"
VOCABULARY = 400
FINGERPRINT = "0" * 64
SENTENCES = (
    "The quick brown fox jumps over the lazy dog, and the other fox watches.",
    "URL: en.example.org\n\nSource: the unknown host of a document.\n",
    "Tokens, rows and documents: every token of every document goes to one row.",
    "It's 1234.5 kilometres from here to there, isn't it?  We'll see...\n\n",
)


@lru_cache(maxsize=1)
def tokenizer_json() -> str:
    """A byte-level BPE tokenizer: `<|endoftext|>` and `<|padding|>` are special, a run of four spaces is added."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 1,
        special_tokens=[BOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_tokens([AddedToken("    ", normalized=False)])
    return tokenizer.to_str()


def tokenizer_file(folder: Path) -> str:
    """Writes the tokenizer and returns its path."""
    file = folder / "tokenizer.json"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(tokenizer_json(), encoding="utf-8")
    return str(file)


@lru_cache(maxsize=1)
def reference_tokenizer() -> Tokenizer:
    """The same tokenizer for the reference."""
    return layout.as_text_only(Tokenizer.from_str(tokenizer_json()))


def small_config(folder: Path, **changes: Any) -> Config:
    """A configuration of two sources `a` and `b` below `folder`; `changes` replace whole keys."""
    keep = {"license": "string", "year": "int", "ratio": "float"}
    source = {"format": "jsonl", "keep": keep, "score": {"quality": "quality"}}
    values: dict[str, Any] = {
        "sources": {name: {**source, "path": str(folder / name / "*.jsonl")} for name in "ab"},
        "tokenizer": {"file": str(folder / "tokenizer.json"), "bos": BOS, "eos": BOS, "pad": PAD},
        "sequence": {"length": 32},
        "phases": [{"name": "only", "share": 1}],
        "store": str(folder / "store"),
        "output": str(folder / "out"),
    }
    values |= changes
    # Corpora of a few records, of which any share may be no documents.
    values["sources"] = {name: {"max_rejected": 1, **source} for name, source in values["sources"].items()}
    return parse_config(values, "small_config")


# ------------------------------------------------------------------------------------------------- the token store


@dataclass(frozen=True)
class StoredRow:
    """A document for a test's token store; `row` is its number in the file.

    Attributes:
        license, year, ratio: kept fields, of types string, int and float.
        quality: a score.
        topic: a label.
        masked: ranges (start, end) of its tokens that do not count in the loss; None for all documents of a source
            without loss spans.
        weighed: ranges of its tokens that count with another weight than 1 (start, end, weight); None for all documents
            of a source whose formatter weighs nothing.
    """

    row: int
    tokens: Sequence[int]
    host: str | None = None
    license: str | None = None
    quality: float | None = None
    year: int | None = None
    ratio: float | None = None
    topic: str | None = None
    masked: Sequence[tuple[int, int]] | None = None
    weighed: Sequence[tuple[int, int, float]] | None = None

    @property
    def weights(self) -> list[float] | None:
        """Of its tokens."""
        if self.weighed is None:
            return None
        inside = {at: weight for start, end, weight in self.weighed for at in range(start, end)}
        return [inside.get(at, 1.0) for at in range(len(self.tokens))]


def tokenized_batch(
    source: str,
    path: str,
    rows: Sequence[StoredRow],
    *,
    chunk: int = 0,
    last: bool = True,
    ids: pa.DataType | None = None,
    has_masks: bool = False,
    has_weights: bool = False,
) -> pa.RecordBatch:
    """A document batch as `Tokenize` gives it.

    It has the column `masked` if any row has it, or `has_masks`; `weighed` and `range_weights` likewise.
    """
    tokens_field = documents.tokens_field(ids or pa.uint16())
    columns: dict[pa.Field, list[Any]] = {
        documents.ROW: [row.row for row in rows],
        documents.URL: [None if row.host is None else f"http://{row.host}/{row.row}" for row in rows],
        pa.field("quality", documents.SCORE_TYPE): [row.quality for row in rows],
        pa.field("license", pa.string()): [row.license for row in rows],
        pa.field("year", pa.int64()): [row.year for row in rows],
        pa.field("ratio", pa.float64()): [row.ratio for row in rows],
        pa.field("topic", documents.LABEL_TYPE): [row.topic for row in rows],
        documents.HOST: [row.host for row in rows],
        documents.REGISTERED_DOMAIN: [row.host for row in rows],
        documents.NUM_BYTES: [3 * len(row.tokens) for row in rows],
        documents.NUM_TOKENS: [len(row.tokens) for row in rows],
        tokens_field: [list(row.tokens) for row in rows],
    }
    if has_masks or any(row.masked is not None for row in rows):
        columns[documents.MASKED] = [[border for pair in row.masked or () for border in pair] for row in rows]
    if has_weights or any(row.weighed is not None for row in rows):
        ranges = [row.weighed or () for row in rows]
        columns[documents.WEIGHED] = [[border for low, high, _ in some for border in (low, high)] for some in ranges]
        columns[documents.RANGE_WEIGHTS] = [[weight for _, _, weight in some] for some in ranges]
    arrays = [pa.array(values, field.type) for field, values in columns.items()]
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(columns)))
    info = documents.BatchInfo(source, path, chunk, last, 1000, len(rows) + 1, 10, {"empty_text": 1})
    return documents.with_info(batch, info)


def write_run_of(
    folder: Path, source: str, path: str, file_number: int, rows: Sequence[StoredRow], **settings: Any
) -> tuple[str, list[assembly.Document]]:
    """Writes one run; returns its path, and its documents for the reference."""
    uri = write_run(tokenized_batch(source, path, rows, **settings), FINGERPRINT, str(folder))
    return uri, [_as_reference(source, path, file_number, row) for row in rows]


def _as_reference(source: str, path: str, file_number: int, row: StoredRow) -> assembly.Document:
    whole = {"year": row.year, "num_tokens": len(row.tokens), "num_bytes": 3 * len(row.tokens)}
    return assembly.Document(
        source=source,
        shuffle_key=hashing.shuffle_key(source, path, row.row),
        doc_id=hashing.doc_id(file_number, row.row),
        tokens=list(row.tokens),
        values={
            "host": row.host,
            "registered_domain": row.host,
            "license": row.license,
            "topic": row.topic,
            **{name: None if number is None else str(number) for name, number in whole.items()},
        },
        numbers={
            "quality": None if row.quality is None else selection.as_float32(row.quality),
            "ratio": row.ratio,
            **whole,
        },
        masked=list(row.masked or ()),
        weights=row.weights,
    )


def comparable_counts(counts: Mapping[str, DrawCounts]) -> dict[str, dict[str, float]]:
    """Counts as the reference gives them: sources without documents are left out, reasons are summed."""
    return {
        source: {**count.to_json(), "discarded": sum(count.discarded.values())}
        for source, count in counts.items()
        if replace(count, loss_weight=None, replaced=None) != DrawCounts()
    }


@dataclass(frozen=True)
class SmallStore:
    """A token store without raw corpora: its runs, file numbers of the runs, and all its documents."""

    runs: list[RunInfo]
    files: list[int]
    documents: list[assembly.Document]

    @property
    def index(self) -> RunIndex:
        return RunIndex.of((run.source, file, run.uri) for run, file in zip(self.runs, self.files, strict=True))


def write_store(folder: Path, files: Mapping[tuple[str, str], Sequence[StoredRow]]) -> SmallStore:
    """Writes one run for each (source, path)."""
    numbers = hashing.file_numbers(files)
    runs, documents = [], []
    for (source, path), rows in files.items():
        uri, in_run = write_run_of(folder / "store" / source, source, path, numbers[source, path], rows)
        runs.append(read_run_info(uri))
        documents += in_run
    return SmallStore(runs, [numbers[file] for file in files], documents)


def plan_of(config: Config, store: SmallStore) -> Plan:
    """The plan of a recipe, without Beam."""
    info = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    return make_plan(config, info, store.runs, local_scan([run.uri for run in store.runs]))


def local_scan(uris: Sequence[str]) -> Callable[[RunCounter], pa.RecordBatch]:
    """Scans runs without Beam, for `make_plan`."""
    return lambda counter: counter.merge([counter.count(uri) for uri in uris])


# ------------------------------------------------------------------------------------------------------- builds


def quiet() -> Console:
    return Console(file=io.StringIO(), force_terminal=False)


def with_kept_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with every field that the sources of `small_config` name, null where it gives none."""
    return {**dict.fromkeys(("license", "year", "ratio", "quality")), **record}


def write_jsonl(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes one record a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


def prepare_quietly(config: Config) -> StoreState:
    return prepare(config, RunnerSettings(workers=1), quiet())


def build_quietly(config: Config) -> Plan:
    """Prepares what is missing, plans and assembles, in this process; returns the plan."""
    state = prepare_quietly(config)
    plan = make_recipe_plan(config, state, [], RunnerSettings(workers=1))
    assemble(config, plan, state.runs, RunnerSettings(workers=1), quiet())
    return plan
