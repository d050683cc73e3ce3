"""Every step of a build in one thread and without Beam, each timed: the limit that `byline build` can be held against.

    python -m benchmarks.throughput.plain_loop CONFIG [--set KEY=VALUE] [--warm CONFIG] [--result FILE]

```
for each file      read, metadata, score, filter, tokenize, sort and write         a chunk at a time
once               open the token store, plan
for each shard     gather, pack, fill and write
once               manifest
```

The functions are those that the pipelines call, so the shards are the same, byte for byte. Files are synced to the disk
behind the next step, as there. `--warm` builds another recipe before, so that kernels are compiled and libraries loaded
before anything is timed. Of what a recipe may have, formatters and attributes are not part of it.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from byline.errors import BylineError
from byline.pipelines.recipes import load_recipe
from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.schemas.plan import Plan, rows_by_shard
from byline.transforms.corpora.metadata import extract_metadata
from byline.transforms.corpora.reading import read_batches
from byline.transforms.files.durable import WriteBehind
from byline.transforms.files.storage import join
from byline.transforms.filters.applying import OpenRule, open_rules
from byline.transforms.filters.filtering import filter_documents
from byline.transforms.filters.tables import rules_of
from byline.transforms.plans.planning import make_plan
from byline.transforms.scans.count_runs import count_here
from byline.transforms.scores.models_folder import models_folder
from byline.transforms.scores.scoring import Scorer, open_scorer, score_batch
from byline.transforms.shards.assembling import INDEX_NAME, AssembleJob, pack_documents, planned_phases, write_packed
from byline.transforms.shards.gathering import gather
from byline.transforms.shards.manifest_writing import write_manifest
from byline.transforms.shards.output import open_output, write_lists
from byline.transforms.shards.records import ShardMaker
from byline.transforms.shards.run_index import RunIndex
from byline.transforms.store import store_index
from byline.transforms.store.attribute_columns import NO_ATTRIBUTES
from byline.transforms.store.fingerprint import source_settings
from byline.transforms.store.input_times import note_times
from byline.transforms.store.run_reading import forget_runs
from byline.transforms.store.runs import write_run
from byline.transforms.store.state import StoreState, read_state, reread_state
from byline.transforms.tokens.text_tokenizer import shared_tokenizer, tokenizer_info
from byline.transforms.tokens.tokenizing import tokenize_batch

T = TypeVar("T")


class Clock:
    """Seconds, and processor seconds, spent in each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Adds the time of its block to a step's."""
        started, cpu_started = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] += time.perf_counter() - started
        self.cpu_seconds[name] += time.process_time() - cpu_started

    def run(self, name: str, work: Callable[[], T]) -> T:
        """Calls `work` and adds its time to a step's."""
        with self.step(name):
            return work()


def build(config: Config, clock: Clock) -> int:
    """Builds a recipe, one step after another; returns how many bytes of text (UTF-8) it read.

    Raises:
        BylineError: a mistake in the recipe or its input, or one with formatters or attributes.
    """
    if config.attributes or any(source.formatter is not None for source in config.sources.values()):
        raise BylineError("a recipe with formatters or attributes is not timed; leave them out")
    state = _prepare(config, clock)
    with clock.step("plan"):
        tokenizer = tokenizer_info(shared_tokenizer(config.tokenizer), config.tokenizer)
        uris = store_index.run_uris(state.runs)
        plan = make_plan(config, tokenizer, state.runs, lambda counter: count_here(counter, uris, NO_ATTRIBUTES))
    _assemble(config, plan, state, clock)
    return sum(run.bytes_read for run in state.runs)


def _prepare(config: Config, clock: Clock) -> StoreState:
    """Writes the token store."""
    with clock.step("open models and tokenizer"):
        models = models_folder(config.store)
        opened = [open_scorer(name, item, models) for name, item in config.classifiers.items()]
        rules = {name: open_rules(rules_of(config, name), models) for name in config.sources}
        shared_tokenizer(config.tokenizer)
    with clock.step("open the token store"):
        state = read_state(config)
        for name, folder in state.folders.items():
            store_index.write_settings(folder, source_settings(config, name))
            note_times(folder, (file for file in state.inputs if file.source == name))
    behind = WriteBehind()
    for file in state.inputs:
        scorers = [scorer for scorer in opened if scorer.name not in config.sources[file.source].score]
        _prepare_file(config, file, state, scorers, rules[file.source], behind, clock)
    clock.run("sort and write runs", behind.finish)
    return clock.run("open the token store", lambda: reread_state(state, {}))


def _prepare_file(
    config: Config,
    file: InputFile,
    state: StoreState,
    scorers: list[Scorer],
    rules: list[OpenRule],
    behind: WriteBehind,
    clock: Clock,
) -> None:
    source, tokenizer = config.sources[file.source], shared_tokenizer(config.tokenizer)
    batches = read_batches(file, source)
    while (batch := clock.run(f"read {source.format}", lambda: next(batches, None))) is not None:
        with clock.step("metadata"):
            batch = extract_metadata(batch)
        if scorers:
            with clock.step("score"):
                batch = score_batch(batch, scorers)
        with clock.step("filter"):
            batch = filter_documents(batch, rules)
        with clock.step("tokenize"):
            batch = tokenize_batch(batch, tokenizer)
        with clock.step("sort and write runs"):
            write_run(batch, state.fingerprints[file.source], state.folders[file.source], behind)


def _assemble(config: Config, plan: Plan, state: StoreState, clock: Clock) -> None:
    """Writes the shards and the manifest."""
    with clock.step("manifest"):
        maker = ShardMaker(plan.sha256, version("byline"))
        open_output(config.output, plan)
        job = AssembleJob.of(config, plan.header.tokenizer, maker)
        inputs = write_lists(config.output, plan, state.runs, maker)
        index = RunIndex.read(join(job.work, INDEX_NAME))
    forget_runs()
    behind, phases, tokenizer = WriteBehind(), planned_phases(plan), shared_tokenizer(config.tokenizer)
    for rows in rows_by_shard(plan.table):
        phase = phases[rows["phase"][0].as_py()]
        with clock.step("gather, with prefixes"):
            documents = gather(rows, index, phase.gathering, job.seed, job.length, tokenizer)
        with clock.step("pack"):
            packed = pack_documents(documents, job, phase)
        with clock.step("fill and write shards"):
            write_packed(packed, job, phase, rows["shard"][0].as_py(), behind)
    clock.run("fill and write shards", behind.finish)
    clock.run("manifest", lambda: write_manifest(config, plan, state.runs, job, inputs))


def main() -> None:
    """Builds, prints the time of each step, and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--warm", type=Path, metavar="CONFIG", help="a small recipe to build before")
    parser.add_argument("--result", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.warm is not None:
        build(load_recipe(arguments.warm), Clock())
    clock = Clock()
    text_bytes = build(load_recipe(arguments.config, arguments.settings), clock)
    seconds, cpu_seconds = sum(clock.seconds.values()), sum(clock.cpu_seconds.values())
    for name, own in clock.cpu_seconds.items():
        print(f"{name:<26} {clock.seconds[name]:8.2f} s  {own:8.2f} s of the processor  {own / cpu_seconds:6.1%}")
    speed = text_bytes / 1e6 / seconds
    print(f"{'all':<26} {seconds:8.2f} s  {cpu_seconds:8.2f} s of the processor  {speed:.1f} MB/s")
    if arguments.result is not None:
        steps = {name: {"seconds": clock.seconds[name], "cpu_seconds": own} for name, own in clock.cpu_seconds.items()}
        arguments.result.write_text(json.dumps(steps))


if __name__ == "__main__":
    main()
