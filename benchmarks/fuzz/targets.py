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

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzz.builds import (
    make_build_file,
    make_planned,
    make_recipe,
    prepare_build,
    read_build_file,
    read_planned,
    read_recipe,
)
from benchmarks.fuzz.inputs import (
    corpus_reader,
    make_json,
    make_model,
    make_parquet,
    make_table,
    make_tokenizer,
    prepare_models,
    prepare_parquet,
    prepare_tokenizers,
    read_model,
    read_table,
    read_tokenizer,
)


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


_RECIPES, _READING = "byline.pipelines.recipes", "byline.transforms.corpora.reading"
_CHECKS = ("byline.pipelines.jobs.verify", "byline.pipelines.jobs.plan", "byline")
TARGETS: dict[str, Target] = {
    "yaml": Target(_nothing, make_recipe, read_recipe, (_RECIPES,)),
    "plan": Target(prepare_build, make_planned, read_planned, (_RECIPES, *_CHECKS)),
    "models": Target(prepare_models, make_model, read_model, ("byline.transforms.scores.fasttext_folding",)),
    "tables": Target(_nothing, make_table, read_table, ("byline.schemas.loss_table",)),
    "json": Target(_nothing, make_json, corpus_reader("jsonl"), (_READING, "byline.transforms.corpora.json_lines")),
    "parquet": Target(prepare_parquet, make_parquet, corpus_reader("parquet"), (_READING, "pyarrow.parquet")),
    "arrow": Target(prepare_build, make_build_file, read_build_file, _CHECKS),
    "tokenizer": Target(
        prepare_tokenizers, make_tokenizer, read_tokenizer, ("byline.transforms.tokens.text_tokenizer",)
    ),
}
