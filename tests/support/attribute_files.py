"""Attributes as the token store has them, by document."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from byline.pipelines.jobs.attribute import make_named
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.transforms.attributes.aligning import Align, AlignWork
from byline.transforms.attributes.values import TYPES, write_values
from byline.transforms.store.attribute_columns import beside
from byline.transforms.store.state import read_state
from tests.support import small


def made(config: Config, name: str, workers: int = 1) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Makes an attribute; (source, path, row) -> its columns, and the tokens of the run."""
    make_named(config, [name], RunnerSettings(workers=workers), small.quiet())
    rows = {}
    for run in read_state(config).runs:
        (file,) = Path(run.uri).parent.glob(f"attributes/{name}/*/{Path(run.uri).name}")
        values, tokens = (pa.ipc.open_file(uri).read_all() for uri in (file, run.uri))
        assert values["shuffle_key"].to_pylist() == tokens["shuffle_key"].to_pylist()
        columns = [column for column in values.column_names if column not in ("shuffle_key", "row")]
        for value, row, ids in zip(
            values.select(columns).to_pylist(), tokens["row"].to_pylist(), tokens["tokens"].to_pylist(), strict=True
        ):
            rows[run.source, run.path, row] = {**value, "tokens": ids}
    return rows


def file_bytes(config: Config, name: str) -> dict[str, bytes]:
    """The files of an attribute by their paths in the token store."""
    store = Path(config.store)
    return {
        str(file.relative_to(store)): file.read_bytes() for file in sorted(store.glob(f"*/*/attributes/{name}/*/*"))
    }


def folder_of(column: str) -> str:
    """Where the files of a column of `align_ranges` are, beside the runs."""
    return f"attributes/{column}/0000"


def write_ranges(uri: str, rows: Mapping[int, Mapping[str, Sequence[int] | None]]) -> None:
    """Writes the values of a chunk: row -> column -> ranges of tokens, start, end, ...; None for none."""
    names = list(next(iter(rows.values()), {}))
    numbers = sorted(rows)
    values = {name: pa.array([rows[row][name] for row in numbers], TYPES["ranges"]) for name in names}
    write_values(uri, pa.array(numbers, pa.int64()), values)


def align_ranges(run: str, columns: Sequence[str], values: Sequence[str]) -> None:
    """Writes columns of ranges beside a run, each in a folder of its own, from the values of each of its chunks."""
    for column in columns:
        work = AlignWork(run, beside(run, folder_of(column)), list(values), [None] * len(values))
        Align({column: "ranges"})(work.to_json())
