"""The job of `byline attribute`: what is known of prepared documents, as columns beside the runs of the token store.

```
attribute topic: 2 of 3 runs are there      rounds of maps -> .attributes/topic-91c3.../parts/    values of each chunk
                                            Align          -> web/5f3e.../attributes/topic/91c3.../a-00001.arrow
```

A command that was killed goes on (`byline.pipelines.jobs.attribute_work`).
"""

import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.console.field_lines import show_fields
from byline.pipelines.console.notes import show_notes
from byline.pipelines.jobs.attribute_work import AttributeWork
from byline.pipelines.jobs.locking import locked
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.attributes.aligning import Align, AlignWork
from byline.transforms.attributes.attribute_state import SETTINGS_FILE, AttributeState, listed_again, read_attribute
from byline.transforms.attributes.kinds import kind_named
from byline.transforms.attributes.rounds import Context, Round, Summary, parts_folder
from byline.transforms.attributes.run_lines import Once
from byline.transforms.attributes.stored_documents import Reading, StoredChunk, StoredFile
from byline.transforms.attributes.values import parts_uri
from byline.transforms.files import storage
from byline.transforms.scores.models_folder import models_folder
from byline.transforms.store import store_index
from byline.transforms.store.attribute_columns import ATTRIBUTES_FOLDER
from byline.transforms.store.run_reading import forget_runs
from byline.transforms.store.state import StoreState, read_state

# (source, path, chunk)
_ChunkKey = tuple[str, str, int]


def make_named(config: Config, names: Iterable[str], settings: RunnerSettings, console: Console) -> None:
    """Makes attributes of a token store that is whole.

    Args:
        config: the configuration.
        names: of attributes; none for all.
        settings: how to run.
        console: for progress.

    Raises:
        BylineError: there is no such attribute, files are not prepared, or one cannot be made.
    """
    wanted = list(names) or sorted(config.attributes)
    for name in wanted:
        if name not in config.attributes:
            known = ", ".join(sorted(config.attributes)) or "there is none"
            raise BylineError(f"{name}: no attribute of the configuration; its `attributes` are: {known}")
    if not wanted:
        raise BylineError("attributes: the configuration has none; see docs/attributes.md for what they are")
    reads_text = any(kind_named(config.attributes[name].kind).reads_text for name in wanted)
    state = read_state(config, reads_input=reads_text)
    show_notes(state.notes, console)
    state.check_whole(config.store, "run `byline prepare` first")
    make_attributes(config, state, wanted, settings, console)


def make_attributes(
    config: Config, state: StoreState, names: Iterable[str], settings: RunnerSettings, console: Console
) -> list[AttributeState]:
    """Makes what is missing of attributes, one after another; returns them whole."""
    return [_make(config, state, name, settings, console) for name in names]


def _make(config: Config, state: StoreState, name: str, settings: RunnerSettings, console: Console) -> AttributeState:
    attribute = read_attribute(config, state, name)
    of_sources = [state.folders[source] for source in _sources(attribute)]
    work = AttributeWork.of(config.store, name, attribute.fingerprint, of_sources)
    if attribute.is_whole and not work.is_left:
        _say(f"{name}: nothing to do: {len(attribute.files):,} runs have it", console)
        return attribute
    folders = [storage.join(folder, attribute.folder) for folder in of_sources]
    # Of the name, whatever the settings are: they share a folder for what is exchanged.
    with locked("attribute", [storage.join(folder, ATTRIBUTES_FOLDER, name) for folder in of_sources], console):
        forget_runs()
        attribute = listed_again(attribute)
        started = time.monotonic()
        earlier = _earlier(attribute, folders)
        summary = _make_values(config, state, attribute, earlier, work, settings, console)
        _align(config, attribute, work.uri, earlier, settings, console)
        forget_runs()
        made = listed_again(attribute)
        assert made.is_whole, f"{name}: not whole after a run without errors: {[file.uri for file in made.missing]}"
        _finish(state, made, folders, summary)
        work.remove()
    _say(f"{name}: {len(attribute.missing):,} runs, {time.monotonic() - started:.1f} s", console)
    for line in (summary or {}).get("lines", []):
        _say(f"{name}: {line}", console)
    show_fields(made.counts, console)
    return made


def _say(line: str, console: Console) -> None:
    console.print(f"attribute {line}", highlight=False, markup=False, soft_wrap=True)


def _sources(attribute: AttributeState) -> list[str]:
    return sorted({file.source for file in attribute.files})


def _key(chunk: RunInfo) -> _ChunkKey:
    return chunk.source, chunk.path, chunk.chunk


def _earlier(attribute: AttributeState, folders: Iterable[str]) -> dict[_ChunkKey, tuple[str, int]]:
    """The attribute's files beside runs that have been merged since: chunk -> file, and its number in it."""
    current = {attribute.file_of(file) for file in attribute.files}
    files = [file for folder in folders for file in store_index.read_files(folder) if file.uri not in current]
    known = {
        (_key(chunk), chunk.input_size): (file.uri, number)
        for file in files
        for number, chunk in enumerate(file.chunks)
    }
    chunks = [chunk for file in attribute.missing for chunk in file.chunks]
    return {_key(chunk): known[key] for chunk in chunks if (key := (_key(chunk), chunk.input_size)) in known}


def _make_values(
    config: Config,
    state: StoreState,
    attribute: AttributeState,
    earlier: dict[_ChunkKey, tuple[str, int]],
    work: AttributeWork,
    settings: RunnerSettings,
    console: Console,
) -> Summary | None:
    """Makes the values of all chunks that have none; returns the kind's summary, None if there was nothing to make."""
    chunks = [chunk for file in attribute.missing for chunk in file.chunks if _key(chunk) not in earlier]
    made = work.read_made(chunks)
    if made is not None:
        return made
    context = _context(config, state, attribute, earlier, work.uri)
    context = replace(context, work=work.begin(context.lines), outer=work.uri)
    if not context.files:
        return None
    summary = _run_rounds(context, work, settings, console)
    work.write_made(context.runs, summary)
    return summary


def _context(
    config: Config,
    state: StoreState,
    attribute: AttributeState,
    earlier: dict[_ChunkKey, tuple[str, int]],
    work: str,
) -> Context:
    """What the kind is given: the files of which chunks are to be made; all of them where it depends on all."""
    settings = config.attributes[attribute.name]
    made = [file for file in attribute.missing if any(_key(chunk) not in earlier for chunk in file.chunks)]
    takes_all = settings.depends_on_all
    wanted = attribute.files if takes_all and made else made
    inputs = {(file.source, file.path): file for file in state.inputs}
    chunks: dict[tuple[str, str], list[StoredChunk]] = {}
    for file in wanted:
        for number, chunk in enumerate(file.chunks):
            if takes_all or _key(chunk) not in earlier:
                chunks.setdefault(store_index.input_of(chunk), []).append(StoredChunk(chunk, number))
    files = [_stored(inputs[key], chunks[key]) for key in sorted(chunks)]
    return Context(
        config=config,
        name=attribute.name,
        settings=settings,
        files=files,
        reading=Reading.of(config),
        work=work,
        models=models_folder(config.store),
    )


def _stored(file: InputFile, chunks: list[StoredChunk]) -> StoredFile:
    return StoredFile(replace(file, done=()), tuple(sorted(chunks, key=lambda chunk: chunk.info.chunk)))


def _run_rounds(context: Context, work: AttributeWork, settings: RunnerSettings, console: Console) -> Summary:
    """Runs the rounds of a kind; returns its summary."""
    rounds = kind_named(context.settings.kind).rounds(context)
    for number in itertools.count():
        try:
            made = next(rounds)
        except StopIteration as end:
            summary: Summary = end.value or {}
            return summary
        once = Once(made.do, work.done(number, made.name))
        _run(context.name, work.uri, replace(made, do=once), settings, console)
    raise AssertionError("rounds without an end")


def _run(name: str, folder: str, work: Round, settings: RunnerSettings, console: Console) -> None:
    """One round: in this process where one worker is enough, else as a pipeline."""
    started = time.monotonic()
    if settings.is_on_this_machine and settings.workers_for(work.size) == 1:
        for line in work.lines:
            work.do(line)
    else:
        # Here, where there is something to run (byline.pipelines.wiring).
        with quick_imports():
            from byline.pipelines.wiring.lines import run_over_lines
            from byline.transforms.documents.run_lines_transform import RunLines
        list_uri = storage.join(folder, f"{work.name}.jsonl")
        run = work.name >> RunLines(work.do)
        run_over_lines("Lines", list_uri, work.lines, run, work.size, settings, console)
    _say(f"{name}: {work.name}, {len(work.lines):,} lines, {time.monotonic() - started:.1f} s", console)


def _align(
    config: Config,
    attribute: AttributeState,
    folder: str,
    earlier: dict[_ChunkKey, tuple[str, int]],
    settings: RunnerSettings,
    console: Console,
) -> None:
    if not attribute.missing:
        return
    lines = [_aligned(attribute, file, parts_folder(folder), earlier).to_json() for file in attribute.missing]
    columns = config.attributes[attribute.name].column_types(attribute.name)
    # Keys of the documents are read and written, some 30 bytes each.
    size = 30 * sum(chunk.rows for file in attribute.missing for chunk in file.chunks)
    _run(attribute.name, folder, Round("Align", lines, Align(dict(columns)), size), settings, console)


def _aligned(
    attribute: AttributeState, file: RunFile, parts: str, earlier: dict[_ChunkKey, tuple[str, int]]
) -> AlignWork:
    values = [parts_uri(parts, *_key(chunk)) for chunk in file.chunks]
    return AlignWork(file.uri, attribute.file_of(file), values, [earlier.get(_key(chunk)) for chunk in file.chunks])


def _finish(state: StoreState, attribute: AttributeState, folders: Iterable[str], summary: Summary | None) -> None:
    """Writes down what the attribute is, and removes its files of runs that are gone; a summary of None stays."""
    names = {file.uri.rpartition("/")[2] for file in (*state.files, *state.unused)}
    counts = attribute.counts
    for source, folder in zip(_sources(attribute), folders, strict=True):
        gone = [info.base_name for info in storage.list_files(folder, recursive=False) if info.base_name not in names]
        arrow = [storage.join(folder, name) for name in gone if name.endswith(".arrow")]
        storage.side_by_side(storage.delete_file, arrow)
        fields = {name: asdict(count) for name, count in counts[source].items()}
        content = {
            "name": attribute.name,
            "fingerprint": attribute.fingerprint,
            "depends_on": attribute.depends_on,
            "fields": fields,
            "summary": _summary_of(storage.join(folder, SETTINGS_FILE)) if summary is None else summary,
        }
        with storage.write_file(storage.join(folder, SETTINGS_FILE)) as sink:
            sink.write(json.dumps(content, indent=1, sort_keys=True).encode())


def _summary_of(uri: str) -> Any:
    content = storage.read_if_there(uri)
    return {} if content is None else json.loads(content)["summary"]
