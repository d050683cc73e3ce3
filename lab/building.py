"""What trainings read: a study's corpora, its tokenizer, and a Byline build for each arm and evaluation.

```
OUT/corpora/sites/pages.jsonl     OUT/tokenizer.json     OUT/store            made once
OUT/builds/conditioned.yaml       OUT/builds/conditioned/_manifest.json        an arm: its configuration, its build
OUT/builds/eval-host.yaml         OUT/builds/eval-host/_manifest.json          an evaluation
```

Arms are to train on the same number of tokens. Where those that count in the loss are meant (`equal: trained`), an arm
is built once to see which share of its positions counts, and once with as many positions as that takes:

```
tokens: 4M, trained       standard      4,000,000 positions, 3,990,000 count   ->   4,010,025
                          conditioned   4,000,000 positions, 3,700,000 count   ->   4,324,324
```
"""

import io
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

import byline
from byline.errors import BylineError
from byline.lab.corpora.kinds import corpus_of
from byline.lab.corpora.tokenizers import SPECIAL_TOKEN, train_bpe, write_byte_tokenizer
from byline.lab.study import Arm, Evaluation, Study
from byline.manifest import FILE_NAME
from byline.pipelines.jobs.build import build as run_build
from byline.pipelines.recipes import load_recipe
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import merge
from byline.schemas.yaml_text import load_yaml
from byline.transforms.files.storage import write_file

# The share of positions that count differs a little between builds of two lengths, and every phase ends with a whole
# row; so many tries come within so many tokens, or rows.
_NEAR = 0.003
_NEAR_ROWS = 4
_TRIES = 3


@dataclass(frozen=True)
class ArmBuild:
    """A build that trainings read.

    Attributes:
        name: of the arm.
        out: its folder.
        trained_tokens: those that a model which attends within documents is trained on.
        positions: all of its rows.
    """

    name: str
    out: Path
    trained_tokens: int
    positions: int


class Builds:
    """Makes what is missing below a folder.

    Args:
        study: without parts.
        out: the folder.
        console: told what is made.
    """

    def __init__(self, study: Study, out: Path, console: Console) -> None:
        self.study, self.out, self.console = study, out.absolute(), console

    @cached_property
    def corpora(self) -> Path:
        """The folder of all corpora, each made at once or not at all."""
        for name, values in self.study.corpora.items():
            folder = self.out / "corpora" / name
            if not folder.exists():
                self.console.print(f"corpus    {name}", highlight=False)
                _write_corpus(name, values, folder)
        return self.out / "corpora"

    @cached_property
    def tokenizer(self) -> Path:
        """The tokenizer's file."""
        path, settings = self.out / "tokenizer.json", self.study.tokenizer
        if not path.exists():
            partial = path.with_suffix(".partial")
            self.out.mkdir(parents=True, exist_ok=True)
            if settings.kind == "bytes":
                write_byte_tokenizer(partial)
            else:
                train_bpe(partial, _texts(self.corpora / name for name in settings.texts), settings.size)
            partial.rename(path)
        return path

    def arm(self, name: str, arm: Arm, over: Mapping[str, Any] | None = None) -> ArmBuild:
        """An arm's build; `over` is merged over its configuration."""
        asked = self.study.tokens
        assert asked != "all"
        config = merge(merge(self.study.config, arm.config), over or {})
        if self.study.equal == "positions":
            return self.build(name, merge(config, {"tokens": asked}))
        return self._trained(name, config, asked)

    def evaluation(self, name: str, evaluation: Evaluation, arm_name: str, arm: Arm) -> Path:
        """The folder of an evaluation's build for an arm; arms without anything of their own share it."""
        whole = {"phases": [{"name": "main", "share": 1}], **self.study.config}
        config = merge(whole, {"tokens": "all", "mixture": "natural", "branches": []})
        if evaluation.of_arm:
            config = merge(config, arm.config)
        config = merge(config, evaluation.config)
        if evaluation.prefix:
            config = _with_condition(config, evaluation, arm.condition or self.study.condition)
        is_own = evaluation.of_arm or (evaluation.prefix and arm.condition is not None)
        return self.build(f"eval-{name}-{arm_name}" if is_own else f"eval-{name}", config).out

    def build(self, name: str, config: Mapping[str, Any]) -> ArmBuild:
        """Builds a configuration, unless that stands there."""
        out = self.out / "builds" / name
        # Not `with_suffix`, which takes `.proxy` from `doremi.proxy`, a build of its own.
        path = out.with_name(f"{name}.yaml")
        text = yaml.safe_dump(self._whole(config, out), sort_keys=False, allow_unicode=True)
        if not (out / FILE_NAME).exists() or not path.exists() or path.read_text(encoding="utf-8") != text:
            shutil.rmtree(out, ignore_errors=True)
            with write_file(str(path)) as sink:
                sink.write(text.encode())
            self.console.print(f"build     {name}", highlight=False)
            said = io.StringIO()
            run_build(load_recipe(path), RunnerSettings(workers=1), Console(file=said, width=120))
            self._show(said.getvalue(), out.with_name(f"{name}.txt"))
        phases = [phase for phase, _ in byline.read_manifest(out).training_order()]
        trained = sum(phase.loss_tokens_in_segments for phase in phases)
        return ArmBuild(name, out, trained, sum(phase.tokens for phase in phases))

    def _trained(self, name: str, config: dict[str, Any], asked: int) -> ArmBuild:
        """The build whose tokens that count are nearest to `asked`."""
        positions = self._positions_before(name) or asked
        for _ in range(_TRIES):
            made = self.build(name, merge(config, {"tokens": positions}))
            near = max(_NEAR * asked, _NEAR_ROWS * byline.open(made.out).sequence_length)
            if abs(made.trained_tokens - asked) <= near:
                return made
            positions = round(positions * asked / made.trained_tokens)
        raise BylineError(
            f"arms.{name}: {asked:,} trained tokens were asked for, and {made.positions:,} positions have "
            f"{made.trained_tokens:,}; take more `tokens`, or shorter sequences, of which each is a smaller part"
        )

    def _show(self, said: str, path: Path) -> None:
        """Keeps what a build said, and shows what it warned of."""
        path.write_text(said, encoding="utf-8")
        for line in said.splitlines():
            if line.startswith("warning"):
                self.console.print(line, highlight=False, markup=False)

    def _positions_before(self, name: str) -> int | None:
        """How many positions an earlier run came to."""
        path = self.out / "builds" / f"{name}.yaml"
        return load_yaml(path)["tokens"] if path.exists() else None

    def _whole(self, config: Mapping[str, Any], out: Path) -> dict[str, Any]:
        """A configuration with what a study says of its own: tokenizer, store, output, paths of corpora."""
        tokenizer = {"file": str(self.tokenizer), "bos": SPECIAL_TOKEN, "eos": SPECIAL_TOKEN}
        own = {"tokenizer": tokenizer, "store": str(self.out / "store"), "output": str(out)}
        return merge(own, _with_paths(config, str(self.corpora)))


def _write_corpus(name: str, values: Mapping[str, Any], folder: Path) -> None:
    kind, settings = corpus_of(values, f"corpora.{name}")
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    kind.write(settings, partial)
    partial.rename(folder)


def _with_condition(
    config: dict[str, Any], evaluation: Evaluation, condition: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The same, with a condition where the rows are from."""
    if evaluation.rows == "holdout":
        return merge(config, {"holdout": {"condition": condition}})
    return {**config, "phases": [{**phase, "condition": condition} for phase in config["phases"]]}


def _texts(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def _with_paths(value: Any, corpora: str) -> Any:
    """`{corpora}` in each text is that folder."""
    if isinstance(value, str):
        return value.replace("{corpora}", corpora)
    if isinstance(value, Mapping):
        return {key: _with_paths(item, corpora) for key, item in value.items()}
    return [_with_paths(item, corpora) for item in value] if isinstance(value, list) else value


def check_disjoint(arm: Path, evaluation: Path) -> None:
    """No document that is held out for an evaluation is in the timeline or a branch of an arm.

    Raises:
        BylineError: one is, or nothing is held out.
    """
    holdout = byline.open(evaluation).holdout
    if holdout is None:
        raise BylineError(f"{evaluation.name}: nothing is held out; give the study a `holdout`, or it `rows: all`")
    kept = _documents(byline.open(evaluation, branch=holdout))
    for branch in (None, *byline.open(arm).branches):
        if shared := kept & _documents(byline.open(arm, branch=branch)):
            source, path, row = min(shared)
            raise BylineError(
                f"{evaluation.name}: {len(shared):,} of its {len(kept):,} documents are trained on by {arm.name}, the "
                f"first is {source}, {path}, row {row}; give both the same holdout"
            )


def _documents(shards: byline.Shards) -> set[tuple[str, str, int]]:
    """Source, file and row of all documents."""
    ids = np.unique(byline.to_table(shards, ["doc_ids"])["doc_ids"].combine_chunks().values.to_numpy())
    return {shards.origin(int(one)) for one in ids if one >= 0}
