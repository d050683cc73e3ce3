"""Attributes as the token store has them, by document."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from byline.pipelines.jobs.attribute import make_named
from byline.pipelines.runners.runner import RunnerSettings
from byline.schemas.config import Config
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
