"""Which runs the token store has, which of them are used, and which are missing.

```
input files   a (3 chunks)      b              store   a-00000  a-00001         pending   a with done = (0, 1)
                                                                                          b with done = ()
files         c-00000  c-00001  merged (c-00000, c-00001)                       used      the merged run
```
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pyarrow.fs import FileInfo

from byline.schemas.documents import InputFile
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.files import storage
from byline.transforms.files.sealed_files import open_sealed
from byline.transforms.store.fingerprint import changed_keys
from byline.transforms.store.input_times import read_times
from byline.transforms.store.run_names import check_name
from byline.transforms.store.run_pieces import reading_run

# (source, path) -> `InputFile.identity`.
Identities = dict[tuple[str, str], tuple[int, int]]

SOURCE_FILE = "source.json"


def source_folder(store: str, source: str, fingerprint: str) -> str:
    """The folder of a source's runs; another configuration of the source has its own folder beside it."""
    return storage.join(store, source, fingerprint[:16])


def read_files(folder: str, known: dict[str, RunFile] | None = None) -> list[RunFile]:
    """Describes every file in a source's folder, in order of its first chunk.

    Args:
        folder: of the source's runs.
        known: uri -> files that need not be read again; those that are read are added.
    """
    known = {} if known is None else known
    return sorted((known[uri] for uri in read_new_files(folder, known)), key=_order_of_file)


def read_new_files(folder: str, known: dict[str, RunFile], most: int | None = None) -> list[str]:
    """Adds at most `most` files of a folder to `known` (by uri) that it lacks; returns the uris of all its files."""
    infos = [info for info in storage.list_files(folder, recursive=False) if info.base_name.endswith(".arrow")]
    sizes = {storage.join(folder, info.base_name): info.size for info in infos}
    new = [(uri, size) for uri, size in sizes.items() if uri not in known][:most]
    times = read_times(folder) if new else {}
    for file in storage.side_by_side(lambda item: read_run_file(*item), new):
        known[file.uri] = file.with_times(times)
    return list(sizes)


def read_run_file(uri: str, size: int) -> RunFile:
    """Describes one file, from its footer; `size` is its size in bytes, which the listing already told.

    Raises:
        BylineError: its footer is damaged, or it is another run than its name says.
    """
    with storage.open_random(uri) as source, reading_run(uri):
        file = RunFile.from_schema(open_sealed(source).schema, uri, size)
    check_name(file, uri)
    return file


def read_runs(folder: str) -> list[RunInfo]:
    """The descriptions of all chunks in the files of a source's folder that `choose_files` takes, by path and chunk."""
    return runs_of(choose_files(read_files(folder), None))


def read_run_info(uri: str) -> RunInfo:
    """The description of one run that is not merged, from its footer."""
    with storage.open_random(uri) as source, reading_run(uri):
        return RunInfo.from_schema(open_sealed(source).schema, uri)


def choose_files(files: Iterable[RunFile], identities: Identities | None) -> list[RunFile]:
    """The files that are used.

    A file qualifies if all its chunks come from current input files that have not changed. Of files that share a chunk,
    such as a merged run and its inputs, the one with the most chunks is used.

    Args:
        files: of one folder.
        identities: of the current input files; None if they are not known, and all files qualify.

    Returns:
        Files that share no chunk, in order of their first chunk.
    """
    chosen: list[RunFile] = []
    taken: set[tuple[str, int]] = set()
    for file in sorted(files, key=lambda file: (-len(file.chunks), file.uri)):
        chunks = {(chunk.path, chunk.chunk) for chunk in file.chunks}
        if is_current(file, identities) and taken.isdisjoint(chunks):
            taken |= chunks
            chosen.append(file)
    return sorted(chosen, key=_order_of_file)


def is_current(file: RunFile, identities: Identities | None) -> bool:
    """Whether all chunks of a file come from these input files; always true if they are not known."""
    return identities is None or all(identities.get(input_of(chunk)) == chunk.input_identity for chunk in file.chunks)


def superseded(files: Iterable[RunFile], used: Iterable[RunFile]) -> list[str]:
    """The uris of unused files whose chunks are all in used ones."""
    used = list(used)
    used_uris = {file.uri for file in used}
    used_chunks = {(*input_of(chunk), chunk.chunk, chunk.input_identity) for chunk in runs_of(used)}
    return [
        file.uri
        for file in files
        if file.uri not in used_uris
        and all((*input_of(chunk), chunk.chunk, chunk.input_identity) in used_chunks for chunk in file.chunks)
    ]


def runs_of(files: Iterable[RunFile]) -> list[RunInfo]:
    """All chunks of some files of one source, by path and chunk."""
    return sorted((chunk for file in files for chunk in file.chunks), key=order_of_run)


def run_uris(runs: Iterable[RunInfo]) -> list[str]:
    """The uris of the files that hold these chunks, each once."""
    return list(dict.fromkeys(run.uri for run in runs))


def order_of_run(run: RunInfo) -> tuple[bytes, int]:
    """The sort key of a source's runs, and of the chunks of a merged run."""
    return run.path.encode(), run.chunk


def _order_of_file(file: RunFile) -> tuple[bytes, int, str]:
    return *order_of_run(file.chunks[0]), file.uri


def input_of(run: RunInfo) -> tuple[str, str]:
    """(source, path) of a chunk's input file."""
    return run.source, run.path


def sizes_of(inputs: Iterable[InputFile]) -> dict[tuple[str, str], int]:
    """(source, path) -> bytes of the input files."""
    return {(file.source, file.path): file.size for file in inputs}


def identities_of(inputs: Iterable[InputFile]) -> Identities:
    """(source, path) -> what tells each input file from another one of its path."""
    return {(file.source, file.path): file.identity for file in inputs}


def pending_files(inputs: Iterable[InputFile], runs: Iterable[RunInfo]) -> list[InputFile]:
    """The input files with missing chunks, each with the chunks that exist."""
    by_file = _runs_by_file(runs)
    pending = []
    for file in inputs:
        current = [run for run in by_file[file.source, file.path] if run.input_identity == file.identity]
        if not _is_whole(current):
            pending.append(replace(file, done=tuple(run.chunk for run in current)))
    return pending


def stale_files(inputs: Iterable[InputFile], files: Iterable[RunFile]) -> list[RunFile]:
    """Files of the token store with a chunk of an input file that has changed."""
    current = identities_of(inputs)
    return [file for file in files if any(_has_changed(chunk, current) for chunk in file.chunks)]


def _has_changed(chunk: RunInfo, current: Identities) -> bool:
    """Whether a chunk's input file is there and another one now."""
    return current.get(input_of(chunk), chunk.input_identity) != chunk.input_identity


def changed_inputs(inputs: Iterable[InputFile], files: Iterable[RunFile]) -> list[str]:
    """Which input files have changed since they were prepared, in order, and how: one line for each source."""
    inputs = list(inputs)
    current = identities_of(inputs)
    before = {
        input_of(chunk): chunk.input_identity for file in files for chunk in file.chunks if _has_changed(chunk, current)
    }
    lines = []
    for source in sorted({source for source, _ in before}):
        paths = [file.path for file in inputs if file.source == source and (source, file.path) in before]
        is_touched = before[source, paths[0]][0] == current[source, paths[0]][0]
        how = "another modification time, the same size" if is_touched else "another size"
        one, several = "1 file has changed since it was", f"{len(paths):,} files have changed since they were"
        changed = one if len(paths) == 1 else several
        lines.append(f"{source}: {changed} prepared (first: {paths[0]}: {how})")
    return lines


def merged_in_vain(inputs: Iterable[InputFile], runs: Iterable[RunInfo], unused: Iterable[RunFile]) -> list[str]:
    """Why chunks that are in a merged run have to be prepared again: one line for each such run."""
    identities, available = identities_of(inputs), {(*input_of(run), run.chunk) for run in runs}
    notes = []
    for file in unused:
        current = [chunk for chunk in file.chunks if identities.get(input_of(chunk)) == chunk.input_identity]
        missing = [chunk for chunk in current if (*input_of(chunk), chunk.chunk) not in available]
        if missing:
            # If all chunks are current, the file is unused because it shares a chunk with a used one.
            culprit = next((chunk for chunk in file.chunks if chunk not in current), None)
            culprit = culprit or next((chunk for chunk in file.chunks if chunk not in missing), None)
            if culprit is None:
                # Its source takes no damaged files any more.
                continue
            why, count = _why_not(culprit, identities), len(missing)
            notes.append(
                f"{file.source}: {culprit.path} {why}; {count} other chunks that were merged with it are prepared again"
            )
    return notes


def _why_not(chunk: RunInfo, identities: Identities) -> str:
    """Why a chunk keeps its merged run from being used."""
    identity = identities.get(input_of(chunk))
    if identity is None:
        return "is no longer an input file"
    return "has changed" if identity != chunk.input_identity else "is in another merged run, too"


def whole_files(runs: Iterable[RunInfo]) -> set[tuple[str, str]]:
    """(source, path) of the input files of which no chunk is missing."""
    return {key for key, file_runs in _runs_by_file(runs).items() if _is_whole(file_runs)}


def _runs_by_file(runs: Iterable[RunInfo]) -> dict[tuple[str, str], list[RunInfo]]:
    by_file: dict[tuple[str, str], list[RunInfo]] = defaultdict(list)
    for run in runs:
        by_file[input_of(run)].append(run)
    return by_file


def _is_whole(runs: list[RunInfo]) -> bool:
    chunks = sorted(run.chunk for run in runs)
    ends = [run.chunk for run in runs if run.last]
    return len(ends) == 1 and chunks == list(range(ends[0] + 1))


def write_settings(folder: str, settings: dict[str, Any]) -> None:
    """Writes the settings that a source's fingerprint was made from, beside its runs."""
    uri, content = storage.join(folder, SOURCE_FILE), json.dumps(settings, indent=1, sort_keys=True).encode()
    # One of another size was not written to its end.
    if storage.file_size(uri) != len(content):
        with storage.write_file(uri) as sink:
            sink.write(content)


def nearest_change(store: str, source: str, settings: dict[str, Any]) -> list[str]:
    """The keys whose values differ from the source's most similar settings in the token store; none if it has none."""
    infos = [info for info in storage.list_files(storage.join(store, source)) if info.base_name == SOURCE_FILE]
    changes = [changed_keys(earlier, settings) for earlier in map(_read_settings, infos) if earlier is not None]
    return min(changes, key=len, default=[])


def _read_settings(info: FileInfo) -> dict[str, Any] | None:
    """The settings in a file; None for a damaged one, on which nothing depends but the explanation."""
    try:
        settings = json.loads(storage.read_bytes(info.path))
    except (ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None
