"""The faults: each is a function of a site and a source of chance, and returns its outcome in words.

| fault | what is done | allowed |
|---|---|---|
| kill-driver | SIGKILL of the command | the same command again: the same bytes; of `plan` and `verify` the same text |
| kill-worker | a signal to one worker process | goes on by itself, with a line, to the same bytes |
| kill-workers | a signal to every worker process, until the end | one line, and as for kill-driver |
| full-disk | the token store or the output is on a disk that is too small | one line, and as above |
| small-files | no file may become larger than a random size | the same |
| damage | a file of a build is emptied, cut, zeroed, flipped or deleted | made again; `verify` finds it; or one line |
| two-builds | the same command twice at once | each ends well, or one says that the other writes |
| two-commands | a build, and another command on its token store or output | the same |

Damage to a run, shard, list or manifest that nothing tells of is wrong; damage to another file may stay without a word.
"""

import os
import random
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.commands import Command, Disk, Ended, WrongError
from benchmarks.soak.disks import SmallDisk, SmallFiles
from benchmarks.soak.site import Site, contents
from tests.support.builds import digests

_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)
_POLL_SECONDS = 0.005
_TRIES = 6
_PAGE = 4096
# Steps that write nothing, and so say the same when they are run again.
_SILENT = ("plan", "verify")


class TooLateError(Exception):
    """The command ended before the fault could be brought about, so it is no trial."""


# -------------------------------------------------------------------------------------------------------------- kills


@dataclass(frozen=True)
class Moment:
    """When to kill: once a command has begun `done` files or scans and has workers, and then some seconds later.

    Attributes:
        done: files, or scans of a plan.
        seconds: to wait then.
        needs_workers: whether it waits for workers to be there.
    """

    done: int
    seconds: float
    needs_workers: bool

    @classmethod
    def drawn(cls, site: Site, step: str, chance: random.Random, *, of_worker: bool, tries: int) -> "Moment":
        """A random one; earlier with every try."""
        if not of_worker and chance.random() < 0.2:
            return cls(0, chance.uniform(0, 4) / (1 + tries), needs_workers=False)
        # A worker that has only just started is killed, too.
        done = chance.randrange(_most(site, step)) // (1 + tries)
        return cls(done, chance.choice([0, 0, 0.1, 1.5]) / (1 + tries), needs_workers=True)


def _most(site: Site, step: str) -> int:
    """How much a step writes; of `plan`, how many scans it has at least."""
    return {"prepare": site.runs, "build": site.runs + site.shards, "plan": 2, "compact": 1}.get(step, site.shards)


def _written(site: Site, step: str, command: Command) -> set[str]:
    """What there is of what a step writes: runs, shards, reports of shards, folders of scans."""
    if step == "plan":
        return {path.name for path in command.scratch.glob("byline-plan-*")}
    if step == "verify":
        beside = ("shards.txt", "runs.arrow")
        return {path.name for path in command.scratch.glob("byline-verify-*/*") if path.name not in beside}
    folders = {"prepare": [site.store], "compact": [site.store], "assemble": [site.out]}
    return {
        str(path)
        for folder in folders.get(step, [site.store, site.out])
        for path in folder.rglob("*.arrow")
        if not path.name.startswith(".")
    }


def _wait(site: Site, step: str, command: Command, moment: Moment) -> int:
    """Waits for a moment; returns how much of the step was done.

    Raises:
        TooLateError: the command has ended.
    """
    begun: set[str] = set()
    at: float | None = None
    while at is None or time.monotonic() < at:
        if not command.is_running:
            command.end()
            raise TooLateError
        begun |= _written(site, step, command)
        if at is None and len(begun) >= moment.done and (command.workers() or not moment.needs_workers):
            at = time.monotonic() + moment.seconds
        time.sleep(_POLL_SECONDS)
    return len(begun)


def _kill(site: Site, chance: random.Random, step: str, tries: int, *, of_worker: bool) -> tuple[str, Ended]:
    """Kills the driver or a worker; returns when that was, in words, and how the command ended."""
    site.reset(step, forgets_tokenizer=chance.random() < 0.1)
    moment = Moment.drawn(site, step, chance, of_worker=of_worker, tries=tries)
    before = site.text(step) if step in _SILENT else ""
    files = _files(site, step)
    command = site.start(step, scans_are_jobs=step == "plan", is_slow=True)
    done = _wait(site, step, command, moment)
    workers = command.workers()
    victims = workers if of_worker else [command.pid]
    if not victims:
        command.end()
        raise TooLateError
    with suppress(ProcessLookupError):
        os.kill(chance.choice(victims), chance.choice(_SIGNALS) if of_worker else signal.SIGKILL)
    ended = command.end()
    is_killed = ended.has_lost_worker if of_worker else ended.status == -signal.SIGKILL
    if step in _SILENT and not (ended.status == -signal.SIGKILL or ended.out == before):
        raise WrongError(f"{step} says something else\n{ended}\n{before}")
    if _files(site, step) != files:
        raise WrongError(f"{step} has written something")
    if of_worker and ended.status != 0:
        raise WrongError(f"{step}: one worker was killed, and it did not go on\n{ended}")
    if not is_killed:
        _go_on(site, step)
        raise TooLateError
    others = {"plan": "scans begun", "compact": "files there"}
    what = others.get(step, f"of {_most(site, step)} files written")
    return f"{done} {what}, {len(workers)} workers", ended


def _files(site: Site, step: str) -> list[dict[str, tuple[int, str]]]:
    """What a step that writes nothing finds."""
    return [contents(folder) for folder in (site.store, site.out)] if step in _SILENT else []


def _go_on(site: Site, step: str) -> None:
    """Runs a step that was killed again, or a build, and compares."""
    if step in (*_SILENT, "compact"):
        again = site.run(step)
        if step in _SILENT and again.out != site.text(step):
            raise WrongError(f"{step} says something else\n{again}")
    if step != "verify":
        site.run("assemble" if step == "assemble" else "build")
    site.compare(with_store=step in ("prepare", "build"))


def kill_driver(site: Site, chance: random.Random, step: str) -> str:
    """SIGKILL of a step's driver."""
    return _killed(site, chance, step, of_worker=False)


def kill_worker(site: Site, chance: random.Random, step: str) -> str:
    """A signal to one of a step's workers."""
    return _killed(site, chance, step, of_worker=True)


def _killed(site: Site, chance: random.Random, step: str, *, of_worker: bool) -> str:
    if step == "compact" and site.is_compacted:
        step = "build"
    for tries in range(_TRIES):
        with suppress(TooLateError):
            moment, ended = _kill(site, chance, step, tries, of_worker=of_worker)
            _go_on(site, step)
            went_on = "went on by itself" if ended.status == 0 else "killed, went on when run again"
            return f"{step}: {went_on}, the same bytes | {moment}"
    raise TooLateError


def kill_workers(site: Site, chance: random.Random, step: str) -> str:
    """A signal to every worker, as soon as it has begun something, until the command gives up."""
    if step == "compact" and site.is_compacted:
        step = "build"
    site.reset(step)
    command, how = site.start(step, scans_are_jobs=step == "plan", is_slow=True), chance.choice(_SIGNALS)
    killed: set[int] = set()
    while command.is_running:
        for pid in set(command.workers()) - killed:
            time.sleep(chance.choice([0, 0, 0.5]))
            with suppress(ProcessLookupError):
                os.kill(pid, how)
            killed.add(pid)
        time.sleep(_POLL_SECONDS)
    ended = command.end()
    if not killed:
        raise TooLateError
    if ended.status != 1 or "worker process" not in ended.error:
        raise WrongError(f"{step}: {len(killed)} workers were killed, and it does not say so\n{ended}")
    _go_on(site, step)
    return f"{step}: one line, went on when run again, the same bytes | {len(killed)} killed"


# ----------------------------------------------------------------------------------------------------- disks and files


def full_disk(site: Site, chance: random.Random, step: str) -> str:
    """A build whose token store or output is on a disk that is too small."""

    def disk() -> Disk:
        folder = chance.choice([site.store, site.out])
        folder.mkdir(exist_ok=True)
        sizes = [path.stat().st_size for path in (site.kept / folder.name).rglob("*") if path.is_file()]
        pages = sum(-(-size // _PAGE) for size in sizes)
        first = sum(-(-path.stat().st_size // _PAGE) for path in folder.rglob("*") if path.is_file())
        return SmallDisk(folder, _PAGE * chance.randint(first + 1, max(pages - 1, first + 1)))

    return _without_room(site, chance, disk)


def small_files(site: Site, chance: random.Random, step: str) -> str:
    """A build that may not write large files."""
    largest = max(path.stat().st_size for path in site.kept.rglob("*.arrow"))
    return _without_room(site, chance, lambda: SmallFiles(int(largest ** chance.uniform(0.6, 1))))


def _without_room(site: Site, chance: random.Random, drawn: Callable[[], Disk]) -> str:
    for _ in range(_TRIES):
        site.reset("build")
        disk = drawn()
        ended = site.start("build", chance.choice([1, 2]), disk=disk).end()
        disk.put_back()
        if ended.status == 0:
            continue
        if disk.reason not in ended.error:
            raise WrongError(f"it does not say what was refused\n{ended}")
        folders = {"token store": str(site.store), "output": str(site.out)}
        where = next((name for name, folder in folders.items() if folder in ended.error), "scratch folder")
        site.run("build")
        site.compare(with_store=True)
        return f"{where}: refused in one line, then the same bytes | {disk.size} bytes"
    raise TooLateError


def damage(site: Site, chance: random.Random, step: str) -> str:
    """Damages a file of a build that is finished, or not yet."""
    site.reset("verify")
    if chance.random() < 0.5:
        (site.out / "_manifest.json").unlink()
    paths = sorted(path for folder in (site.store, site.out) for path in folder.rglob("*") if path.is_file())
    path = chance.choice(paths)
    original = path.read_bytes()
    # An empty file can only be deleted.
    how = chance.choice(["emptied", "cut", "zeroed", "flipped", "deleted"] if original else ["deleted"])
    _change(path, original, how, chance)
    what = f"{re.sub(r'[0-9a-f]{16,}|[0-9]+', '#', path.name)} {how}"
    ended = site.start("build", 1).end()
    if ended.status == 1:
        if path.name not in ended.error:
            raise WrongError(f"{what}: the line does not name the file\n{ended}")
        path.unlink(missing_ok=True)
        site.run("build")
        site.compare()
        return f"{what}: named in one line, made again without it"
    is_same = digests(site.out) == site.expected
    if is_same and path.exists() and path.read_bytes() == original:
        site.compare()
        return f"{what}: made again"
    ended = site.start("verify", 1).end()
    if ended.status != 0:
        path.unlink(missing_ok=True)
        site.run("build")
        site.compare()
        return f"{what}: found by verify, made again without it"
    if not is_same or path.suffix in (".arrow", ".ipc") or path.name == "_manifest.json":
        raise WrongError(f"{path} {how}: verify finds nothing\n{ended}")
    site.compare()
    return f"{what}: harmless"


def _change(path: Path, original: bytes, how: str, chance: random.Random) -> None:
    path.unlink()
    if how == "deleted":
        return
    flipped = bytearray(original)
    flipped[chance.randrange(len(original))] ^= 1 << chance.randrange(8)
    new = {"emptied": b"", "cut": original[: len(original) // 2], "zeroed": bytes(len(original))}
    path.write_bytes(new.get(how, bytes(flipped)))


# ------------------------------------------------------------------------------------------------ two commands at once


def two_builds(site: Site, chance: random.Random, step: str) -> str:
    """One build twice at once."""
    return _two(site, chance, "build")


def two_commands(site: Site, chance: random.Random, step: str) -> str:
    """A build, and another command on its token store or output."""
    return _two(site, chance, chance.choice(["prepare", "assemble", "compact", "plan", "verify"]))


def _two(site: Site, chance: random.Random, other: str) -> str:
    for _ in range(_TRIES):
        site.reset(chance.choice(["build", "build", "assemble"]))
        first = site.start("build", chance.choice([1, 2]), is_slow=True)
        time.sleep(chance.uniform(0, 5))
        is_running = first.is_running
        second = site.start(other, 1, is_slow=chance.random() < 0.5)
        ends = {"build": first.end(), other if other != "build" else "second build": second.end()}
        site.run("build")
        site.compare()
        said = {name: ended.error for name, ended in ends.items() if ended.status != 0}
        if len(said) == 2 or ("build" in said and other in ("plan", "verify")):
            raise WrongError("\n".join(f"{name}: {ended}" for name, ended in ends.items()))
        for name, error in said.items():
            if not any(words in error for words in _refusals(other)):
                raise WrongError(f"{name}: {ends[name]}")
        if is_running:
            refused = f"{next(iter(said))} refused in one line" if said else "both end well"
            return f"build and {other}: {refused}, the same bytes |"
    raise TooLateError


def _refusals(other: str) -> list[str]:
    """What a command may say that comes in the middle of a build."""
    early = {"verify": ["no _manifest.json"]}
    return ["writes here", *early.get(other, ["byline prepare"] if other != "build" else [])]


Fault = Callable[[Site, random.Random, str], str]
FAULTS: dict[str, Fault] = {
    "kill-driver": kill_driver,
    "kill-worker": kill_worker,
    "kill-workers": kill_workers,
    "full-disk": full_disk,
    "small-files": small_files,
    "damage": damage,
    "two-builds": two_builds,
    "two-commands": two_commands,
}
