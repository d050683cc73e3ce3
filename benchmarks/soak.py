"""Random small builds with random faults, for a stated time; each has to end in the bytes of a build without one.

    python -m benchmarks.soak --minutes 30 --seed 1
    python -m benchmarks.soak --trials 20 --faults kill-worker kill-driver --steps prepare assemble verify

| fault | what is done | allowed |
|---|---|---|
| kill-driver | SIGKILL of the command | the same command again: the same bytes |
| kill-worker | a signal to a worker process | goes on by itself; or one line, and as above |
| full-disk | no file may become larger than a random size | one line, and as above |
| damage | a file of a build is emptied, cut, zeroed, flipped or deleted | made again; `verify` finds it; or one line |
| two-builds | the same command twice at once | each ends well, or one says that the other writes |

Prints the seed, each trial, and how often each fault had which outcome. The exit status is 1 if any was wrong: other
bytes, a traceback, more than one line of error, a process left over, damage to a run, shard, list or manifest that
nothing tells of, or no end within two minutes. Damage to another file may stay without a word: it is harmless.
"""

import argparse
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.builds import ROOT, digests
from tests.support.corpora import SPECIAL, make_records, write_jsonl, write_recipe, write_tokenizer

FAULTS = ("kill-driver", "kill-worker", "full-disk", "damage", "two-builds")
STEPS = ("prepare", "plan", "assemble", "verify")
LIMIT_SECONDS = 120.0
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)
# A program that runs a command with every plan's scans as jobs, as those of a large store are.
PROGRAM = """
import logging
logging.getLogger().setLevel(logging.CRITICAL)
from byline.pipelines.jobs import plan
plan.is_worth_a_job = lambda size: True
from byline.pipelines import cli
cli.main()
"""


class WrongError(Exception):
    """An outcome that is not allowed."""


@dataclass
class Command:
    """A command that runs in a process group of its own, with its output in a file."""

    folder: Path
    words: list[str]
    most_bytes: int | None = None
    process: "subprocess.Popen[bytes]" = field(init=False)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / f"log-{time.monotonic_ns()}.txt"
        most = self.most_bytes

        def limit() -> None:
            if most is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *self.words],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=limit,
            )

    def group(self) -> list[int]:
        """Processes of its group that run."""
        shown = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
        lines = [line.split() for line in shown.splitlines()]
        return [int(pid) for pid, group, state in lines if int(group) == self.process.pid and state[0] != "Z"]

    def workers(self) -> list[int]:
        """Its worker processes."""
        return [pid for pid in self.group() if pid != self.process.pid]

    def end(self) -> tuple[int, str]:
        """Exit status and output; nothing may be left over."""
        try:
            status = self.process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise WrongError(f"{self.words[0]}: no end; {self.log.read_text()[-2000:]}") from None
        ends = time.monotonic() + 10
        while self.group():
            if time.monotonic() > ends:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise WrongError(f"{self.words[0]}: processes are left over")
            time.sleep(0.1)
        text = self.log.read_text(errors="replace")
        errors = [line for line in text.splitlines() if line.startswith("error ")]
        if "Traceback" in text or (status == 1 and len(errors) != 1 and self.words[0] != "verify"):
            raise WrongError(f"{self.words[0]}: rc {status}; {text[-3000:]}")
        # `verify`: not all could be compared.
        is_allowed = status in (0, 1, -signal.SIGKILL) or (self.words[0], status) == ("verify", 2)
        if not is_allowed:
            raise WrongError(f"{self.words[0]}: rc {status}; {text[-3000:]}")
        return status, text


class Trial:
    """One corpus, recipe and fault."""

    def __init__(self, folder: Path, chance: random.Random, steps: tuple[str, ...]) -> None:
        self.folder, self.chance, self.steps = folder, chance, steps
        files = chance.randint(4, 12)
        texts: list[str] = []
        for number in range(files):
            records = make_records(chance.randrange(2**31), chance.randint(5, 60))
            texts += [record.text for record in records if record.text]
            write_jsonl(folder / f"in/{number}.jsonl", records)
        write_tokenizer(folder / "tokenizer.json", texts[:100])
        self.values = self._recipe()
        self.reference = self._prepared("reference")
        started = time.monotonic()
        self.run(self.reference, "build", workers=1)
        self.seconds = time.monotonic() - started
        self.expected = digests(self.reference / "out")
        self.faulty = self._prepared("faulty")

    def _recipe(self) -> dict[str, Any]:
        chance = self.chance
        share = chance.choice([0.3, 0.5, 0.9])
        condition = {"template": chance.choice(["{host}\n", "URL: {url}\n\n"]), "dropout": chance.choice([0, 0.1])}
        return {
            "sources": {
                "mine": {
                    "format": "jsonl",
                    "path": str(self.folder / "in/*.jsonl"),
                    "fields": {"text": "body", "url": "metadata.url"},
                }
            },
            "tokenizer": {"file": str(self.folder / "tokenizer.json"), "bos": SPECIAL, "eos": SPECIAL},
            "sequence": {
                "length": chance.choice([32, 64, 128]),
                "packing": chance.choice(["document_start", "concat", "repeat_prefix", "best_fit"]),
            },
            "shard": {"sequences": chance.choice([4, 16, 64])},
            "tokens": "all",
            "seed": chance.randrange(1000),
            "phases": [
                {"name": "main", "share": share, "condition": condition},
                {"name": "end", "share": round(1 - share, 1)},
            ],
        }

    def _prepared(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        write_recipe(folder / "c.yaml", {**self.values, "store": str(folder / "store"), "output": str(folder / "out")})
        return folder

    def command(self, folder: Path, step: str, workers: int = 2, most_bytes: int | None = None) -> Command:
        """Starts a step of the build in a folder."""
        what = str(folder / "out") if step == "verify" else str(folder / "c.yaml")
        return Command(self.folder, [step, what, "--workers", str(workers)], most_bytes)

    def run(self, folder: Path, step: str, workers: int = 2) -> str:
        """Runs a step that has to end well."""
        status, text = self.command(folder, step, workers).end()
        if status != 0:
            raise WrongError(f"{step}: rc {status}; {text[-3000:]}")
        return text

    def compare(self) -> None:
        """The same bytes, and verified."""
        if digests(self.faulty / "out") != self.expected:
            raise WrongError("other bytes than without a fault")
        left = [path.name for path in self.faulty.rglob(".*") if path.name in (".byline", ".byline-lock")]
        if left:
            raise WrongError(f"left over: {left}")

    def ready(self) -> str:
        """Runs what comes before a random step; returns the step."""
        step = self.chance.choice(self.steps)
        for before in STEPS[: STEPS.index(step)]:
            if before != "plan":
                self.run(self.faulty, before, 1)
        return step

    def kill(self, of_worker: bool) -> str:
        """Kills the driver or a worker of a step at a random moment."""
        step = self.ready()
        command = self.command(self.faulty, step)
        at = time.monotonic() + self.chance.random() * self.seconds
        while command.process.poll() is None and (time.monotonic() < at or (of_worker and not command.workers())):
            time.sleep(0.01)
        victims = command.workers() if of_worker else [command.process.pid]
        if command.process.poll() is None and victims:
            os.kill(self.chance.choice(victims), self.chance.choice(SIGNALS) if of_worker else signal.SIGKILL)
        else:
            step += ", too late"
        status, text = command.end()
        note = "went on by itself" if "note worker process" in text else "no matter"
        outcome = {0: note, 1: "one line", -9: "killed"}.get(status)
        if outcome is None:
            raise WrongError(f"{step}: rc {status}; {text[-3000:]}")
        if step.startswith("verify"):
            self.run(self.faulty, "verify")
        self.run(self.faulty, "build")
        self.compare()
        return f"{step}: {outcome}, then the same bytes"

    def full_disk(self) -> str:
        """Runs a build that may not write large files."""
        status, text = self.command(self.faulty, "build", most_bytes=self.chance.choice([2000, 10_000, 40_000])).end()
        self.run(self.faulty, "build")
        self.compare()
        if status == 1 and "ulimit" not in text:
            raise WrongError(text)
        return f"{'refused in one line' if status == 1 else 'fitted'}, then the same bytes"

    def damage(self) -> str:
        """Damages a file of a build that is finished, or not yet."""
        self.run(self.faulty, "build", 1)
        is_finished = self.chance.random() < 0.5
        if not is_finished:
            (self.faulty / "out/manifest.json").unlink()
        paths = sorted(path for name in ("store", "out") for path in (self.faulty / name).rglob("*") if path.is_file())
        path = self.chance.choice(paths)
        original = path.read_bytes()
        # An empty file can only be deleted.
        how = self.chance.choice(["emptied", "cut", "zeroed", "flipped", "deleted"] if original else ["deleted"])
        self._change(path, original, how)
        status, text = self.command(self.faulty, "build").end()
        what = f"{re.sub(r'[0-9a-f]{16,}|[0-9]+', '#', path.name)} {how}"
        if status == 1:
            path.unlink(missing_ok=True)
            self.run(self.faulty, "build")
            self.compare()
            return f"{what}: named in one line, made again without it"
        is_same = digests(self.faulty / "out") == self.expected
        if is_same and path.exists() and path.read_bytes() == original:
            self.compare()
            return f"{what}: made again"
        status, text = self.command(self.faulty, "verify").end()
        if status != 0:
            return f"{what}: found by verify"
        if not is_same or path.suffix == ".arrow" or path.name == "manifest.json":
            raise WrongError(f"{path} {how}: verify finds nothing; {text}")
        self.compare()
        return f"{what}: harmless"

    def _change(self, path: Path, original: bytes, how: str) -> None:
        path.unlink()
        if how == "deleted":
            return
        flipped = bytearray(original)
        flipped[self.chance.randrange(len(original))] ^= 1 << self.chance.randrange(8)
        new = {"emptied": b"", "cut": original[: len(original) // 2], "zeroed": bytes(len(original))}
        path.write_bytes(new.get(how, bytes(flipped)))

    def two_builds(self) -> str:
        """Runs one build twice at once."""
        first = self.command(self.faulty, "build", 1)
        time.sleep(self.chance.random() * self.seconds)
        second = self.command(self.faulty, "build", 1)
        ends = [first.end(), second.end()]
        refused = sum(status != 0 for status, _ in ends)
        if refused == 2 or any(status and "writes here" not in text for status, text in ends):
            raise WrongError("\n".join(text[-1500:] for _, text in ends))
        self.run(self.faulty, "build")
        self.compare()
        return f"{'one refused in one line' if refused else 'one after the other'}, the same bytes"

    def go(self, fault: str) -> str:
        """The outcome of a fault, in words."""
        if fault.startswith("kill"):
            return self.kill(fault == "kill-worker")
        return {"full-disk": self.full_disk, "damage": self.damage, "two-builds": self.two_builds}[fault]()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--trials", type=int, default=10**9, help="at most so many of each fault")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="to kill in")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    ends, outcomes, wrong, number = time.monotonic() + 60 * arguments.minutes, Counter[str](), 0, 0
    while time.monotonic() < ends and number < arguments.trials * len(arguments.faults):
        fault = arguments.faults[number % len(arguments.faults)]
        chance = random.Random(f"{arguments.seed}/{number}")
        folder = Path(tempfile.mkdtemp(prefix="byline-soak-"))
        try:
            outcome = Trial(folder, chance, tuple(arguments.steps)).go(fault)
            shutil.rmtree(folder)
        except WrongError as error:
            wrong, outcome = wrong + 1, "WRONG"
            print(f"{folder}: {error}", flush=True)
        outcomes[f"{fault}: {outcome}"] += 1
        print(f"{number:>5} {fault}: {outcome}", flush=True)
        number += 1
    print(f"\n{number} trials, seed {arguments.seed}, {wrong} wrong")
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:>5} {outcome}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
