"""Random small corpora and recipes, as values that `write_recipe` takes.

```python
tools = make_tools(folder, seed)                       # tokenizers and a fastText model, for all corpora of a soak
values = random_recipe(folder / "0", tools, chance)    # writes the corpus; of one to four sources
```

A recipe may come to nothing (a source that a selection empties): such a one is refused, and another is drawn.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.corpora import (
    GIVEN_SCORE,
    GOOD,
    SPECIAL,
    Record,
    make_records,
    write_c4,
    write_dclm,
    write_jsonl,
    write_model,
    write_refinedweb,
    write_tokenizer,
)
from tests.support.tokenizers import KINDS, added, with_added, write

Values = dict[str, Any]
SALT = "pepper"
_NAMES = ("fim_prefix", "fim_middle", "fim_suffix", "im_start", "im_end", "meta", "/meta")


@dataclass(frozen=True)
class Tools:
    """What corpora share.

    Attributes:
        tokenizers: their files.
        model: a fastText model with two labels.
        compared: a folder for what comparing the tokenizer libraries came to.
    """

    tokenizers: list[Path]
    model: Path
    compared: Path


def make_tools(folder: Path, seed: int) -> Tools:
    """Byte-level tokenizers, and two kinds that go to the slower library; a model."""
    texts = [record.text for record in make_records(seed, 100) if record.text]
    paths = [folder / f"tokenizer-{size}.json" for size in (400, 900)]
    for path, size in zip(paths, (400, 900), strict=True):
        write_tokenizer(path, texts, size)
    for kind in ("word_piece", "llama_2"):
        settings = with_added(KINDS[kind](), added(SPECIAL, special=True))
        paths.append(Path(write(settings, folder, f"{kind}.json")))
    write_model(folder / "quality.bin")
    (folder / "compared").mkdir()
    return Tools(paths, folder / "quality.bin", folder / "compared")


def random_recipe(folder: Path, tools: Tools, chance: random.Random) -> Values:
    """Writes a corpus and returns a recipe for it, with store and output beside it."""
    kinds = chance.sample(list(_SOURCES), chance.choice([1, 2, 2, 3, 4]))
    sources = {kind: _SOURCES[kind](folder / "in" / kind, chance) for kind in kinds}
    return {
        "sources": sources,
        "classifiers": {"quality": {"model": str(tools.model), "label": GOOD}},
        "filter": chance.sample(_FILTERS, chance.choice([0, 0, 1, 2, 3])),
        "tokenizer": {
            "file": str(chance.choice(tools.tokenizers)),
            "library": chance.choice(["fastest", "fastest", "tokenizers"]),
            "bos": chance.choice([None, SPECIAL]),
            "eos": SPECIAL,
            "add": [f"<|{name}|>" for name in _NAMES],
        },
        "sequence": {"length": chance.choice([32, 64, 128, 512]), "packing": _packing(chance)},
        "shard": {"sequences": chance.choice([4, 8, 16, 64]), "ids": chance.choice(["int32", "uint16"])},
        "tokens": chance.choice(["all", "all", 4000, 20_000]),
        "shortage": chance.choice(["shrink", "repeat"]),
        "mixture": _mixture(kinds, chance),
        "seed": chance.randrange(1000),
        "min_known": 0,
        "phases": _phases(chance),
        "branches": chance.choice([[], [], [{"name": "side", "at": [0.5, 1], "share": 0.2, "packing": "concat"}]]),
        "store": str(folder / "store"),
        "output": str(folder / "out"),
    }


# ---------------------------------------------------------------------------------------------------------- sources


def _files(chance: random.Random) -> list[list[Record]]:
    """The records of each file."""
    return [make_records(chance.randrange(2**31), chance.randint(3, 40)) for _ in range(chance.randint(2, 14))]


def _own_layout(folder: Path, chance: random.Random) -> Values:
    for number, records in enumerate(_files(chance)):
        write_jsonl(folder / f"{number}.jsonl", records)
    values = {"format": "jsonl", "path": f"{folder}/*.jsonl", "fields": {"text": "body", "url": "metadata.url"}}
    values |= {"keep": ["license"], "malformed": "drop", "max_rejected": 1}
    fim = {"name": "fim", "rate": chance.choice([0.2, 0.9])}
    return {**values, **chance.choice([{}, {}, {"formatter": fim}])}


def _c4(folder: Path, chance: random.Random) -> Values:
    for number, records in enumerate(_files(chance)):
        write_c4(folder / f"{number}.json.gz", records)
    return {"format": "c4", "path": f"{folder}/*.json.gz", "max_rejected": 1}


def _dclm(folder: Path, chance: random.Random) -> Values:
    for number, records in enumerate(_files(chance)):
        write_dclm(folder / f"shard_{number % 3}/{number}.jsonl.zst", records)
    score = {"quality": GIVEN_SCORE}
    return {"format": "dclm", "path": f"{folder}/**/*.jsonl.zst", "score": score, "max_rejected": 1}


def _refinedweb(folder: Path, chance: random.Random) -> Values:
    for number, records in enumerate(_files(chance)):
        write_refinedweb(folder / f"{number}.parquet", records)
    return {"format": "refinedweb", "path": f"{folder}/*.parquet", "max_rejected": 1}


def _texts(chance: random.Random) -> list[list[Record]]:
    return [[record for record in records if record.text and record.url] for records in _files(chance)]


def _chats(folder: Path, chance: random.Random) -> Values:
    folder.mkdir(parents=True)
    for number, records in enumerate(_texts(chance)):
        lines = [
            {"talk": [{"role": role, "content": record.text} for role in ("user", "assistant")], "url": record.url}
            for record in records
        ]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    marks = chance.choice([{}, {"begin": "<|im_start|>", "end": "<|im_end|>"}])
    formatter = {"name": "chat", **marks}
    values = {"format": "jsonl", "path": f"{folder}/*.jsonl", "fields": {"messages": "talk"}, "formatter": formatter}
    return {**values, "max_rejected": 1}


def _exam(folder: Path, chance: random.Random) -> Values:
    folder.mkdir(parents=True)
    for number, records in enumerate(_texts(chance)):
        texts = [record.text or "" for record in records]
        table = pa.table({"q": [text[:30] for text in texts], "a": texts, "url": [record.url for record in records]})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=9)
    fields = {"question": "q", "answer": "a"}
    return {"format": "parquet", "path": f"{folder}/*.parquet", "fields": fields, "formatter": "qa", "max_rejected": 1}


def _sums(_: Path, chance: random.Random) -> Values:
    style = chance.choice(["plain", "reverse", "simplified_scratchpad"])
    return {"format": "arithmetic", "arithmetic": {"style": style, "examples": chance.randint(50, 400)}}


_SOURCES: dict[str, Callable[[Path, random.Random], Values]] = {
    "own": _own_layout,
    "c4": _c4,
    "dclm": _dclm,
    "refinedweb": _refinedweb,
    "chats": _chats,
    "exam": _exam,
    "sums": _sums,
}


# ---------------------------------------------------------------------------------------------------------- recipes

_FILTERS: list[Any] = [
    {"characters": {"at_least": 20}},
    {"words": {"at_least": 4, "at_most": 150}},
    {"matches": {"drop": "popup", "name": "popups"}},
    {"number": {"by": "quality", "at_least": 0.1}},
    {"hosts": {"deny": ["blog.example.net"]}},
    "c4_curly_bracket",
]
_CONDITIONS: list[Values] = [
    {"template": "{host}\n"},
    {"template": "URL: {url}\n\n", "dropout": 0.1},
    {"template": "{suffix} {quality}", "begin": "<|meta|>", "end": "<|/meta|>", "empty": 0.2, "bins": {"quality": 4}},
    {"template": "\n{source} {host}", "position": "after"},
    {"template": "{host} {num_tokens}", "top": {"host": 3}, "unknown": "?"},
    {"template": "{host_hash}", "salt": SALT},
]
_SELECTIONS: list[Any] = [
    {"top": 0.7, "by": "quality"},
    {"bottom": 0.8, "by": "num_tokens", "over": "all"},
    {"top": 0.6, "by": "num_bytes", "count": "tokens"},
    [{"deny": {"suffix": ["net"]}}, {"at_least": 6, "by": "num_tokens"}],
]
_ORDERS: list[Values] = [{"by": "num_tokens", "bins": 3}, {"by": "quality", "direction": "descending", "bins": 4}]


def _packing(chance: random.Random) -> str:
    return chance.choice(["document_start", "concat", "repeat_prefix", "best_fit"])


def _mixture(sources: list[str], chance: random.Random) -> Any:
    parts = [chance.randint(1, 5) for _ in sources]
    weights = {source: f"{part}/{sum(parts)}" for source, part in zip(sources, parts, strict=True)}
    turned = dict(zip(sources, reversed(weights.values()), strict=True))
    return chance.choice(
        [
            "natural",
            weights,
            {"method": "temperature", "alpha": 0.5, "max_epochs": 2},
            {"method": "unimax", "max_epochs": 2},
            {"method": "linear", "points": [{"at": 0, "weights": weights}, {"at": 1, "weights": turned}]},
        ]
    )


def _phases(chance: random.Random) -> list[Values]:
    parts = [chance.randint(1, 4) for _ in range(chance.choice([1, 2, 2, 3]))]
    phases = []
    for number, part in enumerate(parts):
        phase: Values = {"name": f"p{number}", "share": f"{part}/{sum(parts)}"}
        for key, values in (("condition", _CONDITIONS), ("select", _SELECTIONS), ("order", _ORDERS)):
            if chance.random() < 0.4:
                phase[key] = chance.choice(values)
        if chance.random() < 0.3:
            phase["packing"] = _packing(chance)
        phases.append(phase)
    return phases
