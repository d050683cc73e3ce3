"""`byline prepare`: raw corpora -> token store. Reads only what is missing."""

from collections.abc import Callable
from dataclasses import dataclass, field

import apache_beam as beam
from rich.console import Console
from rich.markup import escape

from byline.errors import BylineError
from pipelines.progress import progress_bar
from pipelines.runner import RunnerSettings, run_pipeline
from schemas.config import Config
from schemas.documents import InputFile
from schemas.store import RunInfo
from transforms import storage, store_index
from transforms.filtering import FilterDocuments
from transforms.fingerprint import fingerprint, source_parts
from transforms.listing import list_inputs
from transforms.metadata import ExtractMetadata
from transforms.reading import ReadCorpus
from transforms.rewriting import RewriteDocuments
from transforms.runs import WriteRuns
from transforms.scoring import ScoreQuality
from transforms.tokenizing import Tokenize
from transforms.work_lists import ListInputs, write_lines

MODELS_FOLDER = "models"


@dataclass(frozen=True)
class StoreState:
    """The token store as one configuration sees it.

    Attributes:
        folders, fingerprints: by source.
        inputs: every input file of every source, by (source, path).
        runs: every run of these files, by (source, path, chunk).
    """

    folders: dict[str, str]
    fingerprints: dict[str, str]
    inputs: list[InputFile]
    runs: list[RunInfo] = field(default_factory=list)

    def pending(self) -> list[InputFile]:
        """Input files of which chunks are missing."""
        return store_index.pending_files(self.inputs, self.runs)


def look_at_store(config: Config, console: Console, *, reads_input: bool = True) -> StoreState:
    """Lists the input files and the runs that are there for them.

    Args:
        config: the configuration.
        console: for a note where the token store is used without its raw corpora.
        reads_input: whether the raw corpora are needed; if not, and they are gone, the token store stands for them.
    """
    folders, fingerprints, inputs, runs = {}, {}, [], []
    for source in sorted(config.sources):
        parts = source_parts(config, source)
        fingerprints[source] = fingerprint(parts)
        folders[source] = store_index.source_folder(config.store, source, fingerprints[source])
        found = store_index.read_runs(folders[source])
        try:
            files = list_inputs(source, config.sources[source])
        except BylineError as error:
            whole = store_index.whole_files(found)
            if reads_input or not whole:
                raise
            console.print(
                f"[yellow]note[/] {escape(str(error))}; using the {len(whole)} files of it in the token store",
                highlight=False,
            )
            sizes = {(run.source, run.path): run.input_size for run in found}
            files = [InputFile(s, path, "", sizes[s, path]) for s, path in sorted(whole)]
        known = {(file.source, file.path): file.size for file in files}
        inputs += files
        runs += [run for run in found if known.get((run.source, run.path)) == run.input_size]
    return StoreState(folders, fingerprints, inputs, runs)


def prepare(config: Config, settings: RunnerSettings, console: Console) -> StoreState:
    """Prepares what is missing and returns the whole store's state."""
    state = look_at_store(config, console)
    pending = state.pending()
    if not pending:
        console.print(
            f"prepare   nothing to do: {len(state.inputs)} files are in {escape(config.store)}", highlight=False
        )
        return state
    _explain(config, state, pending, console)
    _remove_stale(state)
    size = sum(file.size for file in pending)
    list_uri = storage.join(config.store, storage.temporary_name("inputs.jsonl"))
    # Large files first, so that no worker begins the largest one last; the bytes do not depend on it.
    write_lines(
        list_uri, (file.to_json() for file in sorted(pending, key=lambda file: (-file.size, file.source, file.path)))
    )
    try:
        with progress_bar(console, "prepare", size, _follow(state, pending)):
            run_pipeline(_wire(config, state, list_uri), settings, size)
    finally:
        storage.delete_file(list_uri)
    done = look_at_store(config, console)
    assert not done.pending(), f"not prepared after a run without errors: {[file.path for file in done.pending()]}"
    return done


def _wire(config: Config, state: StoreState, list_uri: str) -> Callable[[beam.Pipeline], object]:
    given = {name: set(source.score) for name, source in config.sources.items()}
    models = storage.join(config.store, MODELS_FOLDER)

    def wire(pipeline: beam.Pipeline) -> object:
        return (
            pipeline
            | "ListInputs" >> ListInputs(list_uri)
            | "ReadCorpus" >> ReadCorpus(dict(config.sources))
            | "RewriteDocuments" >> RewriteDocuments(dict(config.sources))
            | "ExtractMetadata" >> ExtractMetadata()
            | "ScoreQuality" >> ScoreQuality(dict(config.classifiers), models, given)
            | "FilterDocuments" >> FilterDocuments()
            | "Tokenize" >> Tokenize(config.tokenizer)
            | "WriteRuns" >> WriteRuns(state.folders, state.fingerprints)
        )

    return wire


def _explain(config: Config, state: StoreState, pending: list[InputFile], console: Console) -> None:
    """Says what is read, and which changed key makes a source be read anew."""
    for source in sorted({file.source for file in pending}):
        parts = source_parts(config, source)
        some = [file for file in pending if file.source == source]
        size = sum(file.size for file in some)
        amount = (
            f"{size:,} additions"
            if config.sources[source].is_made
            else f"{len(some)} files, {size / 1e6:,.1f} MB on disk"
        )
        line = f"prepare   {source}: {amount}"
        if not any(run.source == source for run in state.runs):
            changed = store_index.nearest_change(config.store, source, parts)
            if changed:
                line += f"; prepared before with another configuration, changed: {', '.join(changed)}"
        console.print(line, highlight=False, markup=False)
        store_index.write_parts(state.folders[source], parts)


def _remove_stale(state: StoreState) -> None:
    for folder in state.folders.values():
        for run in store_index.stale_runs(state.inputs, store_index.read_runs(folder)):
            storage.delete_file(run.uri)


def _follow(state: StoreState, pending: list[InputFile]) -> Callable[[], int]:
    """Input bytes that are done: whole files, and of others what their chunks' texts are of an average file."""
    sizes = {(file.source, file.path): file.size for file in pending}
    known: dict[str, RunInfo] = {}

    def done() -> int:
        for folder in state.folders.values():
            store_index.read_new_runs(folder, known)
        mine = [run for run in known.values() if sizes.get((run.source, run.path)) == run.input_size]
        whole = store_index.whole_files(mine) & set(sizes)
        ready = sum(sizes[key] for key in whole)
        read = sum(run.bytes_read for run in mine if (run.source, run.path) in whole)
        rest = sum(run.bytes_read for run in mine if (run.source, run.path) not in whole)
        return ready + (rest * ready // read if read else rest // 4)

    return done
