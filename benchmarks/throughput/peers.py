"""Other tools on the same files with the same tokenizer: datatrove's `DocumentTokenizer` and `dolma tokens`.

```
                 datatrove                                 dolma
reads            all three layouts                         JSON lines; Parquet is made JSON lines before, not timed
output           ids and borders of each task, shuffled    ids and borders, shuffled within 10,000 documents
settings         a task for each file of a layout, a       a process for each worker, defaults else
                 worker for each of ours, batches of
                 10,000 documents (its default), threads
                 of its tokenizer off, as all cores are
                 in use
```

Each is installed from PyPI with the versions of requirements-NAME.txt, in an environment of its own. One that cannot
be installed or run, or that reads less than the corpus, is left out with the reason.
"""

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Tokenizer

from benchmarks.layouts import PATTERNS
from benchmarks.throughput.corpus import Inputs, files_of, layouts_of
from benchmarks.throughput.measuring import CommandError, measure
from benchmarks.throughput.recipes import Outcome

HERE = Path(__file__).parent
# Tokens of a peer over those of Byline: they differ by white space at ends, and by names of special tokens in texts.
LEAST_TOKENS = 0.98


@dataclass(frozen=True)
class Peer:
    """One tool.

    Attributes:
        name: of its package.
        prepare: makes what it reads from the corpus, in a folder of its own; not timed.
        command: the command line, of (its environment's `bin`, inputs, that folder, where to write, workers).
        count: how many ids it wrote there.
    """

    name: str
    prepare: Callable[[Inputs, Path], None]
    command: Callable[[Path, Inputs, Path, Path, int], list[str]]
    count: Callable[[Path, Path], int]

    @property
    def requirements(self) -> Path:
        """The versions that are installed."""
        return HERE / f"requirements-{self.name}.txt"

    @property
    def version(self) -> str:
        """The version of its package."""
        match = re.search(rf"^{self.name}==(\S+)$", self.requirements.read_text(), re.MULTILINE)
        assert match is not None, self.requirements
        return match[1]

    def install(self, environments: Path, python: str, log: Path) -> Path:
        """Makes its environment of a Python unless it is there; returns its folder of programs.

        Raises:
            CommandError: it cannot be installed.
        """
        environment = environments / self.name
        stamp = environment / "requirements.txt"
        if not stamp.exists() or stamp.read_text() != self.requirements.read_text():
            shutil.rmtree(environment, ignore_errors=True)
            pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([python, "-m", "venv", str(environment)], log)
            _run([*pip, "--requirement", str(self.requirements)], log)
            shutil.copy(self.requirements, stamp)
        return environment / "bin"

    def run(self, programs: Path, inputs: Inputs, prepared: Path, output: Path, workers: int, log: Path) -> Outcome:
        """Tokenizes the corpus once, into a folder that is removed afterwards.

        Raises:
            CommandError: it failed.
        """
        shutil.rmtree(output, ignore_errors=True)
        try:
            command = self.command(programs, inputs, prepared, output, workers)
            measured = measure(command, log, {"TOKENIZERS_PARALLELISM": "false"})
            tokens = self.count(output, inputs.tokenizer)
        finally:
            shutil.rmtree(output, ignore_errors=True)
        return Outcome(measured, measured.seconds, measured.cpu_seconds, tokens)


def too_few_tokens(outcome: Outcome, expected: int) -> str | None:
    """The reason to leave out a peer that did not read the whole corpus."""
    if outcome.tokens >= LEAST_TOKENS * expected:
        return None
    return f"it wrote {outcome.tokens:,} tokens where Byline has {expected:,}: it did not read all documents"


def _run(command: list[str], log: Path) -> None:
    with log.open("ab") as sink:
        try:
            done = subprocess.run(command, stdout=sink, stderr=subprocess.STDOUT)
        except OSError as error:
            raise CommandError(f"cannot be installed: {command[0]}: {error.strerror}") from None
    if done.returncode:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
        raise CommandError(f"cannot be installed: {' '.join(last)} ({log})")


def _token_bytes(tokenizer: Path) -> int:
    """Bytes of an id as both write them: 2 where the vocabulary allows it."""
    return 2 if Tokenizer.from_file(str(tokenizer)).get_vocab_size() <= 1 << 16 else 4


# ---------------------------------------------------------------------------------------------------- datatrove


def _datatrove_command(programs: Path, inputs: Inputs, prepared: Path, output: Path, workers: int) -> list[str]:
    layouts = layouts_of(inputs.corpus)
    given = {
        "corpus": str(inputs.corpus),
        "layouts": {name: PATTERNS[name].removeprefix(f"{name}/") for name in layouts},
        "tokenizer": str(inputs.tokenizer),
        "eos": inputs.eos,
        "output": str(output),
        "tasks": max(len(files_of(inputs.corpus, name)) for name in layouts),
        "workers": workers,
        "batch_size": 10_000,
    }
    return [str(programs / "python"), str(HERE / "datatrove_pipeline.py"), json.dumps(given)]


def _datatrove_tokens(output: Path, tokenizer: Path) -> int:
    return sum(path.stat().st_size for path in output.rglob("*.ds")) // _token_bytes(tokenizer)


# -------------------------------------------------------------------------------------------------------- dolma


def _to_json_lines(inputs: Inputs, prepared: Path) -> None:
    """Text and URL of Parquet files as JSON lines."""
    for path in files_of(inputs.corpus, "refinedweb"):
        target = prepared / f"{path.stem}.json.gz"
        if not target.exists():
            part = target.with_suffix(".part")
            with gzip.open(part, "wt", encoding="utf-8", compresslevel=6) as sink:
                for batch in pq.ParquetFile(path).iter_batches(columns=["content", "url"]):
                    for row in batch.to_pylist():
                        sink.write(json.dumps({"text": row["content"], "url": row["url"]}) + "\n")
            part.rename(target)


def _dolma_command(programs: Path, inputs: Inputs, prepared: Path, output: Path, workers: int) -> list[str]:
    tokenizer = Tokenizer.from_file(str(inputs.tokenizer))
    eos = tokenizer.token_to_id(inputs.eos)
    documents = [str(inputs.corpus / PATTERNS[name]) for name in layouts_of(inputs.corpus) if name != "refinedweb"]
    documents += [str(prepared / "*.json.gz")] * any(prepared.glob("*.json.gz"))
    dtype = f"uint{8 * _token_bytes(inputs.tokenizer)}"
    return [
        *(str(programs / "dolma"), "tokens", "--documents", *documents, "--destination", str(output)),
        *("--tokenizer.name_or_path", str(inputs.tokenizer), "--tokenizer.eos_token_id", str(eos)),
        *("--processes", str(workers), "--fields.id_field_name", "url", "--dtype", dtype),
    ]


def _dolma_tokens(output: Path, tokenizer: Path) -> int:
    return sum(path.stat().st_size for path in output.rglob("*.npy")) // _token_bytes(tokenizer)


PEERS = {
    peer.name: peer
    for peer in (
        Peer("datatrove", lambda inputs, prepared: None, _datatrove_command, _datatrove_tokens),
        Peer("dolma", _to_json_lines, _dolma_command, _dolma_tokens),
    )
}
