"""Tables that a trainer writes so that weights can be computed: losses by step and domain, and a graph of skills.

```
losses.csv                       LossTable                              graph.csv       SkillGraph
step,domain,loss,reference_loss  domains           c4    dclm           from,to,weight  trained \\ evaluated  c4   dclm
100,c4,3.5,3.25                  steps             100 [ 3.50  2.75 ]   c4,c4,1         c4                 [ 1.0  0.5 ]
100,dclm,2.75,2.5                losses["loss"]    200 [ 3.25  2.50 ]   c4,dclm,0.5     dclm               [ 0.0  1.0 ]
200,dclm,2.5,2.5                                                        dclm,dclm,1
200,c4,3.25,3.25
```

CSV with a header (`.csv`) or JSON lines (`.json`, `.jsonl`, `.ndjson`), rows in any order. Every step has one row for
each domain. Domains come out sorted; other columns are ignored. Messages count rows from 1, without the header.
"""

import codecs
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv
from pyarrow import json as json_lines

from byline.errors import BylineError
from byline.printable import shortened, shown
from byline.regular_files import read_regular
from byline.schemas.model import first_twice

# Whole numbers are read as float64, because many trainers write `3.0`; above this, float64 is not exact.
_LARGEST_STEP = 2**53
_NAMES = ("domain", "from", "to")
_NUMBERS = ("step", "round", "loss", "reference_loss", "excess_loss", "weight")
_SCHEMA = pa.schema([(name, pa.string()) for name in _NAMES] + [(name, pa.float64()) for name in _NUMBERS])
_SHOWN = 8
# Longer than any name of a source; a mixture is written with them.
_LONGEST_NAME = 500
_NAME = rf"^[^\x00-\x1f\x7f]{{1,{_LONGEST_NAME}}}$"
# A table of a hundred domains at a hundred thousand steps.
_MOST_BYTES = 1 << 30
# A line that does not begin with an object, or has something behind it.
_NO_OBJECT = re.compile(rb"(?m)^(?:[ \t\r]*[^{ \t\r\n]|[^\n]*[^} \t\r\n][ \t\r]*$)")


@dataclass(frozen=True)
class LossTable:
    """Losses of T steps and k domains.

    Attributes:
        domains: k names, sorted.
        steps: int64 (T,), ascending.
        losses: column -> float64 (T, k), finite and non-negative, in nats per token.
    """

    domains: tuple[str, ...]
    steps: NDArray[np.int64]
    losses: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class SkillGraph:
    """How much training on one skill helps another.

    Attributes:
        trained: k names, sorted: the skills of a mixture.
        evaluated: m names, sorted: the skills with losses.
        weights: float64 (k, m), the adjacency matrix A; zero is no edge.
    """

    trained: tuple[str, ...]
    evaluated: tuple[str, ...]
    weights: NDArray[np.float64]


def read_losses(path: Path, wanted: Sequence[tuple[str, ...]], step_names: Sequence[str] = ("step",)) -> LossTable:
    """Reads a table of losses.

    Args:
        path: the file.
        wanted: sets of columns that would do, best first; the first set that the table has is read.
        step_names: names that the column of steps may have, best first.

    Raises:
        BylineError: a column, row or value is missing, given twice, or not what was expected.
    """
    table = _read_table(path)
    chosen = next((columns for columns in wanted if set(columns) <= set(table.column_names)), None)
    step_name = next((name for name in step_names if name in table.column_names), None)
    if chosen is None or step_name is None or "domain" not in table.column_names:
        needed = f"{' or '.join(step_names)}, domain, {' or '.join(' and '.join(columns) for columns in wanted)}"
        raise _missing(path, table, needed)
    losses = {name: _numbers(path, table, name) for name in chosen}
    return _arrange(path, _steps(path, table, step_name), _texts(path, table, "domain"), losses)


def read_graph(path: Path, evaluated: Sequence[str]) -> SkillGraph:
    """Reads a skills graph; pairs that it does not list have weight zero.

    The trained skills are those under `from`. They include all, some or none of the evaluated ones (pre-training,
    fine-tuning and out-of-domain in arXiv 2307.14430, Table 1).

    Args:
        path: the file.
        evaluated: the domains with losses.

    Raises:
        BylineError: as `read_losses`; or an edge leads to a domain without losses, or some evaluated skills are trained
            and others are not.
    """
    table = _read_table(path)
    if not {"from", "to", "weight"} <= set(table.column_names):
        raise _missing(path, table, "from, to, weight")
    weights = _numbers(path, table, "weight")
    starts, ends = _texts(path, table, "from"), _texts(path, table, "to")
    trained = sorted(pc.unique(starts).to_pylist())
    known = sorted(evaluated)
    columns = pc.index_in(ends, pa.array(known, pa.string()))
    if columns.null_count:
        row = int(np.flatnonzero(columns.is_null())[0])
        raise BylineError(
            f"{path}: row {row + 1}: an edge to {ends[row].as_py()!r}, which has no losses; "
            f"expected one of {_listed(known)}"
        )
    _check_roles(path, trained, known)
    cells = _codes(starts, trained) * len(known) + columns.to_numpy().astype(np.int64)
    _check_duplicates(path, cells, "the same `from` and `to`")
    matrix = np.zeros(len(trained) * len(known))
    matrix[cells] = weights
    return SkillGraph(tuple(trained), tuple(known), matrix.reshape(len(trained), len(known)))


def identity_graph(domains: Sequence[str]) -> SkillGraph:
    """The graph in which every domain helps only itself."""
    return SkillGraph(tuple(domains), tuple(domains), np.eye(len(domains)))


def _check_roles(path: Path, trained: Sequence[str], evaluated: Sequence[str]) -> None:
    """Refuses a graph that leaves some domains out of `from`: they would silently drop out of the mixture."""
    left_out = sorted(set(evaluated) - set(trained))
    if left_out and len(left_out) < len(evaluated):
        raise BylineError(
            f"{path}: {left_out[0]!r} has losses but no row with it under `from`, while other domains have one; "
            f"add the row {left_out[0]},{left_out[0]},1 (weight 0 if it does not help itself)"
        )


def _arrange(
    path: Path, steps: NDArray[np.int64], domains: pa.Array, losses: dict[str, NDArray[np.float64]]
) -> LossTable:
    """Arranges rows in any order as (T, k) arrays; a table with gaps is refused before its arrays are allocated."""
    names = sorted(pc.unique(domains).to_pylist())
    distinct, numbers = np.unique(steps, return_inverse=True)
    cells = numbers.reshape(-1) * len(names) + _codes(domains, names)
    _check_duplicates(path, cells, "the same step and domain")
    order = np.argsort(cells)
    if len(cells) < len(distinct) * len(names):
        gaps = np.flatnonzero(cells[order] != np.arange(len(cells)))
        gap = int(gaps[0]) if len(gaps) else len(cells)
        raise BylineError(
            f"{path}: step {distinct[gap // len(names)]} has no row for domain {names[gap % len(names)]!r}; expected "
            f"one for each of {_listed(names)} (repeat a domain's last losses where a batch had none of its tokens)"
        )
    shape = (len(distinct), len(names))
    arranged = {name: values[order].reshape(shape) for name, values in losses.items()}
    return LossTable(tuple(names), distinct, arranged)


def _check_duplicates(path: Path, cells: NDArray[np.int64], what: str) -> None:
    order = np.argsort(cells, kind="stable")
    duplicates = np.flatnonzero(np.diff(cells[order]) == 0)
    if len(duplicates):
        first = duplicates[np.argmin(order[duplicates + 1])]
        raise BylineError(
            f"{path}: row {order[first + 1] + 1} has {what} as row {order[first] + 1}; expected one row, so remove one"
        )


def _steps(path: Path, table: pa.Table, name: str) -> NDArray[np.int64]:
    values = _filled(path, table, name, "a whole number").to_numpy()
    wrong = ~(np.abs(values) <= _LARGEST_STEP) | (np.floor(values) != values)
    _refuse(path, wrong, name, values, "a whole number")
    return values.astype(np.int64)


def _numbers(path: Path, table: pa.Table, name: str) -> NDArray[np.float64]:
    values = _filled(path, table, name, "a number").to_numpy()
    _refuse(path, ~np.isfinite(values), name, values, "a finite number")
    hints = {
        "weight": "zero for no edge, or more",
        "excess_loss": "zero or more, because it is clipped at zero",
    }
    _refuse(path, values < 0, name, values, hints.get(name, "a mean of -log p, which is zero or more"))
    return values


def _texts(path: Path, table: pa.Table, name: str) -> pa.Array:
    values = _filled(path, table, name, "a name")
    _refuse(path, pc.equal(values, "").to_numpy(zero_copy_only=False), name, values.to_pylist(), "a name")
    is_usable = pc.match_substring_regex(values, _NAME).to_numpy(zero_copy_only=False)
    expected = f"a name of at most {_LONGEST_NAME} characters, no control character among them"
    _refuse(path, ~is_usable, name, values.to_pylist(), expected)
    return values


def _filled(path: Path, table: pa.Table, name: str, expected: str) -> pa.Array:
    """The column as one array; every row must have a value."""
    values = pa.concat_arrays(table[name].chunks)
    _refuse(path, values.is_null().to_numpy(zero_copy_only=False), name, ["nothing"] * len(values), expected)
    return values


def _refuse(path: Path, wrong: NDArray[np.bool_], name: str, values: Sequence[object], expected: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BylineError(
            f"{path}: row {row + 1}, column {name!r}: expected {expected}, found {shortened(str(values[row]))}"
        )


def _codes(values: pa.Array, names: Sequence[str]) -> NDArray[np.int64]:
    return pc.index_in(values, pa.array(names, pa.string())).to_numpy().astype(np.int64)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _missing(path: Path, table: pa.Table, needed: str) -> BylineError:
    names = [shown(name, 60) for name in table.schema.names]
    present = ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])]) or "none of them"
    return BylineError(f"{path}: expected the columns {needed}; found {present}; write what is missing in every row")


def _read_table(path: Path) -> pa.Table:
    """The table, without columns that are empty throughout."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BylineError(f"{path}: expected a name that ends in {', '.join(_READERS)}; rename the file or convert it")
    try:
        data = read_regular(path, _MOST_BYTES).removeprefix(codecs.BOM_UTF8)
        data.decode("utf-8")
    except OSError as error:
        raise BylineError(f"{path}: cannot be read ({error.strerror or error}); give the path of a table") from None
    except UnicodeDecodeError as error:
        raise BylineError(f"{path}: byte {error.start}: not UTF-8 text; write the table as UTF-8") from None
    if not data.strip():
        raise BylineError(f"{path}: the table is empty; expected one row for each step and domain")
    try:
        table = reader(data)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:  # the latter where Arrow's own message cuts a character
        kind = "CSV with a header" if reader is _read_csv else "one JSON object a line"
        raise BylineError(f"{path}: {_explain(str(error), reader is _read_csv)}; expected {kind}") from None
    if (twice := first_twice(table.column_names)) is not None:
        raise BylineError(f"{path}: two columns are called {shown(twice)}; rename one")
    if not table.num_rows:
        raise BylineError(f"{path}: the table has no rows; expected one for each step and domain")
    return table.select([name for name in table.column_names if table[name].null_count < table.num_rows])


def _read_csv(data: bytes) -> pa.Table:
    # Only without threads do Arrow's errors name the row. Only an empty field is null: a domain may be called NA.
    return csv.read_csv(
        io.BytesIO(data),
        csv.ReadOptions(use_threads=False),
        convert_options=csv.ConvertOptions(
            column_types=_SCHEMA, null_values=[""], strings_can_be_null=False, quoted_strings_can_be_null=False
        ),
    )


def _read_json(data: bytes) -> pa.Table:
    # A first line `null` would make Arrow's parser crash; from other values it makes rows of nothing.
    if match := _NO_OBJECT.search(data):
        row = data.count(b"\n", 0, match.start())
        raise pa.ArrowInvalid(f"row {row} is no object")
    # One block, because Arrow counts an error's row within its block.
    return json_lines.read_json(
        io.BytesIO(data),
        json_lines.ReadOptions(use_threads=False, block_size=len(data)),
        json_lines.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="ignore"),
    )


_READERS: dict[str, Callable[[bytes], pa.Table]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
}


def _explain(message: str, is_csv: bool) -> str:
    """Arrow's message in one line, with rows counted from 1 without the header, and columns from 1."""
    shift = -1 if is_csv else 1
    message = re.sub(r"[Rr]ow #?(\d+)", lambda match: f"row {int(match[1]) + shift}", " ".join(message.split()))
    return re.sub(r"CSV column #(\d+)", lambda match: f"column {int(match[1]) + 1}", message)
