"""Damages a finished build and its token store in many small ways, and counts what `byline verify` makes of each.

    python -m benchmarks.mutations [--count 500] [--seed 1] [--first 0]

```
seed 1, 500 mutations        found  not compared  harmless  missed  traceback  crash
manifest   bit flip             21             0         1       0          0      0
run        truncation           14             0         0       0          0      0
...
```

| outcome | meaning |
|---|---|
| found | exit status 1, or one line |
| not compared | exit status 2: a file is gone, and verify says so |
| harmless | exit status 0, and what the file says is what it said: bytes of JSON between values, or nothing changed; |
|  | or the file is source.json, which only explains why a source is prepared again |
| missed | exit status 0, and the file says something else |
| traceback | any error that is not one line; in `verify`, in `byline.open` or in reading the store without `verify` |
| crash | the process ended by a signal |

Each mutation follows from the seed and its number alone. The file is damaged in place, read and restored, by a
child process, so that a crash is one of the counts.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

import byline
from benchmarks.fuzz.mutations import spots_of
from byline.errors import BylineError
from byline.manifest import read_manifest
from byline.pipelines.jobs.build import build
from byline.pipelines.jobs.verify import verify
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config_file import parse_config
from byline.transforms.store.fingerprint import source_settings
from byline.transforms.store.run_reading import forget_runs, open_run, read_pieces
from byline.transforms.store.state import read_state
from byline.transforms.store.store_index import nearest_change, run_uris
from tests.support.corpora import SPECIAL, write_tokenizer

OUTCOMES = ("found", "not compared", "harmless", "missed", "traceback", "crash")
_ALONE = RunnerSettings(workers=1)
_WORDS = ["the", "fox", "reads", "a", "long", "page", "of", "tokens", "while", "rows", "follow", "each", "other"]


# -------------------------------------------------------------------------------------------------------- the build


def make_build(folder: Path) -> Path:
    """Builds a small recipe with two sources, two phases and several runs and shards; returns its output."""
    rng = np.random.default_rng(0)
    for source in ("news", "wiki"):
        (folder / source).mkdir(parents=True)
        for number in range(3):
            lines = [
                {
                    "text": " ".join(rng.choice(_WORDS, rng.integers(5, 60)).tolist()),
                    "url": f"https://site{rng.integers(9)}.example/{number}/{row}",
                    "year": int(rng.integers(1990, 2026)),
                }
                for row in range(60)
            ]
            (folder / source / f"{number}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_tokenizer(folder / "tokenizer.json", _WORDS, 350)
    source = {"format": "jsonl", "keep": {"year": "int"}}
    values = {
        "sources": {name: {**source, "path": str(folder / name / "*.jsonl")} for name in ("news", "wiki")},
        "tokenizer": {"file": str(folder / "tokenizer.json"), "eos": SPECIAL},
        "sequence": {"length": 64, "packing": "concat"},
        "shard": {"sequences": 64},
        "phases": [
            {"name": "conditioned", "share": 0.8, "condition": {"template": "URL: {host} {year}\n"}},
            {"name": "cooldown", "share": 0.2},
        ],
        "store": str(folder / "store"),
        "output": str(folder / "shards"),
    }
    build(parse_config(values, "mutations"), _ALONE, Console(file=io.StringIO()), overwrite=False)
    return folder / "shards"


# -------------------------------------------------------------------------------------------------------- mutations

Rng = np.random.Generator
# New content, or None for a file that is deleted.
Change = Callable[[bytes, bytes, Rng], bytes | None]


def _bit_flip(content: bytes, other: bytes, rng: Rng) -> bytes:
    changed = bytearray(content)
    changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _bytes_edited(content: bytes, other: bytes, rng: Rng) -> bytes:
    start, size = int(rng.integers(len(content))), int(rng.integers(1, 17))
    return content[:start] + rng.bytes(min(size, len(content) - start)) + content[start + size :]


def _end_edited(content: bytes, other: bytes, rng: Rng) -> bytes:
    """A bit of an Arrow file's footer, of its metadata or of the schema at its start."""
    size = int.from_bytes(content[-10:-6], "little") + 10
    changed = bytearray(content)
    position = int(rng.integers(max(len(content) - size - 48, 0), len(content)))
    if rng.integers(3) == 0:
        position = int(rng.integers(min(2000, len(content))))
    changed[position] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _digit_edited(content: bytes, other: bytes, rng: Rng) -> bytes:
    """One digit of what an Arrow file says of itself in JSON."""
    digits = [
        number
        for number, byte in enumerate(content)
        if byte in b"0123456789" and content[number - 2 : number] in (b'" ', b": ")
    ]
    changed = bytearray(content)
    position = digits[int(rng.integers(len(digits)))] if digits else int(rng.integers(len(content)))
    changed[position] = 48 + (changed[position] - 47) % 10
    return bytes(changed)


def _truncation(content: bytes, other: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content)))]


def _appended(content: bytes, other: bytes, rng: Rng) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 100)))


def _zeros(content: bytes, other: bytes, rng: Rng) -> bytes:
    """A block that was never written, as after a loss of power."""
    start, size = int(rng.integers(len(content))), int(rng.integers(1, 4096))
    return content[:start] + bytes(min(size, len(content) - start)) + content[start + size :]


def _swapped(content: bytes, other: bytes, rng: Rng) -> bytes:
    return other


def _deleted(content: bytes, other: bytes, rng: Rng) -> None:
    return None


def _json_edited(content: bytes, other: bytes, rng: Rng) -> bytes:
    """One value of a JSON file: another number or type, a missing or a new key."""
    values = json.loads(content)
    spots = list(spots_of(values))
    holder, key = spots[int(rng.integers(len(spots)))]
    odd: list[Any] = [None, True, "x", [], {}, float("nan"), 10**30, -1, 1e308, "\ud800", [[]], 0]
    choice = int(rng.integers(len(odd) + 4))
    if choice < len(odd):
        holder[key] = odd[choice]
    elif choice == len(odd) and isinstance(holder, dict):
        del holder[key]
    elif choice == len(odd) + 1 and isinstance(holder, dict):
        holder[f"{key} "] = holder[key]
    elif isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
        holder[key] += 1
    else:
        holder[key] = [holder[key]]
    return json.dumps(values).encode()


_OF_ANY: dict[str, Change] = {
    "bit flip": _bit_flip,
    "bytes": _bytes_edited,
    "truncation": _truncation,
    "appended": _appended,
    "zeros": _zeros,
    "swapped": _swapped,
    "deleted": _deleted,
}
_OF_ARROW: dict[str, Change] = {**_OF_ANY, "footer": _end_edited, "metadata": _digit_edited}
_OF_JSON: dict[str, Change] = {**_OF_ANY, "value": _json_edited}
# Kind of file -> its changes, and how often it is taken.
KINDS: dict[str, tuple[dict[str, Change], int]] = {
    "run": (_OF_ARROW, 4),
    "shard": (_OF_ARROW, 2),
    "manifest": (_OF_JSON, 2),
    "plan": (_OF_ARROW, 1),
    "inputs": (_OF_ARROW, 1),
    "settings": (_OF_JSON, 1),
}


@dataclass(frozen=True)
class Mutation:
    """What is done to which file; `content` is None for a file that is deleted."""

    kind: str
    change: str
    path: Path
    content: bytes | None


def files_of(out: Path) -> dict[str, list[Path]]:
    """The files of a build and its store, by kind."""
    store = Path(read_manifest(out).config["store"])
    return {
        "run": sorted(store.glob("*/*/*.arrow")),
        "shard": sorted(out.glob("*/*.arrow")),
        "manifest": [out / "_manifest.json"],
        "plan": [out / "_plan.ipc"],
        "inputs": [out / "_inputs.ipc"],
        "settings": sorted(store.glob("*/*/source.json")),
    }


def make_mutation(files: dict[str, list[Path]], seed: int, number: int) -> Mutation:
    """The mutation of a number."""
    rng = np.random.default_rng([seed, number])
    kinds = [kind for kind, (_, weight) in KINDS.items() for _ in range(weight)]
    kind = kinds[int(rng.integers(len(kinds)))]
    changes, paths = KINDS[kind][0], files[kind]
    change = list(changes)[int(rng.integers(len(changes)))]
    path = paths[int(rng.integers(len(paths)))]
    others = [other for other in (paths if len(paths) > 1 else files["run"]) if other != path]
    other = others[int(rng.integers(len(others)))].read_bytes()
    return Mutation(kind, change, path, changes[change](path.read_bytes(), other, rng))


# --------------------------------------------------------------------------------------------------------- outcomes


def try_mutation(out: Path, mutation: Mutation) -> tuple[str, str]:
    """Damages the file, lets every reader read it and restores it; returns the outcome and what was said."""
    original, config = mutation.path.read_bytes(), read_manifest(out).config
    try:
        if mutation.content is None:
            mutation.path.unlink()
        else:
            mutation.path.write_bytes(mutation.content)
        return _outcome(out, config, original, mutation)
    finally:
        mutation.path.write_bytes(original)


def _outcome(out: Path, config: dict[str, Any], original: bytes, mutation: Mutation) -> tuple[str, str]:
    try:
        status, said = _verified(out)
        for read in (lambda: _read_as_trainer(out), lambda: _read_store(config)):
            forget_runs()
            _one_line(read)
    except Exception:
        return "traceback", traceback.format_exc()
    # Settings only explain why a source is prepared again.
    if status == 0 and (mutation.kind == "settings" or meaning(mutation.content) == meaning(original)):
        return "harmless", said
    if status == 0:
        return "missed", said
    return ("found" if status == 1 else "not compared"), said


def _verified(out: Path) -> tuple[int, str]:
    text = io.StringIO()
    status = [1]

    def run() -> None:
        status[0] = verify(str(out), 8, None, _ALONE, Console(file=text, width=200))

    said = _one_line(run)
    return status[0], text.getvalue() + "".join(said)


def _one_line(call: Callable[[], object]) -> list[str]:
    """The line of a `BylineError`, if there was one."""
    try:
        call()
    except BylineError as error:
        return [str(error)]
    return []


def _read_as_trainer(out: Path) -> None:
    shards = byline.open(out)
    for row in shards:
        int(row["input_ids"].sum()), int(row["doc_ids"].max())
    shards.origin(0)


def _read_store(config_values: dict[str, Any]) -> None:
    """Reads every column of every run, as a plan and its shards do, without the checks of `verify`."""
    config = parse_config(config_values, "mutations")
    for name in config.sources:
        nearest_change(config.store, name, source_settings(config, name))
    runs = read_state(config).runs
    columns = ["shuffle_key", "row", "num_tokens", "host", "year", "num_bytes", "url", "tokens"]
    for uri in run_uris(runs):
        open_run(uri, columns[:-1]).whole()
        for _, piece in read_pieces([uri], columns, 0, 2**64 - 1):
            into = np.zeros(int(piece.index["num_tokens"].to_numpy().sum()), np.uint16)
            piece.tokens.copy(np.arange(piece.index.num_rows), into)


def meaning(content: bytes | None) -> Any:
    """All that a file says; None where it cannot be read."""
    if content is None:
        return None
    try:
        if not content.startswith(b"ARROW1"):
            return repr(json.loads(content))
        table = pa.ipc.open_file(content).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, RecursionError):
        return None
    return table.to_pylist(), table.schema, table.schema.metadata, [batch.num_rows for batch in table.to_batches()]


# ----------------------------------------------------------------------------------------------------------- running


def run_some(out: Path, seed: int, first: int, last: int) -> None:
    """What a child process does: prints a line of JSON before and after each mutation."""
    for number in range(first, last):
        mutation = make_mutation(files_of(out), seed, number)
        print(json.dumps([number, mutation.kind, mutation.change, str(mutation.path)]), flush=True)
        print(json.dumps(try_mutation(out, mutation)), flush=True)


def run_all(out: Path, seed: int, first: int, count: int) -> Counter[tuple[str, str, str]]:
    """Counts of (kind, change, outcome); prints what was missed, and every traceback and crash."""
    counts: Counter[tuple[str, str, str]] = Counter()
    originals = {path: path.read_bytes() for paths in files_of(out).values() for path in paths}
    next_number = first
    while next_number < first + count:
        child = [sys.executable, "-m", "benchmarks.mutations", "--child", str(out), "--seed", str(seed)]
        child += ["--first", str(next_number), "--count", str(first + count - next_number)]
        with subprocess.Popen(child, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            while begun := process.stdout.readline():
                number, kind, change, path = json.loads(begun)
                answer = process.stdout.readline()
                outcome, said = json.loads(answer) if answer else ("crash", "")
                counts[kind, change, outcome] += 1
                next_number = number + 1
                if outcome in ("missed", "traceback", "crash"):
                    print(f"{outcome}: mutation {number}, {change} of {path}\n{said}")
        for file, content in originals.items():
            file.write_bytes(content)
    return counts


def show(counts: Counter[tuple[str, str, str]], seed: int) -> None:
    """Prints the table."""
    rows = sorted({(kind, change) for kind, change, _ in counts})
    print(f"{f'seed {seed}, {counts.total()} mutations':<28}" + "".join(f"{outcome:>14}" for outcome in OUTCOMES))
    for kind, change in rows:
        print(f"{kind:<10} {change:<17}" + "".join(f"{counts[kind, change, outcome]:>14}" for outcome in OUTCOMES))
    totals = Counter({outcome: sum(n for key, n in counts.items() if key[2] == outcome) for outcome in OUTCOMES})
    print(f"{'all':<28}" + "".join(f"{totals[outcome]:>14}" for outcome in OUTCOMES))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first, to make them in several runs")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        run_some(options.child, options.seed, options.first, options.first + options.count)
        return
    with tempfile.TemporaryDirectory(prefix="byline-mutations-") as folder:
        show(run_all(make_build(Path(folder)), options.seed, options.first, options.count), options.seed)


if __name__ == "__main__":
    main()
