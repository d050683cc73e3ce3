"""Which runs the token store has, which of them are used, and which are missing.

```
input files   a (3 chunks)      b              store   a-00000  a-00001         pending   a with done = (0, 1)
                                                                                          b with done = ()
files         c-00000  c-00001  merged (c-00000, c-00001)                       used      the merged run
```
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from byline.schemas.documents import InputFile
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.files import storage
from byline.transforms.store.fingerprint import changed_keys
from byline.transforms.store.run_pieces import reading_run

SOURCE_FILE = "source.json"
MODELS_FOLDER = "models"


def source_folder(store: str, source: str, fingerprint: str) -> str:
    """The folder of a source's runs; another configuration gives another folder beside it."""
    return storage.join(store, source, fingerprint[:16])


def models_folder(store: str) -> str:
    """The folder of a store for classifiers as they are folded into kernels (transforms/scores)."""
    return storage.join(store, MODELS_FOLDER)


def read_files(folder: str, known: dict[str, RunFile] | None = None) -> list[RunFile]:
    """What every file of a source's folder holds, in order of its first chunk.

    Args:
        folder: the source's.
        known: by uri, files that need not be read again; gets those that are read.
    """
    known = {} if known is None else known
    return sorted((known[uri] for uri in read_new_files(folder, known)), key=_order_of_file)


def read_new_files(folder: str, known: dict[str, RunFile], most: int | None = None) -> list[str]:
    """Adds to `known`, by uri, files of a folder that it does not hold, no more than `most`; returns all there are."""
    found = [info for info in storage.list_files(folder) if info.base_name.endswith(".arrow")]
    sizes = {storage.join(folder, info.base_name): info.size for info in found}
    new = [(uri, size) for uri, size in sizes.items() if uri not in known][:most]
    for file in storage.side_by_side(lambda item: read_run_file(*item), new):
        known[file.uri] = file
    return list(sizes)


def read_run_file(uri: str, size: int) -> RunFile:
    """What one file holds, from its footer; `size` is its bytes, which the listing has told already."""
    with storage.open_random(uri) as source, reading_run(uri):
        return RunFile.from_schema(pa.ipc.open_file(source).schema, uri, size)


def read_runs(folder: str) -> list[RunInfo]:
    """The descriptions of all chunks in a source's folder that `choose_files` takes, by path and chunk."""
    return runs_of(choose_files(read_files(folder), None))


def read_run_info(uri: str) -> RunInfo:
    """The description of one run that is no merged one, from its footer."""
    with storage.open_random(uri) as source, reading_run(uri):
        return RunInfo.from_schema(pa.ipc.open_file(source).schema, uri)


def choose_files(files: Iterable[RunFile], sizes: Mapping[tuple[str, str], int] | None) -> list[RunFile]:
    """The files that are used.

    A file counts if each of its chunks is of a current input file of the same size. Of those that share a chunk, as a
    merged run and what it was made from, the one with the most chunks is used.

    Args:
        files: of one folder.
        sizes: (source, path) -> bytes of the current input files; None where they are not known, and all count.

    Returns:
        Files that share no chunk, in order of their first one.
    """
    chosen: list[RunFile] = []
    taken: set[tuple[str, int]] = set()
    for file in sorted(files, key=lambda file: (-len(file.chunks), file.uri)):
        chunks = {(chunk.path, chunk.chunk) for chunk in file.chunks}
        if is_current(file, sizes) and taken.isdisjoint(chunks):
            taken |= chunks
            chosen.append(file)
    return sorted(chosen, key=_order_of_file)


def is_current(file: RunFile, sizes: Mapping[tuple[str, str], int] | None) -> bool:
    """Whether every chunk of a file is of an input file of this size; of any, where the sizes are not known."""
    return sizes is None or all(sizes.get(input_of(chunk)) == chunk.input_size for chunk in file.chunks)


def superseded(files: Iterable[RunFile], used: Iterable[RunFile]) -> list[str]:
    """Paths of the files, not among the used ones, of which every chunk is in a used one."""
    used = list(used)
    uris = {file.uri for file in used}
    there = {(*input_of(run), run.chunk, run.input_size) for run in runs_of(used)}
    return [
        file.uri
        for file in files
        if file.uri not in uris and all((*input_of(p), p.chunk, p.input_size) in there for p in file.chunks)
    ]


def runs_of(files: Iterable[RunFile]) -> list[RunInfo]:
    """All chunks of some files of one source, by path and chunk."""
    return sorted((chunk for file in files for chunk in file.chunks), key=order_of_run)


def run_uris(runs: Iterable[RunInfo]) -> list[str]:
    """The files that hold some chunks, each once."""
    return list(dict.fromkeys(run.uri for run in runs))


def order_of_run(run: RunInfo) -> tuple[bytes, int]:
    """Runs of a source, and the chunks of a merged run, are in this order."""
    return run.path.encode(), run.chunk


def _order_of_file(file: RunFile) -> tuple[bytes, int, str]:
    return *order_of_run(file.chunks[0]), file.uri


def input_of(run: RunInfo) -> tuple[str, str]:
    """(source, path) of a chunk's input file."""
    return run.source, run.path


def sizes_of(inputs: Iterable[InputFile]) -> dict[tuple[str, str], int]:
    """(source, path) -> bytes of the input files."""
    return {(file.source, file.path): file.size for file in inputs}


def pending_files(inputs: Iterable[InputFile], runs: Iterable[RunInfo]) -> list[InputFile]:
    """The input files of which chunks are missing, each with the chunks that are there."""
    by_file = _runs_by_file(runs)
    pending = []
    for file in inputs:
        current = [run for run in by_file[file.source, file.path] if run.input_size == file.size]
        if not _is_whole(current):
            pending.append(replace(file, done=tuple(run.chunk for run in current)))
    return pending


def stale_files(inputs: Iterable[InputFile], files: Iterable[RunFile]) -> list[RunFile]:
    """Files of the store with a chunk of an input file that has another size now."""
    sizes = sizes_of(inputs)
    return [
        file
        for file in files
        if any(sizes.get(input_of(chunk), chunk.input_size) != chunk.input_size for chunk in file.chunks)
    ]


def merged_in_vain(inputs: Iterable[InputFile], runs: Iterable[RunInfo], unused: Iterable[RunFile]) -> list[str]:
    """Why chunks that are in a merged run are missing: one line for each such run."""
    sizes, there = sizes_of(inputs), {(*input_of(run), run.chunk) for run in runs}
    notes = []
    for file in unused:
        current = [chunk for chunk in file.chunks if sizes.get(input_of(chunk)) == chunk.input_size]
        missing = [chunk for chunk in current if (*input_of(chunk), chunk.chunk) not in there]
        if missing:
            # A file that shares chunks with a used one, though each of its chunks is current, is not used either.
            other = next((chunk for chunk in file.chunks if chunk not in current), None)
            other = other or next(chunk for chunk in file.chunks if chunk not in missing)
            why, count = _why_not(other, sizes), len(missing)
            notes.append(
                f"{file.source}: {other.path} {why}; {count} other chunks that were merged with it are prepared again"
            )
    return notes


def _why_not(chunk: RunInfo, sizes: Mapping[tuple[str, str], int]) -> str:
    """Why a chunk of a merged run keeps it from being used."""
    size = sizes.get(input_of(chunk))
    if size is None:
        return "is no input file any more"
    return "has another size now" if size != chunk.input_size else "is in another merged run, too"


def whole_files(runs: Iterable[RunInfo]) -> set[tuple[str, str]]:
    """(source, path) of the input files whose every chunk is there."""
    return {key for key, some in _runs_by_file(runs).items() if _is_whole(some)}


def _runs_by_file(runs: Iterable[RunInfo]) -> dict[tuple[str, str], list[RunInfo]]:
    by_file: dict[tuple[str, str], list[RunInfo]] = defaultdict(list)
    for run in runs:
        by_file[input_of(run)].append(run)
    return by_file


def _is_whole(runs: list[RunInfo]) -> bool:
    chunks = sorted(run.chunk for run in runs)
    ends = [run.chunk for run in runs if run.last]
    return len(ends) == 1 and chunks == list(range(ends[0] + 1))


def write_settings(folder: str, chunks: dict[str, Any]) -> None:
    """Writes what a source's fingerprint was made from, beside its runs."""
    if not storage.exists(storage.join(folder, SOURCE_FILE)):
        with storage.write_file(storage.join(folder, SOURCE_FILE)) as sink:
            sink.write(json.dumps(chunks, indent=1, sort_keys=True).encode())


def nearest_change(store: str, source: str, chunks: dict[str, Any]) -> list[str]:
    """The keys that differ from the most similar configuration of the source in the store; none without one."""
    found = [info for info in storage.list_files(storage.join(store, source)) if info.base_name == SOURCE_FILE]
    changes = [changed_keys(json.loads(storage.read_bytes(info.path)), chunks) for info in found]
    return min(changes, key=len, default=[])
