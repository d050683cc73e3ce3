"""What is built of a corpus, and every way that it is built.

```
recipe         steps                                                                    ways
conditioned    read, metadata, score, tokenize, sort; best 70 %, host before them       plain loop, 1 worker, 2 workers
tokens         read, metadata, tokenize, sort; packed with an end of text behind each   the same, and datatrove, dolma
```
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.layouts import PATTERNS
from benchmarks.throughput.corpus import Inputs, layouts_of
from benchmarks.throughput.measuring import Measured, measure
from byline.manifest import read_manifest
from byline.schemas.ledger import Ledger
from byline.transforms.scores.fasttext_folding import open_model
from byline.transforms.scores.models_folder import models_folder

CONDITIONED, TOKENS = "conditioned", "tokens"
# Long enough for a large corpus to have dozens of shards, and of a length that models are trained with.
SEQUENCE_LENGTH, SHARD_SEQUENCES = 2048, 1024
# Of the small corpus that is built to load and compile with.
WARM_LENGTH, WARM_SEQUENCES = 128, 64
_BYLINE = [sys.executable, "-m", "byline.pipelines.cli"]
_PLAIN_LOOP = [sys.executable, "-m", "benchmarks.throughput.plain_loop"]


@dataclass(frozen=True)
class Outcome:
    """What one run of one way came to.

    Attributes:
        measured: of its process and those that it starts.
        seconds, cpu_seconds: of all its steps for the plain loop, without the start of its process; else of `measured`.
        tokens: how many ids it has for documents, with an end of text behind each.
        text_bytes: of UTF-8 that it read; None where it does not say.
        steps: seconds and processor seconds of each step of the plain loop.
    """

    measured: Measured
    seconds: float
    cpu_seconds: float
    tokens: int
    text_bytes: int | None = None
    steps: dict[str, dict[str, float]] | None = None


@dataclass(frozen=True)
class Recipes:
    """The recipes of a corpus as files.

    Attributes:
        folder: where they are: NAME.yaml, and warm-NAME.yaml for the small corpus.
        folded: a folder with the models as they are folded for a token store.
    """

    folder: Path
    folded: Path

    @classmethod
    def write(cls, inputs: Inputs, folder: Path) -> "Recipes":
        """Writes the recipes and folds the model."""
        recipes = cls(folder, folder / "folded")
        for name in (CONDITIONED, TOKENS):
            for warm, corpus in (("", inputs.corpus), ("warm-", inputs.warm)):
                values = _values(inputs, name, corpus)
                # Of the small corpus what is built is the same for all ways.
                values |= {"store": str(folder / "warm/store"), "output": str(folder / "warm/shards")} if warm else {}
                (folder / f"{warm}{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        open_model(str(inputs.model), str(recipes.folded))
        return recipes

    def prepare(self, output: Path) -> None:
        """Makes a folder, and that of the small corpus, empty but for the models in the token store."""
        for folder in (output, self.folder / "warm"):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self.folded, models_folder(str(folder / "store")))

    def warm_up(self, output: Path, log: Path) -> None:
        """Builds the small corpus with processes, so that kernels are compiled and tokenizer libraries compared."""
        for name in (CONDITIONED, TOKENS):
            self.prepare(output)
            measure([*_BYLINE, "build", str(self.folder / f"warm-{name}.yaml"), "--workers", "2"], log)


def _values(inputs: Inputs, name: str, corpus: Path) -> dict[str, Any]:
    length, sequences = (WARM_LENGTH, WARM_SEQUENCES) if corpus == inputs.warm else (SEQUENCE_LENGTH, SHARD_SEQUENCES)
    layouts = layouts_of(inputs.corpus)
    values: dict[str, Any] = {
        "sources": {layout: {"format": layout, "path": str(corpus / PATTERNS[layout])} for layout in layouts},
        "tokenizer": {"file": str(inputs.tokenizer), "eos": inputs.eos},
        "sequence": {"length": length, "packing": "concat"},
        "shard": {"sequences": sequences},
        "tokens": "all",
        "mixture": "natural",
        "phases": [{"name": "main", "share": 1.0}],
    }
    if name == TOKENS:
        return values
    best = {"top": 0.7, "by": "quality"}
    condition = {"template": "URL: {host}\n\n"}
    return values | {
        "classifiers": {"quality": {"model": str(inputs.model), "label": inputs.label}},
        "tokenizer": {"file": str(inputs.tokenizer), "bos": inputs.eos, "eos": inputs.eos},
        "sequence": {"length": length, "packing": "document_start"},
        "phases": [
            {"name": "conditioned", "share": 0.9, "select": best, "condition": condition},
            {"name": "cooldown", "share": 0.1, "select": best},
        ],
    }


@dataclass(frozen=True)
class Way:
    """One way to build a recipe: `byline build` with so many workers, or the plain loop if `workers` is None."""

    recipe: str
    workers: int | None = None

    @property
    def kind(self) -> str:
        """`loop` or `byline`."""
        return "loop" if self.workers is None else "byline"

    @property
    def name(self) -> str:
        """As the tables have it."""
        if self.workers is None:
            return f"{self.recipe}: plain loop"
        return f"{self.recipe}: byline build, {self.workers} worker{'s' * (self.workers > 1)}"

    def command(self, recipes: Recipes, output: Path) -> list[str]:
        """The command line, which writes its token store and shards below `output`."""
        given = [str(recipes.folder / f"{self.recipe}.yaml")]
        given += ["--set", f"store={output / 'store'}", "--set", f"output={output / 'shards'}"]
        if self.workers is not None:
            return [*_BYLINE, "build", *given, "--workers", str(self.workers)]
        warm = str(recipes.folder / f"warm-{self.recipe}.yaml")
        return [*_PLAIN_LOOP, *given, "--warm", warm, "--result", str(output / "steps.json")]

    def run(self, recipes: Recipes, output: Path, log: Path) -> Outcome:
        """Builds once, in a folder that is removed afterwards.

        Raises:
            CommandError: the build failed.
        """
        recipes.prepare(output)
        try:
            measured = measure(self.command(recipes, output), log)
            sources = Ledger.from_json(read_manifest(output / "shards").ledger).sources.values()
            tokens = sum(source.kept.tokens + source.kept.documents for source in sources)
            text_bytes = sum(source.read.bytes for source in sources)
            if self.workers is not None:
                return Outcome(measured, measured.seconds, measured.cpu_seconds, tokens, text_bytes)
            steps = json.loads((output / "steps.json").read_text())
        finally:
            shutil.rmtree(output, ignore_errors=True)
        seconds = sum(step["seconds"] for step in steps.values())
        return Outcome(
            measured, seconds, sum(step["cpu_seconds"] for step in steps.values()), tokens, text_bytes, steps
        )
