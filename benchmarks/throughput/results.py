"""What was measured: medians over the rounds, ratios, tables in Markdown, and results.json.

```
speed      MB/s    wall s   processor s   processor s a GB
ratios     speed over the plain loop's, over twice the plain loop's, over the fastest other tool's
memory     driver, largest worker: private and shared; all processes together; bytes read and written
steps      of the plain loop
```

A MB is 10^6 bytes of text (UTF-8) that was read, whatever became of it. Every figure is the median of its own.
"""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.throughput.recipes import CONDITIONED, TOKENS, Outcome

PACKAGES = ("byline", "apache-beam", "pyarrow", "numpy", "numba", "gigatoken", "tokenizers", "fasttext-community")


@dataclass
class Row:
    """One way to prepare the corpus.

    Attributes:
        name: as in the tables.
        recipe: of Byline, or the one that another tool is compared with.
        kind: `loop`, `byline` or `peer`.
        workers: processes that were asked for; None for the plain loop.
        command: of the last round, on one line.
        outcomes: one for each round.
    """

    name: str
    recipe: str
    kind: str
    workers: int | None
    command: str = ""
    outcomes: list[Outcome] = field(default_factory=list)

    def median(self, figure: Callable[[Outcome], float | None]) -> float | None:
        """The median of a figure over the rounds; None where it is unknown."""
        values = [value for value in map(figure, self.outcomes) if value is not None]
        return statistics.median(values) if values else None

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(outcome.seconds for outcome in self.outcomes)

    @property
    def cpu_seconds(self) -> float:
        """The median."""
        return statistics.median(outcome.cpu_seconds for outcome in self.outcomes)


@dataclass(frozen=True)
class Results:
    """A whole run of the benchmark.

    Attributes:
        text_bytes: of the corpus.
        corpus: what it is.
        rows: every way.
        left_out: other tools that could not be run, and why.
        rounds: how often each way was measured; other tools perhaps less.
        date, command: of the benchmark.
        notes: what else was measured, one line each.
    """

    text_bytes: int
    corpus: str
    rows: Sequence[Row]
    left_out: dict[str, str]
    rounds: int
    date: str
    command: str
    notes: Sequence[str] = ()

    def loop_of(self, row: Row) -> Row:
        """The plain loop of a row's recipe."""
        return next(loop for loop in self.rows if loop.kind == "loop" and loop.recipe == row.recipe)

    def ratios(self, row: Row) -> dict[str, float | None]:
        """A row against the plain loop of its recipe and the fastest, and cheapest, other tool."""
        loop, peers = self.loop_of(row), [peer for peer in self.rows if peer.kind == "peer"]
        speed = loop.seconds / row.seconds
        return {
            "speed_of_loop": speed,
            "speed_of_two_loops": speed / 2,
            "cpu_of_loop": row.cpu_seconds / loop.cpu_seconds,
            "speed_of_fastest_peer": min(peer.seconds for peer in peers) / row.seconds if peers else None,
            "cpu_of_cheapest_peer": row.cpu_seconds / min(peer.cpu_seconds for peer in peers) if peers else None,
        }

    def cpu_of_more_workers(self) -> dict[str, float]:
        """Processor seconds of `byline build` with the most workers over those with the fewest, by recipe."""
        ratios = {}
        for recipe in (CONDITIONED, TOKENS):
            own = [row for row in self.rows if row.kind == "byline" and row.recipe == recipe]
            own.sort(key=lambda row: row.workers or 0)
            ratios[recipe] = own[-1].cpu_seconds / own[0].cpu_seconds
        return ratios

    def to_json(self) -> dict[str, Any]:
        """Everything, each round included."""
        rows = [
            {
                **asdict(row),
                "seconds": row.seconds,
                "cpu_seconds": row.cpu_seconds,
                "megabytes_a_second": self.text_bytes / 1e6 / row.seconds,
                "cpu_seconds_a_gigabyte": row.cpu_seconds / (self.text_bytes / 1e9),
                "ratios": self.ratios(row),
            }
            for row in self.rows
        ]
        return {
            "date": self.date,
            "command": self.command,
            "machine": machine(),
            "versions": versions(),
            "corpus": self.corpus,
            "text_bytes": self.text_bytes,
            "rounds": self.rounds,
            "left_out": self.left_out,
            "cpu_of_more_workers": self.cpu_of_more_workers(),
            "notes": list(self.notes),
            "rows": rows,
        }

    def markdown(self) -> str:
        """All tables, below what they were measured on."""
        about, rounds = machine(), f"{self.rounds} round{'s' * (self.rounds > 1)}"
        libraries = ", ".join(f"{name} {number}" for name, number in versions().items())
        lines = [
            f"{self.date}, {about['processor']}, {about['cores']} cores, {about['memory_bytes'] / 2**30:.0f} GiB; "
            f"{libraries}.",
            f"{self.corpus}: {self.text_bytes / 1e6:,.1f} MB of text. Medians of {rounds}. `{self.command}`",
            *(f"{name} is left out: {reason}." for name, reason in self.left_out.items()),
            *self.notes,
        ]
        more = [
            f"{recipe}: {ratio:.2f} times the processor seconds with the most workers as with the fewest."
            for recipe, ratio in self.cpu_of_more_workers().items()
        ]
        tables = [self._speed(), self._ratios(), "\n".join(more), self._memory(), self._steps()]
        return "\n\n".join(["\n".join(f"- {line}" for line in lines), *filter(None, tables)]) + "\n"

    def _speed(self) -> str:
        def cells(row: Row) -> list[str]:
            others = row.median(lambda outcome: outcome.measured.others)
            wall = row.median(lambda outcome: outcome.measured.seconds) or row.seconds
            return [
                f"{self.text_bytes / 1e6 / row.seconds:.1f}",
                f"{row.seconds:.1f}",
                f"{row.cpu_seconds:.1f}",
                f"{row.cpu_seconds / (self.text_bytes / 1e9):.0f}",
                "-" if others is None else f"{others / wall:.1f}",
                str(len(row.outcomes)),
            ]

        head = ["", "MB/s", "wall s", "processor s", "processor s a GB", "cores busy elsewhere", "rounds"]
        return _table(head, self.rows, cells)

    def _ratios(self) -> str:
        head = [
            "",
            "speed of the loop's",
            "of two loops'",
            "processor s of the loop's",
            "speed of the fastest other tool's",
            "processor s of the cheapest other tool's",
        ]
        return _table(
            head,
            [row for row in self.rows if row.kind != "loop"],
            lambda row: ["-" if ratio is None else f"{ratio:.2f}" for ratio in self.ratios(row).values()],
        )

    def _memory(self) -> str:
        def cells(row: Row) -> list[str]:
            memory = [outcome.measured.memory for outcome in row.outcomes]
            traffic = [outcome.measured.traffic for outcome in row.outcomes]
            sizes = ("driver_private", "driver_shared", "worker_private", "worker_shared", "whole")
            return [
                *(_megabytes(getattr(one, name) for one in memory if one) for name in sizes),
                *(_megabytes(getattr(one, name) for one in traffic if one) for name in ("read", "written", "to_disk")),
            ]

        head = ["MB", "driver: private", "shared", "largest worker: private", "shared", "all processes"]
        return _table([*head, "read", "written", "to disk"], self.rows, cells)

    def _steps(self) -> str:
        loops = [row for row in self.rows if row.kind == "loop" and row.outcomes[0].steps]
        names = dict.fromkeys(name for row in loops for name in row.outcomes[0].steps or {})
        lines = [f"| step of the plain loop: processor s | {' | '.join(row.recipe for row in loops)} |"]
        lines.append(f"|---|{'---|' * len(loops)}")
        for name in names:
            cells = [_step(row, name) for row in loops]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        return "\n".join(lines) if loops else ""

    def write(self, folder: Path) -> None:
        """Writes results.json and results.md."""
        (folder / "results.json").write_text(json.dumps(self.to_json(), indent=2))
        (folder / "results.md").write_text(self.markdown())


def _table(head: Sequence[str], rows: Iterable[Row], cells: Callable[[Row], list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join([row.name, *cells(row)])} |" for row in rows)])


def _step(row: Row, name: str) -> str:
    """Processor seconds of one step of a plain loop, and its share."""
    seconds = row.median(lambda outcome: (outcome.steps or {}).get(name, {}).get("cpu_seconds"))
    return "-" if seconds is None else f"{seconds:.2f}, {seconds / row.cpu_seconds:.0%}"


def _megabytes(sizes: Iterable[int]) -> str:
    known = list(sizes)
    return f"{statistics.median(known) / 1e6:,.0f}" if known else "-"


def machine() -> dict[str, Any]:
    """What this runs on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": model, "cores": os.cpu_count(), "memory_bytes": memory, "system": platform.platform()}


def versions() -> dict[str, str]:
    """Of Python, Byline and the libraries that do the work."""
    numbers = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            continue
    return numbers
