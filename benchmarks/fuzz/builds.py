"""Fuzzed recipes, and builds that are finished: their shards, runs, plan and manifest."""

import io
import json
import os
import random
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fuzz.mutations import mutated_bytes, mutated_value

ROOT = Path(__file__).parents[2]
SENTENCES = ["the quick brown fox", "jumps over the lazy dog"] * 5


# --- recipes


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


def make_recipe(chance: random.Random, _: Path) -> tuple[bytes, str]:
    """A recipe of configs/ with values or bytes changed, or with a tag of YAML."""
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


def read_recipe(path: Path, _: Path) -> None:
    """As every command reads its recipe."""
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


def prepare_build(work: Path) -> None:
    """A build of `_PLANNED`, and its corpora and tokenizer."""
    from rich.console import Console

    from byline.pipelines.jobs.build import build
    from byline.pipelines.recipes import load_recipe
    from byline.pipelines.runners.settings import RunnerSettings
    from tests.support.corpora import write_tokenizer

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
    write_tokenizer(work / "tokenizer.json", SENTENCES, 300)
    (work / "r.yaml").write_bytes(_dumped({**_plan_base(work), **_PLANNED}))
    build(load_recipe(work / "r.yaml"), RunnerSettings(1), Console(file=io.StringIO()))


def make_planned(chance: random.Random, work: Path) -> tuple[bytes, str]:
    """The lower half of a recipe with values changed, over the base build's sources."""
    return _dumped({**_plan_base(work), **mutated_value(chance, _PLANNED)}), ".yaml"


def read_planned(path: Path, work: Path) -> None:
    """As `byline plan`."""
    from rich.console import Console

    from byline.pipelines.console import plan_report
    from byline.pipelines.jobs import plan as job
    from byline.pipelines.recipes import load_recipe
    from byline.pipelines.runners.settings import RunnerSettings

    os.chdir(work)
    config = load_recipe(path)
    console = Console(file=io.StringIO())
    made, state = job.plan(config, RunnerSettings(1), console)
    plan_report.show(plan_report.report(made, state), console)


# --- builds


def make_build_file(chance: random.Random, work: Path) -> tuple[bytes, str]:
    """A file of the base build, changed: its name, a line end, its content."""
    files = sorted(
        [
            *work.glob("shards/*/*.arrow"),
            *work.glob("store/*/*/*.arrow"),
            work / "shards/_manifest.json",
            work / "shards/_plan.ipc",
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


def read_build_file(path: Path, work: Path) -> None:
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
    from byline.pipelines.runners.settings import RunnerSettings

    verify(str(copied / "shards"), 4, None, RunnerSettings(1), Console(file=io.StringIO()))
