"""Runs one target for a stated time; the package says what is printed."""

import argparse
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from benchmarks.fuzz.targets import TARGETS, Target

# A child reads so many files, so that what a library keeps is not kept for ever.
_BATCH = 200
# On a busy machine a case may take so many times the time that it keeps a core busy.
_WAITING = 10
_FAULTS = ("crash", "hang", "memory", "traceback")


def main() -> int:
    """Fuzzes, prints the counts, and returns 1 where a fault was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--target", choices=TARGETS, required=True)
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="or how many cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--memory", type=int, default=8 << 30, help="bytes of address space of a process")
    parser.add_argument("--case-seconds", type=float, default=20, help="core time that one case may take")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for the files of faults")
    arguments = parser.parse_args()
    arguments.keep = arguments.keep.absolute()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="byline-fuzz-") as folder:
        work = Path(folder)
        for module in TARGETS[arguments.target].modules:
            importlib.import_module(module)
        # In a process of its own: threads of libraries do not survive a fork.
        _, status = _in_child(lambda _: TARGETS[arguments.target].prepare(work), work / "log")
        if status != 0:
            sys.exit(_ended("the child that makes what cases are made of", status, work / "log"))
        outcomes: Counter[str] = Counter()
        kept: list[str] = []
        number, last = arguments.first, arguments.first + arguments.cases
        while number < last and time.monotonic() - started < arguments.seconds:
            number = _batch(arguments, work, number, min(number + _BATCH, last), outcomes, kept)
    counts = "  ".join(f"{name} {count:,}" for name, count in sorted(outcomes.items()))
    seconds = time.monotonic() - started
    print(f"{arguments.target:<9} seed {arguments.seed}  {sum(outcomes.values()):,} cases in {seconds:.0f} s  {counts}")
    for line in kept:
        print(f"          {line}")
    return 1 if any(outcomes[name] for name in _FAULTS) else 0


def _batch(
    arguments: argparse.Namespace, work: Path, first: int, last: int, outcomes: "Counter[str]", kept: list[str]
) -> int:
    """Reads some cases in a child; returns the number of the next case: behind the one that the child died of."""
    log = work / "log"

    def read_all(report: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (arguments.memory, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in range(first, last):
            os.write(report, f"{number}\n".encode())
            _limit(arguments.case_seconds)
            outcome, text = _read_case(TARGETS[arguments.target], arguments, number, work)
            _limit(0)
            os.write(report, f"{outcome} {' '.join(text.split())[:300]}\n".encode(errors="replace"))

    lines, status = _in_child(read_all, log)
    for begun, line in zip(lines[::2], lines[1::2], strict=False):
        outcome, _, text = line.partition(" ")
        outcomes[outcome] += 1
        if outcome in _FAULTS:
            number = int(begun)
            kept.append(f"{outcome} {text}  kept: {_keep(arguments, number, work)}")
    if len(lines) % 2:
        number, death = int(lines[-1]), _death(status)
        outcome = "hang" if death in ("SIGALRM", "SIGPROF") else "crash"
        outcomes[outcome] += 1
        kept.append(f"{outcome} {death}  kept: {_keep(arguments, number, work)}")
        return number + 1
    if status != 0:
        # Between two cases, or before the first.
        raise RuntimeError(_ended("a child that read no case just then", status, log))
    return last


def _limit(seconds: float) -> None:
    """Ends this process when it has kept a core busy so long, or waited `_WAITING` times as long; 0 ends the limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, _WAITING * seconds)


def _death(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _ended(who: str, status: int, log: Path) -> str:
    return f"{who} ended: {_death(status)}\n{log.read_text(errors='replace')}"


def _chance(arguments: argparse.Namespace, number: int) -> random.Random:
    return random.Random(f"{arguments.target} {arguments.seed} {number}")


def _keep(arguments: argparse.Namespace, number: int, work: Path) -> str:
    content, suffix = TARGETS[arguments.target].make(_chance(arguments, number), work)
    arguments.keep.mkdir(parents=True, exist_ok=True)
    path: Path = arguments.keep / f"{arguments.target}-{arguments.seed}-{number}{suffix}"
    path.write_bytes(content)
    return str(path)


def _read_case(target: Target, arguments: argparse.Namespace, number: int, work: Path) -> tuple[str, str]:
    """What became of a case, and the message if there is one."""
    from byline.errors import BylineError

    folder = work / f"case-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    try:
        content, suffix = target.make(_chance(arguments, number), work)
        path = folder / f"x{suffix}"
        path.write_bytes(content)
        target.read(path, work)
    except BylineError as error:
        return "refused", str(error)
    except MemoryError:
        return "memory", ""
    except BaseException:
        return "traceback", traceback.format_exc()[-290:]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "accepted", ""


def _in_child(work: object, log: Path) -> tuple[list[str], int]:
    """Calls a function in a child with a descriptor to report to; gives the lines, and the status of its end."""
    receive, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(receive)
            # What libraries print, and Python about its own threads, is nothing to a table of counts.
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            assert callable(work)
            work(report)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(report)
    with open(receive, errors="replace") as lines:
        read = lines.read().splitlines()
    return read, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
