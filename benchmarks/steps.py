"""How fast each step of preparing is, in one thread and without Beam, and how much Beam adds.

    python benchmarks/steps.py CONFIG [--workers 1 2]

Prints MB of text a second for each step, for all of them in a plain loop, and for `byline prepare` with each number of
workers, in one run: quote the ratios, since machines differ and are shared. The configuration's token store is not
touched: everything is written to a temporary folder.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from byline.schemas.config import Config
from byline.schemas.config_file import load_config
from byline.schemas.documents import info_of
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.metadata import extract_metadata
from byline.transforms.corpora.reading import read_batches
from byline.transforms.filters.applying import open_rules
from byline.transforms.filters.filtering import filter_documents
from byline.transforms.filters.tables import rules_of
from byline.transforms.scores.scoring import open_scorer, score_batch
from byline.transforms.store.runs import write_run
from byline.transforms.tokens.text_tokenizer import shared_tokenizer
from byline.transforms.tokens.tokenizing import tokenize_batch

T = TypeVar("T")


class Clock:
    """Seconds spent in each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def run(self, step: str, work: Callable[[], T]) -> T:
        """Calls `work` and adds its time to a step's."""
        started = time.perf_counter()
        result = work()
        self.seconds[step] += time.perf_counter() - started
        return result


def plain_loop(config: Config, folder: str) -> tuple[int, Clock]:
    """Every step on every batch, one after another; returns bytes of text and the clock."""
    clock = Clock()
    tokenizer = shared_tokenizer(config.tokenizer)
    opened = [open_scorer(name, item, f"{folder}/models") for name, item in config.classifiers.items()]
    size = 0
    for name, source in config.sources.items():
        scorers = [scorer for scorer in opened if scorer.name not in source.score]
        rules = open_rules(rules_of(config, name), f"{folder}/models")
        for file in list_inputs(name, source):
            batches = read_batches(file, source)
            while (batch := clock.run(f"read {source.format}", lambda b=batches: next(b, None))) is not None:
                size += info_of(batch).bytes_read
                batch = clock.run("metadata", lambda b=batch: extract_metadata(b))
                if scorers:
                    batch = clock.run("score", lambda b=batch, s=scorers: score_batch(b, s))
                batch = clock.run("filter", lambda b=batch, r=rules: filter_documents(b, r))
                batch = clock.run("tokenize", lambda b=batch: tokenize_batch(b, tokenizer))
                clock.run("sort and write", lambda b=batch: write_run(b, "0" * 64, f"{folder}/plain"))
    return size, clock


def with_beam(config: str, workers: int, folder: str) -> tuple[float, int]:
    """Seconds of `byline prepare` as a process, and the peak memory of its largest process in bytes."""
    command = [sys.executable, "-m", "byline.pipelines.cli", "prepare", config, "--workers", str(workers)]
    command += ["--set", f"store={folder}/store-{workers}"]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    print(f"{os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        # Kernels are compiled, and the tokenizer's cache filled, before anything is timed.
        plain_loop(config, folder)
        size, clock = plain_loop(config, folder)
        for step, seconds in clock.seconds.items():
            print(f"{step:<18} {seconds:7.2f} s  {seconds / sum(clock.seconds.values()):6.1%} of the loop")
        loop = size / 1e6 / sum(clock.seconds.values())
        print(f"{'plain loop':<18} {sum(clock.seconds.values()):7.2f} s  {loop:7.1f} MB/s")
        for workers in arguments.workers:
            seconds, memory = with_beam(str(arguments.config), workers, folder)
            speed, name = size / 1e6 / seconds, f"prepare, {workers} workers"
            print(f"{name:<18} {seconds:7.2f} s  {speed:7.1f} MB/s, {speed / loop:.2f} of the loop, start included")
            print(f"{'':<18} largest process {memory / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
