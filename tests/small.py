"""Small tokenizers, corpora, token stores and builds for tests; everything is made when it is asked for.

```python
file = tokenizer_file(tmp_path)                     # byte-level BPE, 400 tokens, <|endoftext|> and <|padding|> special
config = small_config(tmp_path, tokens=4096)        # two JSONL sources `a` and `b` below tmp_path, one phase
uses = write_run_of(folder, "a", "x.jsonl", 0, rows)   # a run of the token store, and the reference's documents of it
```
"""

import io
import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from pipelines.assemble import assemble
from pipelines.plan import make_recipe_plan
from pipelines.prepare import StoreState, prepare
from pipelines.runner import RunnerSettings
from schemas import documents
from schemas.config import Config
from schemas.config_file import parse_config
from schemas.ledger import DrawCounts
from schemas.plan import Plan
from schemas.recipe import Condition
from schemas.store import RunInfo
from tests.reference import assembly, layout, placing, selection
from transforms.counting import RunCounter
from transforms.gathering import RunIndex
from transforms.planning import make_plan
from transforms.runs import write_run
from transforms.store_index import read_run_info
from transforms.tokenizing import shared_tokenizer, tokenizer_info

BOS, PAD = "<|endoftext|>", "<|padding|>"
VOCABULARY = 400
FINGERPRINT = "0" * 64
_SENTENCES = (
    "The quick brown fox jumps over the lazy dog, and the other fox watches.",
    "URL: en.example.org\n\nSource: the unknown host of a document.\n",
    "Tokens, rows and documents: every token of every document goes to one row.",
    "It's 1234.5 kilometres from here to there, isn't it?  We'll see...\n\n",
)


@lru_cache(maxsize=1)
def tokenizer_json() -> str:
    """A byte-level BPE tokenizer: `<|endoftext|>` and `<|padding|>` are special, a run of four spaces is added."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 1,
        special_tokens=[BOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(_SENTENCES, trainer)
    made.add_tokens([AddedToken("    ", normalized=False)])
    return made.to_str()


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
    source = {"format": "jsonl", "keep": ["license"], "score": {"quality": "quality"}}
    values: dict[str, Any] = {
        "sources": {name: {**source, "path": str(folder / name / "*.jsonl")} for name in "ab"},
        "tokenizer": {"file": str(folder / "tokenizer.json"), "bos": BOS, "eos": BOS, "pad": PAD},
        "sequence": {"length": 32},
        "phases": [{"name": "only", "share": 1}],
        "store": str(folder / "store"),
        "output": str(folder / "out"),
    }
    return parse_config({**values, **changes}, "small_config")


# ------------------------------------------------------------------------------------------------- the token store


@dataclass(frozen=True)
class StoredRow:
    """What a test says of a document in the token store; `row` is its number in the file."""

    row: int
    tokens: Sequence[int]
    host: str | None = None
    license: str | None = None
    quality: float | None = None


def tokenized_batch(
    source: str,
    path: str,
    rows: Sequence[StoredRow],
    *,
    chunk: int = 0,
    last: bool = True,
    ids: pa.DataType | None = None,
) -> pa.RecordBatch:
    """A document batch as `Tokenize` gives it."""
    tokens_field = documents.tokens_field(ids or pa.uint16())
    columns: dict[pa.Field, list[Any]] = {
        documents.ROW: [row.row for row in rows],
        documents.URL: [None if row.host is None else f"http://{row.host}/{row.row}" for row in rows],
        pa.field("quality", documents.SCORE_TYPE): [row.quality for row in rows],
        pa.field("license", pa.string()): [row.license for row in rows],
        documents.HOST: [row.host for row in rows],
        documents.REGISTERED_DOMAIN: [row.host for row in rows],
        documents.NUM_BYTES: [3 * len(row.tokens) for row in rows],
        documents.NUM_TOKENS: [len(row.tokens) for row in rows],
        tokens_field: [list(row.tokens) for row in rows],
    }
    arrays = [pa.array(values, field.type) for field, values in columns.items()]
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(columns)))
    info = documents.BatchInfo(source, path, chunk, last, 1000, len(rows) + 1, 10, {"empty_text": 1})
    return documents.with_info(batch, info)


def write_run_of(
    folder: Path, source: str, path: str, file_number: int, rows: Sequence[StoredRow], **settings: Any
) -> tuple[str, list[assembly.Document]]:
    """Writes one run; returns its path, and its documents as the reference knows them."""
    uri = write_run(tokenized_batch(source, path, rows, **settings), FINGERPRINT, str(folder))
    return uri, [_as_reference(source, path, file_number, row) for row in rows]


def _as_reference(source: str, path: str, file_number: int, row: StoredRow) -> assembly.Document:
    return assembly.Document(
        source=source,
        place=placing.place(source, path, row.row),
        doc_id=placing.doc_id(file_number, row.row),
        tokens=list(row.tokens),
        values={"host": row.host, "license": row.license},
        scores={"quality": None if row.quality is None else selection.as_float32(row.quality)},
    )


def reference_condition(condition: Condition | None) -> layout.Condition | None:
    if condition is None:
        return None
    return layout.Condition(condition.template, condition.place, condition.dropout, condition.unknown)


def comparable_counts(counts: Mapping[str, DrawCounts]) -> dict[str, dict[str, int]]:
    """Counts as the reference gives them: sources without documents are left out, reasons are summed."""
    return {
        source: {**count.to_json(), "discarded": sum(count.discarded.values())}
        for source, count in counts.items()
        if count != DrawCounts()
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
    numbers = placing.file_numbers(files)
    runs, documents = [], []
    for (source, path), rows in files.items():
        uri, some = write_run_of(folder / "store" / source, source, path, numbers[source, path], rows)
        runs.append(read_run_info(uri))
        documents += some
    return SmallStore(runs, [numbers[file] for file in files], documents)


def plan_of(config: Config, store: SmallStore) -> Plan:
    """The plan of a recipe, without Beam."""
    info = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
    return make_plan(config, info, store.runs, local_pass([run.uri for run in store.runs]))


def local_pass(uris: Sequence[str]) -> Callable[[RunCounter], pa.RecordBatch]:
    """Passes over runs without Beam, for `make_plan`."""
    return lambda counter: counter.merge([counter.count(uri) for uri in uris])


# --------------------------------------------------------------------------------------------------- predicates


def rank(document: assembly.Document, field: str) -> tuple[int, int, int]:
    """(score key, tie, place): what the plan's predicates compare, in plain Python."""
    score = document.scores[field]
    if score is None or math.isnan(score):
        key = 2**32 - 1
    else:
        bits = struct.unpack(">I", struct.pack(">f", score or 0.0))[0]
        key = bits if bits >> 31 else 2**31 - 1 - bits
    return key, selection.tie(document.place), document.place


def slow_predicates(encoded: str) -> tuple[assembly.Predicate, ...]:
    """The plan's column `predicates` as functions for the reference."""

    def below(field: str, border: tuple[int, ...]) -> assembly.Predicate:
        return lambda document: rank(document, field) < border

    return tuple(below(item["field"], tuple(item["below"])) for item in json.loads(encoded))


# --------------------------------------------------------------------------------------------------- the reference


def drawn_by(plan: Plan, documents: Iterable[assembly.Document]) -> dict[tuple[str, int], list[assembly.Document]]:
    """The documents of each shard, as the plan's rows say."""
    documents, rows = list(documents), plan.table.to_pylist()
    return {
        (phase, shard): assembly.draw(
            documents,
            [
                (row["source"], row["epoch"], row["place_lo"], row["place_hi"], slow_predicates(row["predicates"]))
                for row in rows
                if (row["phase"], row["shard"]) == (phase, shard)
            ],
        )
        for phase, shard, _ in plan.shards()
    }


def reference_shards(
    plan: Plan, config: Config, documents: Iterable[assembly.Document]
) -> dict[tuple[str, int], assembly.Shard]:
    """Every shard of a plan, made by the reference."""
    conditions = {phase.name: reference_condition(phase.condition) for phase in config.phases}
    ids = plan.header["tokenizer"]
    return {
        (phase, shard): assembly.assemble_shard(
            drawn,
            seed=config.seed,
            length=config.sequence.length,
            policy=config.sequence.packing.value,
            condition=conditions[phase],
            tokenizer=reference_tokenizer(),
            bos_id=ids["bos_id"],
            eos_id=ids["eos_id"],
            pad_id=ids["pad_id"],
        )
        for (phase, shard), drawn in drawn_by(plan, documents).items()
    }


# ------------------------------------------------------------------------------------------------------- builds


def quiet() -> Console:
    return Console(file=io.StringIO(), force_terminal=False)


def write_jsonl(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes one record a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


def prepare_quietly(config: Config) -> StoreState:
    return prepare(config, RunnerSettings(workers=1), quiet())


def build_quietly(config: Config) -> Plan:
    """Prepares what is missing, plans and assembles, in this process; returns the plan."""
    state = prepare_quietly(config)
    plan = make_recipe_plan(config, state, RunnerSettings(workers=1))
    assemble(config, plan, state, RunnerSettings(workers=1), quiet())
    return plan
