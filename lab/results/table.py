"""The tables of a study, read and written as typed rows.

```
results.csv   study,arm,model,seed,step,tokens,positions,evaluation,source,metric,value    Measurement
arms.csv      arm,model,about,trained_tokens,positions,parameters                          TrainedArm
times.csv     arm,model,seed,seconds,device                                                TrainingTime
weights.csv   arm,domain,weight[,round]                                                    DomainWeight
```

Tokens are those that counted in the loss so far, positions all that were read. A branch is an arm of its own, named
`ARM/BRANCH`. The columns are the fields of the rows, in any order; one with a default may be missing, as may
`weights.csv`.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from byline.errors import BylineError
from byline.printable import shown

Row = TypeVar("Row", bound=Any)
_EXPECTED = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Measurement:
    """One number that an evaluation gave: at which step of which training, of which source's documents."""

    study: str
    arm: str
    model: str
    seed: int
    step: int
    tokens: int
    positions: int
    evaluation: str
    source: str
    metric: str
    value: float


@dataclass(frozen=True)
class TrainedArm:
    """What an arm trained on, in a model of a size."""

    arm: str
    model: str
    about: str
    trained_tokens: int
    positions: int
    parameters: int


@dataclass(frozen=True)
class TrainingTime:
    """How long a training took."""

    arm: str
    model: str
    seed: int
    seconds: float
    device: str


@dataclass(frozen=True)
class DomainWeight:
    """A domain's share of an arm's mixture, in a round of a schedule with several."""

    arm: str
    domain: str
    weight: float
    round: int = 0


@dataclass(frozen=True)
class Results:
    """All tables of a study, in the order of their files: the first arm is what others are compared with."""

    measurements: Sequence[Measurement]
    arms: Sequence[TrainedArm]
    times: Sequence[TrainingTime] = ()
    weights: Sequence[DomainWeight] = ()

    @property
    def arm_names(self) -> list[str]:
        """The arms without their branches."""
        return list(dict.fromkeys(arm.arm for arm in self.arms if "/" not in arm.arm))

    @property
    def models(self) -> list[str]:
        """From the smallest to the largest."""
        parameters = {arm.model: arm.parameters for arm in self.arms}
        return sorted(parameters, key=lambda model: parameters[model])


_FILES = {"measurements": Measurement, "arms": TrainedArm, "times": TrainingTime, "weights": DomainWeight}
_NAMES = {"measurements": "results.csv", "arms": "arms.csv", "times": "times.csv", "weights": "weights.csv"}


def read_results(folder: Path) -> Results:
    """The tables of a folder. Raises: BylineError: one is missing, empty or has a wrong value; with file and line."""
    tables: dict[str, Any] = {
        name: read_rows(folder / _NAMES[name], kind)
        for name, kind in _FILES.items()
        if name != "weights" or (folder / _NAMES[name]).exists()
    }
    for name in ("measurements", "arms"):
        if not tables[name]:
            raise BylineError(f"{folder / _NAMES[name]}: has no rows; nothing was measured")
    return Results(**tables)


def write_results(results: Results, folder: Path) -> None:
    """Writes the tables; `read_results` gives the same."""
    for name, kind in _FILES.items():
        write_rows(folder / _NAMES[name], kind, getattr(results, name))


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of a CSV file with a line of names. Raises: BylineError."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.reader(lines)
            names = next(reader, [])
            _check_names(path, names, kind)
            return [_row(path, reader.line_num, names, cells, kind) for cells in reader]
    except FileNotFoundError:
        raise BylineError(f"{path}: no such file; has the study been run?") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BylineError(f"{path}: is no CSV file ({error})") from None


def write_rows(path: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    """Writes rows with a line of names."""
    names = [field.name for field in fields(kind)]
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink, lineterminator="\n").writerows(
            [names, *([getattr(row, name) for name in names] for row in rows)]
        )


def _check_names(path: Path, names: list[str], kind: type[Any]) -> None:
    expected = {field.name: field.default is MISSING for field in fields(kind)}
    for name in names:
        if name not in expected:
            raise BylineError(f"{path}, line 1: unknown column {shown(name)}; expected {', '.join(expected)}")
    for name, is_needed in expected.items():
        if is_needed and name not in names:
            raise BylineError(f"{path}, line 1: there is no column {name}")


def _row(path: Path, number: int, names: list[str], cells: list[str], kind: type[Row]) -> Row:
    if len(cells) != len(names):
        raise BylineError(f"{path}, line {number}: expected {len(names)} values, found {len(cells)}")
    types = {field.name: field.type for field in fields(kind)}
    values: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        convert: Any = types[name]
        try:
            values[name] = convert(cell)
        except ValueError:
            raise BylineError(
                f"{path}, line {number}: {name}: expected {_EXPECTED[convert]}, found {shown(cell)}"
            ) from None
    return kind(**values)
