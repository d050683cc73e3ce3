"""A whole run: inputs, environments of other tools, then every way in turns.

```
round 1    conditioned: plain loop, 1 worker, 2 workers    tokens: plain loop, 1 worker, 2 workers, datatrove, dolma
round 2    conditioned: plain loop, ...
```
"""

import argparse
import shlex
import shutil
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.layouts import PATTERNS
from benchmarks.throughput.corpus import (
    WARM_BYTES,
    Inputs,
    bytes_of,
    files_of,
    make_corpus,
    make_model,
    make_tokenizer,
)
from benchmarks.throughput.measuring import CommandError
from benchmarks.throughput.peers import PEERS, too_few_tokens
from benchmarks.throughput.recipes import CONDITIONED, TOKENS, Outcome, Recipes, Way
from benchmarks.throughput.results import Results, Row


class Bench:
    """One run of the benchmark, with the options of the command line."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        out = options.out.resolve()
        self.inputs_folder, self.logs, self.scratch = out / "inputs", out / "logs", out / "scratch"
        # Of a run that was stopped.
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.inputs_folder, self.logs, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        self.environments = out / "environments"
        ways = [Way(recipe, workers) for recipe in (CONDITIONED, TOKENS) for workers in (None, *options.workers)]
        self.rows = {way: Row(way.name, way.recipe, way.kind, way.workers) for way in ways}
        # Name -> its environment's programs, as long as nothing is wrong with it.
        self.programs: dict[str, Path] = {}
        self.peer_rows: dict[str, Row] = {}
        self.left_out: dict[str, str] = {}

    def run(self) -> Results:
        """Makes what is needed, and measures every way in turns.

        Raises:
            BylineError: a mistake in the options.
            CommandError: a build failed; another tool that does is left out.
        """
        inputs = self._make_inputs()
        started = time.perf_counter()
        recipes = Recipes.write(inputs, self.scratch)
        folding = time.perf_counter() - started
        self._install(inputs)
        _say("warm up")
        recipes.warm_up(self.scratch / "build", self.logs / "warm-up.log")
        for number in range(1, self.options.rounds + 1):
            for way, row in self.rows.items():
                log = self.logs / f"{row.name.replace(':', '').replace(',', '').replace(' ', '-')}.log"
                outcome = way.run(recipes, self.scratch / "build", log)
                _add(number, row, outcome, way.command(recipes, self.scratch / "build"))
            if number <= (self.options.peer_rounds or self.options.rounds):
                self._measure_peers(number, inputs)
        shutil.rmtree(self.scratch)
        return self._results(
            [f"Folding the model, once for a token store and in none of these times: {folding:.1f} s."]
        )

    def _make_inputs(self) -> Inputs:
        """Makes what was not given, and reads the raw files into the file cache."""
        _say("corpus, tokenizer, quality model")
        options, folder, size = self.options, self.inputs_folder, bytes_of(self.options.size)
        make_corpus(folder / "warm", WARM_BYTES)
        corpus = options.corpus
        if corpus is None:
            corpus = folder / options.size.replace(" ", "")
            make_corpus(corpus, size)
        inputs = Inputs(
            corpus=corpus.resolve(),
            warm=folder / "warm",
            tokenizer=(options.tokenizer or make_tokenizer(folder, size)).resolve(),
            eos=options.eos,
            model=(options.model or make_model(folder, options.dimensions, options.buckets, size)).resolve(),
            label=options.label,
        )
        for path in (path for name in PATTERNS for path in files_of(inputs.corpus, name)):
            path.read_bytes()
        return inputs

    def _install(self, inputs: Inputs) -> None:
        """Makes the environments of other tools, and what they read."""
        for name in self.options.peers:
            peer, prepared = PEERS[name], self.inputs_folder / name
            _say(f"environment of {name}")
            try:
                self.programs[name] = peer.install(
                    self.environments, self.options.peer_python, self.logs / f"{name}-installed.log"
                )
            except CommandError as error:
                self.left_out[name] = str(error)
                continue
            prepared.mkdir(exist_ok=True)
            peer.prepare(inputs, prepared)
            workers = max(self.options.workers)
            self.peer_rows[name] = Row(f"{name} {peer.version}, {workers} workers", TOKENS, "peer", workers)

    def _measure_peers(self, number: int, inputs: Inputs) -> None:
        expected, workers = self.rows[Way(TOKENS)].outcomes[-1].tokens, max(self.options.workers)
        for name in list(self.programs):
            peer, row, log = PEERS[name], self.peer_rows[name], self.logs / f"{name}.log"
            programs, prepared, output = self.programs[name], self.inputs_folder / name, self.scratch / name
            try:
                outcome = peer.run(programs, inputs, prepared, output, workers, log)
                reason = too_few_tokens(outcome, expected)
            except CommandError as error:
                reason = str(error)
            if reason is not None:
                self.left_out[name] = reason
                del self.programs[name], self.peer_rows[name]
                continue
            _add(number, row, outcome, peer.command(programs, inputs, prepared, output, workers))

    def _results(self, notes: list[str]) -> Results:
        options = self.options
        made = f"{options.size}: documentation of Python packages, copied until it is long enough"
        return Results(
            text_bytes=self.rows[Way(TOKENS)].outcomes[0].text_bytes or 0,
            corpus=made if options.corpus is None else f"the corpus in {options.corpus}",
            rows=[*self.rows.values(), *self.peer_rows.values()],
            left_out=self.left_out,
            rounds=options.rounds,
            date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            command=shlex.join(["python", "-m", "benchmarks.throughput", *sys.argv[1:]]),
            notes=notes,
        )


def _add(number: int, row: Row, outcome: Outcome, command: list[str]) -> None:
    row.outcomes.append(outcome)
    row.command = shlex.join(command)
    _say(f"round {number}  {row.name:<40} {outcome.seconds:8.1f} s  {outcome.cpu_seconds:8.1f} s of the processor")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
