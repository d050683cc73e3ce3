"""Tables of a swarm in the form that Olmix publishes (arXiv 2602.12237): the mixture and the metrics of each proxy run.

```
ratios.csv                     metrics.csv                    priors.yaml
run,name,index,code,web        run,name,index,code,web        priors:
run-0000,run-0000,0,0.3,0.7    run-0000,run-0000,0,1.9,3.1      relative_sizes: {code: 0.25, web: 0.75}
run-0001,run-0001,1,0.1,0.9    run-0001,run-0001,1,2.2,3.0      token_counts: {code: 1000, web: 3000}
```

The tables are joined by `run` (or `run_id`). `name`, `index` and columns without a name are of no account; every other
column of `ratios.csv` is a domain, every other one of `metrics.csv` a metric, of which lower is better. Messages count
rows from 1, without the header.
"""

import codecs
import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from byline.errors import BylineError
from byline.printable import printable, shown
from byline.regular_files import read_regular
from byline.schemas.model import TokenCount, first_twice
from byline.schemas.yaml_text import load_yaml

Array = NDArray[np.float64]

RATIOS, METRICS, PRIORS = "ratios.csv", "metrics.csv", "priors.yaml"
_RUN_NAMES = ("run", "run_id")
# What Olmix's reader leaves out, too; `Unnamed` is how pandas calls the column of its row numbers.
_NO_VALUES = re.compile(r"run|run_id|name|index|Unnamed.*|\s*")
# How far a run's shares may be from one, as in Olmix's reader.
_SUM_TOLERANCE = 0.01
# A hundred thousand runs of a hundred domains.
_MOST_BYTES = 256 << 20
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,500}")
_LISTED = 8


@dataclass(frozen=True)
class Swarm:
    """N proxy runs on mixtures of k domains, and their m metrics.

    Attributes:
        runs: N names, in the order of `ratios.csv`.
        domains: k names, sorted.
        metrics: m names, in the order of the file, or as they were asked for.
        ratios: float64 (N, k), each row sums to one.
        losses: float64 (N, m), finite and non-negative; lower is better.
    """

    runs: tuple[str, ...]
    domains: tuple[str, ...]
    metrics: tuple[str, ...]
    ratios: Array
    losses: Array


def read_swarm(ratios: Path, metrics: Path, targets: Sequence[str] = ()) -> Swarm:
    """Reads and joins both tables.

    Args:
        ratios, metrics: the files.
        targets: the metrics that are wanted; none for all. Other columns may hold anything.

    Raises:
        BylineError: a column, run or number is missing, given twice, or not what was expected; one line.
    """
    shares, measured = _CsvTable.read(ratios), _CsvTable.read(metrics)
    domains, names = sorted(shares.value_names), list(targets) or measured.value_names
    if len(domains) < 2:
        raise BylineError(f"{ratios}: found {len(domains)} domains; a mixture needs at least two, a column each")
    if (twice := first_twice(names)) is not None:
        raise BylineError(f"{metrics}: the metric {shown(twice)} was asked for twice; give it once")
    for name in names:
        if name not in measured.value_names:
            raise BylineError(f"{metrics}: there is no metric {shown(name)}; found {_listed(measured.value_names)}")
    if not names:
        raise BylineError(f"{metrics}: there is no metric beside {', '.join(measured.header)}; write a column for each")
    _check_same_runs(shares, measured)
    row_of = {run: row for row, run in enumerate(measured.runs)}
    losses = measured.numbers(names)[[row_of[run] for run in shares.runs]]
    return Swarm(tuple(shares.runs), tuple(domains), tuple(names), _shares(shares, domains), losses)


def read_token_counts(path: Path, domains: Sequence[str]) -> Array:
    """float64 (k,): the tokens that there are of each domain, from `priors.token_counts`.

    Raises:
        BylineError: there is no such key, or it has other domains or no counts.
    """
    values = load_yaml(path)
    priors = values.get("priors", values) if isinstance(values, dict) else None
    counts = priors.get("token_counts") if isinstance(priors, dict) else None
    if not isinstance(counts, dict):
        raise BylineError(f"{path}: expected `priors: {{token_counts: {{NAME: TOKENS, ...}}}}`")
    if missing := [name for name in domains if name not in counts]:
        raise BylineError(
            f"{path}: token_counts has no {shown(missing[0])}; expected one for each of {_listed(domains)}"
        )
    for name in domains:
        count = counts[name]
        if isinstance(count, bool) or not isinstance(count, (int, float)) or not (math.isfinite(count) and count > 0):
            raise BylineError(f"{path}: token_counts.{name}: expected a number of tokens above 0, found {shown(count)}")
    return np.array([counts[name] for name in domains], np.float64)


def token_count(text: str) -> int:
    """A number of tokens as a recipe writes it: `20M`. Raises: BylineError."""
    try:
        count = TypeAdapter(TokenCount).validate_python(text)
    except ValidationError as error:
        raise BylineError(f"tokens: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if not isinstance(count, int) or count < 1:
        raise BylineError(f"tokens: expected a number of tokens such as 20M, found {shown(text)}")
    return count


def runs_text(names: Sequence[str], runs: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """`ratios.csv` or `metrics.csv`: a row of values, written as they are, for each run."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["run", "name", "index", *names])
    for number, (run, row) in enumerate(zip(runs, rows, strict=True)):
        writer.writerow([run, run, number, *row])
    return sink.getvalue()


def priors_text(header: Sequence[str], counts: Mapping[str, int]) -> str:
    """`priors.yaml`, as `olmix priors compute` writes it; `header` lines become comments."""
    total = sum(counts.values())
    priors = {
        "relative_sizes": {name: round(count / total, 6) for name, count in counts.items()},
        "token_counts": dict(counts),
    }
    lines = "".join(f"# {printable(line)}\n" for line in header)
    return lines + yaml.safe_dump({"priors": priors}, sort_keys=False, allow_unicode=True)


@dataclass(frozen=True)
class _CsvTable:
    """A file's cells.

    Attributes:
        path: of the file.
        header: names of the columns.
        runs: the name of each row's run.
        rows: the cells.
    """

    path: Path
    header: list[str]
    runs: list[str]
    rows: list[list[str]]

    @classmethod
    def read(cls, path: Path) -> "_CsvTable":
        header, *rows = _cells(path)
        if (twice := first_twice([name for name in header if not _NO_VALUES.fullmatch(name)])) is not None:
            raise BylineError(f"{path}: two columns are called {shown(twice)}; rename one")
        run_name = next((name for name in _RUN_NAMES if name in header), None)
        if run_name is None:
            raise BylineError(f"{path}: expected a column `run` or `run_id`; found {_listed(header)}")
        for name in header:
            if not (_NO_VALUES.fullmatch(name) or _NAME.fullmatch(name)):
                raise BylineError(f"{path}: {shown(name)}: expected a name of at most 500 characters on one line")
        runs = [row[header.index(run_name)] for row in rows]
        if (twice := first_twice(runs)) is not None:
            raise BylineError(f"{path}: the run {shown(twice)} has two rows; remove one")
        return cls(path, header, runs, rows)

    @property
    def value_names(self) -> list[str]:
        return [name for name in self.header if not _NO_VALUES.fullmatch(name)]

    def numbers(self, names: Sequence[str]) -> Array:
        """float64 (rows, names)."""
        columns = [self.header.index(name) for name in names]
        return np.array([[self._number(row, column) for column in columns] for row in range(len(self.rows))])

    def _number(self, row: int, column: int) -> float:
        text = self.rows[row][column]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise BylineError(
                f"{self.path}: row {row + 1}, column {shown(self.header[column])}: expected a finite number, zero or "
                f"more, found {shown(text) if text else 'nothing'}"
            )
        return value


def _cells(path: Path) -> list[list[str]]:
    """Header and rows, each as long as the header; at least one row."""
    try:
        data = read_regular(path, _MOST_BYTES).removeprefix(codecs.BOM_UTF8)
        rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True) if row]
    except OSError as error:
        raise BylineError(f"{path}: cannot be read ({error.strerror or error}); give the path of a table") from None
    except UnicodeDecodeError as error:
        raise BylineError(f"{path}: byte {error.start}: not UTF-8 text; write the table as UTF-8") from None
    except csv.Error as error:
        raise BylineError(f"{path}: not CSV ({error}); expected a header and one row for each run") from None
    if len(rows) < 2:
        raise BylineError(f"{path}: the table has no rows; expected a header and one row for each run")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise BylineError(f"{path}: row {number} has {len(row)} values; expected {len(rows[0])}, one a column")
    return rows


def _check_same_runs(shares: _CsvTable, measured: _CsvTable) -> None:
    for one, other in ((shares, measured), (measured, shares)):
        if only := sorted(set(one.runs) - set(other.runs)):
            raise BylineError(
                f"{one.path}: {_listed([shown(run) for run in only])}: not in {other.path}; "
                f"expected the same runs in both, so remove a run that was not finished"
            )


def _shares(table: _CsvTable, domains: Sequence[str]) -> Array:
    values = table.numbers(domains)
    sums = values.sum(axis=1)
    wrong = np.abs(sums - 1) > _SUM_TOLERANCE
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BylineError(f"{table.path}: row {row + 1}: the shares sum to {sums[row]:g}; expected 1")
    for name, column in zip(domains, values.T, strict=True):
        if not column.any():
            raise BylineError(
                f"{table.path}: {shown(name)} has no share in any run, so nothing is known of it; remove its column"
            )
    return values / sums[:, None]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(printable(name) for name in names[:_LISTED]) + more
