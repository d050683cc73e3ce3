"""Which runs the token store has, and which are missing.

```
input files   a (3 chunks)      b              store   a-00000  a-00001         pending   a with done = (0, 1)
                                                                                          b with done = ()
```
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa

from schemas.documents import InputFile
from schemas.store import RunInfo
from transforms import storage
from transforms.fingerprint import changed_keys

SOURCE_FILE = "source.json"
# Footers are read at the same time because a read from an object store waits more than it works.
_READERS = 32


def source_folder(store: str, source: str, fingerprint: str) -> str:
    """The folder of a source's runs; another configuration gives another folder beside it."""
    return storage.join(store, source, fingerprint[:16])


def read_runs(folder: str) -> list[RunInfo]:
    """The descriptions of all runs in a source's folder, by path and chunk."""
    known: dict[str, RunInfo] = {}
    read_new_runs(folder, known)
    return sorted(known.values(), key=lambda info: (info.path.encode(), info.chunk))


def read_new_runs(folder: str, known: dict[str, RunInfo]) -> None:
    """Adds to `known`, by uri, the runs of a folder that it does not hold."""
    names = [info.base_name for info in storage.list_files(folder) if info.base_name.endswith(".arrow")]
    uris = [uri for name in names if (uri := storage.join(folder, name)) not in known]
    with ThreadPoolExecutor(_READERS) as pool:
        known.update(zip(uris, pool.map(read_run_info, uris), strict=True))


def read_run_info(uri: str) -> RunInfo:
    """The description of one run, from its footer."""
    with storage.open_random(uri) as source:
        return RunInfo.from_schema(pa.ipc.open_file(source).schema, uri)


def pending_files(inputs: Iterable[InputFile], runs: Iterable[RunInfo]) -> list[InputFile]:
    """The input files of which chunks are missing, each with the chunks that are there."""
    by_file = _runs_by_file(runs)
    pending = []
    for file in inputs:
        current = [run for run in by_file[file.source, file.path] if run.input_size == file.size]
        if not _is_whole(current):
            pending.append(replace(file, done=tuple(run.chunk for run in current)))
    return pending


def stale_runs(inputs: Iterable[InputFile], runs: Iterable[RunInfo]) -> list[RunInfo]:
    """Runs of input files that have another size now."""
    sizes = {(file.source, file.path): file.size for file in inputs}
    return [run for run in runs if run.input_size != sizes.get((run.source, run.path), run.input_size)]


def whole_files(runs: Iterable[RunInfo]) -> set[tuple[str, str]]:
    """(source, path) of the input files whose every chunk is there."""
    return {key for key, some in _runs_by_file(runs).items() if _is_whole(some)}


def _runs_by_file(runs: Iterable[RunInfo]) -> dict[tuple[str, str], list[RunInfo]]:
    by_file: dict[tuple[str, str], list[RunInfo]] = defaultdict(list)
    for run in runs:
        by_file[run.source, run.path].append(run)
    return by_file


def _is_whole(runs: list[RunInfo]) -> bool:
    chunks = sorted(run.chunk for run in runs)
    ends = [run.chunk for run in runs if run.last]
    return len(ends) == 1 and chunks == list(range(ends[0] + 1))


def write_parts(folder: str, parts: dict[str, Any]) -> None:
    """Writes what a source's fingerprint was made from, beside its runs."""
    if not storage.exists(storage.join(folder, SOURCE_FILE)):
        with storage.write_file(storage.join(folder, SOURCE_FILE)) as sink:
            sink.write(json.dumps(parts, indent=1, sort_keys=True).encode())


def nearest_change(store: str, source: str, parts: dict[str, Any]) -> list[str]:
    """The keys that differ from the most similar configuration of the source in the store; none without one."""
    found = [info for info in storage.list_files(storage.join(store, source)) if info.base_name == SOURCE_FILE]
    changes = [changed_keys(json.loads(storage.read_bytes(info.path)), parts) for info in found]
    return min(changes, key=len, default=[])
