"""What is fuzzed: for each target how a case is made, and what reads it.

```
yaml         recipes of configs/ with values of a hostile list anywhere, or with bytes changed        load_recipe
plan         the lower half of a recipe, so changed                                                  byline plan
models       trained fastText models, most changes in the header                                     scored
tables       tables of losses and graphs of skills, CSV and JSON lines                               read
json         JSON lines of corpora                                                                   read_batches
parquet      Parquet of corpora, most changes in the footer                                          read_batches
arrow        a finished build: a shard, a run or the manifest changed                                read, verified
tokenizer    tokenizer.json files of several kinds                                                   encoded with
```
"""

import contextlib
import io
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fuzz.mutations import mutated_bytes, mutated_value

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        prepare: called once with a folder of its own: makes what cases are mutations of.
        make: called with the generator of a case and that folder; gives its content and suffix.
        read: called with the file and that folder; raises a BylineError for a file that it refuses.
        modules: imported before the children are made, so that each need not do it again.
    """

    prepare: Callable[[Path], None]
    make: Callable[[random.Random, Path], tuple[bytes, str]]
    read: Callable[[Path, Path], None]
    modules: tuple[str, ...]


def _nothing(_: Path) -> None:
    pass


# --- configurations


def _recipes() -> list[dict[str, Any]]:
    recipes = []
    for file in sorted((ROOT / "configs").rglob("*.yaml")):
        values = yaml.safe_load(file.read_text())
        if "extends" in values:
            values["extends"] = str(file.parent / values["extends"])
        recipes.append(values)
    return recipes


def _dumped(values: Any) -> bytes:
    # Whatever YAML cannot write is written as JSON, which is YAML, too.
    try:
        return yaml.safe_dump(values, allow_unicode=False, sort_keys=False).encode()
    except (yaml.YAMLError, UnicodeError):
        return json.dumps(values).encode()


def _make_yaml(chance: random.Random, _: Path) -> tuple[bytes, str]:
    values = chance.choice(_recipes())
    how = chance.random()
    if how < 0.7:
        return _dumped(mutated_value(chance, values)), ".yaml"
    if how < 0.8:
        text = _dumped(values).decode()
        tag = chance.choice(
            ("!!int", "!!float", "!!binary", "!!python/name:os.system", "!!timestamp", "!!set", "&a", "*a", "!x")
        )
        at = chance.choice([number for number, letter in enumerate(text) if letter == " "])
        return f"{text[:at]} {tag} {text[at:]}".encode(), ".yaml"
    return mutated_bytes(chance, _dumped(values)), ".yaml"


def _read_yaml(path: Path, _: Path) -> None:
    from byline.pipelines.recipes import load_recipe

    # Mixture files of the recipes are found from here.
    os.chdir(ROOT)
    load_recipe(path)


_PLANNED: dict[str, Any] = {
    "tokens": "20K",
    "sequence": {"length": 128, "packing": "document_start"},
    "shard": {"sequences": 16},
    "shortage": "repeat",
    "mixture": {
        "method": "linear",
        "points": [{"at": 0, "weights": {"a": 0.5, "b": 0.5}}, {"at": 1, "weights": {"a": 1}}],
    },
    "phases": [
        {
            "name": "main",
            "share": 0.9,
            "select": [{"top": 0.7, "by": "num_tokens"}, {"deny": {"host": ["x.example"]}}],
            "condition": {
                "template": "{host} {n} {host_hash}\n",
                "dropout": 0.1,
                "top": {"host": 3},
                "bins": {"n": 2},
                "salt": "s",
            },
        },
        {"name": "end", "share": 0.1, "mixture": {"a": 0.25, "b": 0.75}, "order": {"by": "n", "bins": 3}},
    ],
    "branches": [{"name": "branch", "at": [0.5, 1], "share": 0.1, "mixture": {"method": "unimax", "max_epochs": 3}}],
    "seed": 1,
}


def _plan_base(work: Path) -> dict[str, Any]:
    source = {"format": "jsonl", "fields": {"text": "text", "url": "url"}, "keep": {"n": "int"}}
    return {
        "sources": {name: {**source, "path": f"{work}/corpus/{name}.jsonl"} for name in ("a", "b")},
        "tokenizer": {"file": f"{work}/tokenizer.json", "eos": "<|endoftext|>"},
        "store": f"{work}/store",
        "output": f"{work}/shards",
    }


def _prepare_plan(work: Path) -> None:
    from byline.pipelines.cli import main

    (work / "corpus").mkdir()
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "so", "on"]
    for name in ("a", "b"):
        lines = [
            {
                "text": " ".join(words[(row * k) % len(words)] for k in range(5 + row % 40)),
                "url": f"https://h{row % 9}.example/{row}",
                "n": row,
            }
            for row in range(120)
        ]
        (work / f"corpus/{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (work / "tokenizer.json").write_text(_bpe())
    (work / "r.yaml").write_bytes(_dumped({**_plan_base(work), **_PLANNED}))
    import sys

    before, sys.argv = sys.argv, ["byline", "build", str(work / "r.yaml"), "--workers", "1"]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"the base build failed: {ended.code}") from None
    finally:
        sys.argv = before


def _bpe() -> str:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["the quick brown fox", "jumps over the lazy dog"] * 5, trainer)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    return tokenizer.to_str()


def _make_plan(chance: random.Random, work: Path) -> tuple[bytes, str]:
    return _dumped({**_plan_base(work), **mutated_value(chance, _PLANNED)}), ".yaml"


def _read_plan(path: Path, work: Path) -> None:
    from rich.console import Console

    from byline.pipelines.console import plan_report
    from byline.pipelines.jobs import plan as job
    from byline.pipelines.recipes import load_recipe
    from byline.pipelines.runners.runner import RunnerSettings

    os.chdir(work)
    config = load_recipe(path)
    console = Console(file=io.StringIO())
    made, state = job.plan(config, RunnerSettings(1), console)
    plan_report.show(plan_report.report(made, state, [], {}, []), console)


# --- models


def _prepare_models(work: Path) -> None:
    import fasttext

    examples = work / "examples.txt"
    lines = [f"__label__{row % 3} {' '.join(f'w{row * k % 11}' for k in range(9))}\n" for row in range(120)]
    examples.write_text("".join(lines))
    kinds: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
        ({}, None),
        ({"wordNgrams": 2}, None),
        ({"minn": 2, "maxn": 3}, None),
        ({"loss": "hs"}, None),
        ({"loss": "ns"}, None),
        ({"loss": "ova"}, None),
        ({"wordNgrams": 2}, {"qnorm": True}),
        ({"minn": 2, "maxn": 3}, {"cutoff": 100, "qnorm": True, "qout": True}),
    ]
    for number, (settings, quantized) in enumerate(kinds):
        shape = {"dim": 6, "bucket": 300, "epoch": 2, "minCount": 1, "thread": 1, "verbose": 0, **settings}
        model = fasttext.train_supervised(str(examples), **shape)
        if quantized is not None:
            model.quantize(str(examples), verbose=0, thread=1, **quantized)
        model.save_model(str(work / f"model-{number}.bin"))


def _make_model(chance: random.Random, work: Path) -> tuple[bytes, str]:
    content = chance.choice(sorted(work.glob("model-*.bin"))).read_bytes()
    header = [*((at, 4) for at in range(0, 56, 4)), *((at, 4) for at in (64, 68, 72)), (76, 8), (84, 8)]
    # Behind the dictionary, every number of 4 bytes may be a size.
    behind = [(at, 4) for at in range(92, min(len(content), 1200))]
    return mutated_bytes(chance, content, [*header * 8, *behind]), ".bin"


def _read_model(path: Path, work: Path) -> None:
    import shutil

    import pyarrow as pa

    from byline.transforms.scores.fasttext_folding import open_model

    cache = work / f"cache-{os.getpid()}"
    try:
        texts = ["w1 w2 w3", "", "unknown words", "w5 " * 3000, None, "日本 é", "</s> w1", "__label__1 w2"]
        open_model(str(path), str(cache)).probabilities(pa.array(texts, pa.large_string()))
    finally:
        shutil.rmtree(cache, ignore_errors=True)


# --- tables


_TABLES = (
    b"step,domain,loss,reference_loss\n1,a,1.5,2\n1,b,2,2\n2,a,1,2\n2,b,1.5,2\n",
    b'{"step": 1, "domain": "a", "loss": 1.5}\n{"step": 1, "domain": "b", "loss": 2}\n'
    b'{"step": 2, "domain": "a", "loss": 1}\n{"step": 2, "domain": "b", "loss": 1}\n',
    b"from,to,weight\na,a,1\na,b,0.5\nb,b,1\n",
    b'{"from": "a", "to": "a", "weight": 1}\n{"from": "b", "to": "b", "weight": 0.5}\n',
)
_LINES = (
    b"null",
    b"1",
    b"[]",
    b"{}",
    b'"x"',
    b"true",
    b"",
    b"{",
    b"[[[[",
    b'{"step": {}}',
    b'{"step": [null]}',
    b"\xff",
    b"\xef\xbb\xbf{}",
    b"[" * 5000,
)


def _make_table(chance: random.Random, _: Path) -> tuple[bytes, str]:
    content = chance.choice(_TABLES)
    suffix = ".jsonl" if content.startswith(b"{") else ".csv"
    return _changed_lines(chance, content, suffix == ".jsonl"), suffix


def _changed_lines(chance: random.Random, content: bytes, is_json: bool) -> bytes:
    """Lines with one of them replaced by another value, changed as JSON, or bytes changed."""
    lines = content.splitlines(keepends=True)
    number, how = chance.randrange(len(lines)), chance.random()
    if how < 0.3:
        lines[number] = chance.choice(_LINES) + chance.choice((b"\n", b"\r\n", b""))
    elif how < 0.7 and is_json:
        lines[number] = json.dumps(mutated_value(chance, json.loads(lines[number]))).encode() + b"\n"
    elif how < 0.8:
        lines = [chance.choice(_LINES) + b"\n" for _ in range(chance.randrange(4))]
    else:
        return mutated_bytes(chance, content)
    return b"".join(lines)


def _read_table(path: Path, _: Path) -> None:
    from byline.errors import BylineError
    from byline.schemas.loss_table import read_graph, read_losses

    refusals = []
    for read in (
        lambda: read_losses(path, [("loss", "reference_loss"), ("loss",)]),
        lambda: read_graph(path, ["a", "b"]),
    ):
        try:
            read()
        except BylineError as error:
            refusals.append(error)
    if len(refusals) == 2:
        raise refusals[0]


# --- corpora


_RECORDS = "".join(
    json.dumps(
        {
            "text": f"text {row} é",
            "url": f"https://h{row}.example/",
            "meta": {"n": row, "tags": ["x", None]},
            "s": row / 2,
        }
    )
    + "\n"
    for row in range(12)
).encode()
_SOURCE: dict[str, Any] = {
    "fields": {"text": "text", "url": "url"},
    "keep": {"meta": "string"},
    "score": {"q": "s"},
    "malformed": "drop",
}


def _make_json(chance: random.Random, _: Path) -> tuple[bytes, str]:
    import gzip

    content = _changed_lines(chance, _RECORDS, True)
    if chance.random() < 0.2:
        return mutated_bytes(chance, gzip.compress(content, mtime=0)), ".jsonl.gz"
    return content, ".jsonl"


def _reader(layout: str) -> Callable[[Path, Path], None]:
    def read(path: Path, _: Path) -> None:
        from byline.schemas.corpora import Source
        from byline.transforms.corpora.listing import list_inputs
        from byline.transforms.corpora.reading import read_batches

        source = Source(**{**_SOURCE, "format": layout, "path": str(path)})
        for file in list_inputs("s", source):
            for batch in read_batches(file, source):
                batch.validate(full=True)

    return read


def _prepare_parquet(work: Path) -> None:
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet as pq

    table = pa.json.read_json(io.BytesIO(_RECORDS))
    for number, options in enumerate(
        ({}, {"compression": "zstd"}, {"use_dictionary": False, "data_page_version": "2.0"})
    ):
        pq.write_table(table, work / f"corpus-{number}.parquet", **options)


def _make_parquet(chance: random.Random, work: Path) -> tuple[bytes, str]:
    content = chance.choice(sorted(work.glob("corpus-*.parquet"))).read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    return mutated_bytes(chance, content, [(at, 1) for at in range(len(content) - footer, len(content))]), ".parquet"


# --- builds


def _make_build_file(chance: random.Random, work: Path) -> tuple[bytes, str]:
    files = sorted(
        [
            *work.glob("shards/*/*.arrow"),
            *work.glob("store/*/*/*.arrow"),
            work / "shards/manifest.json",
            work / "shards/plan.arrow",
        ]
    )
    file = chance.choice(files)
    content = file.read_bytes()
    if file.suffix == ".json":
        changed = json.dumps(mutated_value(chance, json.loads(content))).encode()
    else:
        # Flatbuffers are at the ends; bodies are numbers that are used as offsets and ids.
        ends = [(at, 4) for at in [*range(8, 700, 4), *range(len(content) - 1500, len(content) - 8, 4)] if at >= 0]
        changed = mutated_bytes(chance, content, ends)
    return str(file.relative_to(work)).encode() + b"\n" + changed, ".build"


def _read_build_file(path: Path, work: Path) -> None:
    """A copy of the build with that file in it, read as a trainer does, then verified."""
    import shutil

    import byline
    from byline.errors import BylineError

    os.environ["BYLINE_SALT"] = "s"
    name, _, content = path.read_bytes().partition(b"\n")
    copied = work / f"copy-{os.getpid()}"
    shutil.rmtree(copied, ignore_errors=True)
    try:
        for folder in ("shards", "store"):
            shutil.copytree(work / folder, copied / folder)
        (copied / name.decode()).write_bytes(content)
        refusals = []
        for read in (_read_rows, _verify):
            try:
                read(copied, byline)
            except BylineError as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]
    finally:
        shutil.rmtree(copied, ignore_errors=True)


def _read_rows(copied: Path, byline: Any) -> None:
    rows = byline.open(str(copied / "shards"))
    for number in range(len(rows)):
        rows[number]


def _verify(copied: Path, _: Any) -> None:
    from rich.console import Console

    from byline.pipelines.jobs.verify import verify
    from byline.pipelines.runners.runner import RunnerSettings

    verify(str(copied / "shards"), 4, None, RunnerSettings(1), Console(file=io.StringIO()))


# --- tokenizers


def _prepare_tokenizers(work: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    (work / "tokenizer-bpe.json").write_text(_bpe())
    words = Tokenizer(models.WordPiece({"[UNK]": 0, "the": 1, "##s": 2, "fox": 3}, unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    (work / "tokenizer-words.json").write_text(words.to_str())
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("the", -1.0), ("fox", -2.0), ("a", -3.0)], 0, False))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    (work / "tokenizer-unigram.json").write_text(unigram.to_str())


def _make_tokenizer(chance: random.Random, work: Path) -> tuple[bytes, str]:
    content = chance.choice(sorted(work.glob("tokenizer-*.json"))).read_bytes()
    if chance.random() < 0.8:
        return json.dumps(mutated_value(chance, json.loads(content))).encode(), ".json"
    return mutated_bytes(chance, content), ".json"


def _read_tokenizer(path: Path, _: Path) -> None:
    import pyarrow as pa

    from byline.transforms.tokens.text_tokenizer import TextTokenizer

    tokenizer = TextTokenizer(str(path))
    tokenizer.encode(pa.array(["the fox", "", "é日本 \U0001f600", "<|endoftext|> a", "x" * 3000], pa.large_string()))


_RECIPES, _READING = "byline.pipelines.recipes", "byline.transforms.corpora.reading"
_CHECKS = ("byline.pipelines.jobs.verify", "byline.pipelines.jobs.plan", "byline")
TARGETS: dict[str, Target] = {
    "yaml": Target(_nothing, _make_yaml, _read_yaml, (_RECIPES,)),
    "plan": Target(_prepare_plan, _make_plan, _read_plan, (_RECIPES, *_CHECKS)),
    "models": Target(_prepare_models, _make_model, _read_model, ("byline.transforms.scores.fasttext_folding",)),
    "tables": Target(_nothing, _make_table, _read_table, ("byline.schemas.loss_table",)),
    "json": Target(_nothing, _make_json, _reader("jsonl"), (_READING, "byline.transforms.corpora.json_lines")),
    "parquet": Target(_prepare_parquet, _make_parquet, _reader("parquet"), (_READING, "pyarrow.parquet")),
    "arrow": Target(_prepare_plan, _make_build_file, _read_build_file, _CHECKS),
    "tokenizer": Target(
        _prepare_tokenizers, _make_tokenizer, _read_tokenizer, ("byline.transforms.tokens.text_tokenizer",)
    ),
}
