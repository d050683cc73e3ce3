"""`byline prepare`: raw corpora -> token store. Reads only what is missing."""

from collections.abc import Callable
from dataclasses import dataclass, field

import apache_beam as beam
from rich.console import Console
from rich.markup import escape

from byline.errors import BylineError
from byline.pipelines.console.funnel import funnels_of, show_funnels
from byline.pipelines.console.leftovers import clean_store
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.runners.engine import job_shower, show_counts
from byline.pipelines.runners.runner import RunnerSettings, run_pipeline
from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.metadata import ExtractMetadata
from byline.transforms.corpora.reading import ReadCorpus
from byline.transforms.documents.counters import run_counts, total
from byline.transforms.documents.work_lists import ListInputs, write_lines
from byline.transforms.files import storage
from byline.transforms.filters.filtering import FilterDocuments
from byline.transforms.filters.tables import rules_of
from byline.transforms.formatters.formatting import FormatDocuments
from byline.transforms.scores.scoring import ScoreQuality
from byline.transforms.store import store_index
from byline.transforms.store.fingerprint import fingerprint, source_settings
from byline.transforms.store.resuming import LeaveOutWritten
from byline.transforms.store.runs import WriteRuns
from byline.transforms.tokens.tokenizing import Tokenize

MODELS_FOLDER = "models"
# What one look at the progress reads, so that it takes a few seconds at most; the next one goes on from there.
_MOST_NEW = 1000


@dataclass(frozen=True)
class StoreState:
    """The token store as one configuration sees it.

    Attributes:
        folders, fingerprints: by source.
        inputs: every input file of every source, by (source, path).
        runs: every chunk of them that the store has, by (source, path, chunk).
        files: what holds these: runs of one chunk, and merged ones.
        unused: files of the store that hold other chunks, or the same ones once more.
    """

    folders: dict[str, str]
    fingerprints: dict[str, str]
    inputs: list[InputFile]
    runs: list[RunInfo] = field(default_factory=list)
    files: list[RunFile] = field(default_factory=list)
    unused: list[RunFile] = field(default_factory=list)

    def pending(self) -> list[InputFile]:
        """Input files of which chunks are missing."""
        return store_index.pending_files(self.inputs, self.runs)

    def check_whole(self, store: str, advice: str) -> None:
        """Refuses a store of which something is missing.

        Args:
            store: its folder, for the message.
            advice: what to do where something is.

        Raises:
            BylineError: input files are not prepared.
        """
        pending = self.pending()
        if pending:
            raise BylineError(
                f"{store}: {len(pending)} of {len(self.inputs)} input files are not prepared with this configuration "
                f"(first: {pending[0].source}/{pending[0].path}); {advice}"
            )


def look_at_store(config: Config, console: Console, *, reads_input: bool = True) -> StoreState:
    """Lists the input files and the runs that are there for them.

    Args:
        config: the configuration.
        console: for a note where the token store is used without its raw corpora.
        reads_input: whether the raw corpora are needed; if not, and they are gone, the token store stands for them.
    """
    state = StoreState({}, {}, [])
    for source in sorted(config.sources):
        settings = source_settings(config, source)
        state.fingerprints[source] = fingerprint(settings)
        state.folders[source] = store_index.source_folder(config.store, source, state.fingerprints[source])
        found = store_index.read_files(state.folders[source])
        try:
            files = list_inputs(source, config.sources[source])
        except BylineError as error:
            there = store_index.runs_of(store_index.choose_files(found, None))
            whole = store_index.whole_files(there)
            if reads_input or not whole:
                raise
            console.print(
                f"[yellow]note[/] {escape(str(error))}; using the {len(whole)} files of it in the token store",
                highlight=False,
            )
            sizes = {(run.source, run.path): run.input_size for run in there}
            files = [InputFile(s, path, "", sizes[s, path]) for s, path in sorted(whole)]
        _add_source(state, files, found)
    return state


def _add_source(state: StoreState, inputs: list[InputFile], found: list[RunFile]) -> None:
    used = store_index.choose_files(found, store_index.sizes_of(inputs))
    uris = {file.uri for file in used}
    state.inputs.extend(inputs)
    state.runs.extend(store_index.runs_of(used))
    state.files.extend(used)
    state.unused.extend(file for file in found if file.uri not in uris)


def _look_again(state: StoreState, known: dict[str, RunFile]) -> StoreState:
    """The state with what was added; `known` is what need not be read again, by uri."""
    now = StoreState(state.folders, state.fingerprints, [])
    for source, folder in state.folders.items():
        inputs = [file for file in state.inputs if file.source == source]
        _add_source(now, inputs, store_index.read_files(folder, known))
    return now


def prepare(config: Config, settings: RunnerSettings, console: Console) -> StoreState:
    """Prepares what is missing and returns the whole store's state."""
    state = look_at_store(config, console)
    pending = state.pending()
    clean_store("prepare", config.store, console, writes=bool(pending))
    if not pending:
        console.print(
            f"prepare   nothing to do: {len(state.inputs)} files are in {escape(config.store)}", highlight=False
        )
        show_funnels(funnels_of(config, state.runs), console)
        return state
    _explain(config, state, pending, console)
    known = _remove_stale(state)
    before = set(known)
    size = sum(file.size for file in pending)
    list_uri = storage.join(config.store, storage.temporary_name("inputs.jsonl"))
    # Large files first, so that no worker begins the largest one last; the bytes do not depend on it.
    write_lines(
        list_uri, (file.to_json() for file in sorted(pending, key=lambda file: (-file.size, file.source, file.path)))
    )
    try:
        with progress_bar(console, "prepare", size, _follow(state, pending, known)):
            result = run_pipeline(_wire(config, state, list_uri), settings, size, job_shower(console, settings))
    finally:
        storage.delete_file(list_uri)
    done = _look_again(state, known)
    assert not done.pending(), f"not prepared after a run without errors: {[file.path for file in done.pending()]}"
    written = total(run_counts(run) for run in done.runs if run.uri not in before)
    show_counts(console, "prepare", settings, result, written)
    show_funnels(funnels_of(config, done.runs), console)
    return done


def _wire(config: Config, state: StoreState, list_uri: str) -> Callable[[beam.Pipeline], object]:
    # Without patterns, of which a source may list thousands: the workers are given each file by its path.
    sources = {name: source.model_copy(update={"path": []}) for name, source in config.sources.items()}
    given = {name: set(source.score) for name, source in config.sources.items()}
    rules = {name: rules_of(config, name) for name in config.sources}
    models = storage.join(config.store, MODELS_FOLDER)

    def wire(pipeline: beam.Pipeline) -> object:
        return (
            pipeline
            | "ListInputs" >> ListInputs(list_uri)
            | "LeaveOutWritten" >> LeaveOutWritten(state.folders)
            | "ReadCorpus" >> ReadCorpus(sources)
            | "FormatDocuments" >> FormatDocuments(sources)
            | "ExtractMetadata" >> ExtractMetadata()
            | "ScoreQuality" >> ScoreQuality(dict(config.classifiers), models, given)
            | "FilterDocuments" >> FilterDocuments(rules, models)
            | "Tokenize" >> Tokenize(config.tokenizer)
            | "WriteRuns" >> WriteRuns(state.folders, state.fingerprints)
        )

    return wire


def _explain(config: Config, state: StoreState, pending: list[InputFile], console: Console) -> None:
    """Says what is read, and which changed key makes a source be read anew."""
    for source in sorted({file.source for file in pending}):
        settings = source_settings(config, source)
        some = [file for file in pending if file.source == source]
        size = sum(file.size for file in some)
        amount = (
            f"{size:,} additions"
            if config.sources[source].is_made
            else f"{len(some)} files, {size / 1e6:,.1f} MB on disk"
        )
        line = f"prepare   {source}: {amount}"
        if not any(run.source == source for run in state.runs):
            changed = store_index.nearest_change(config.store, source, settings)
            if changed:
                line += f"; prepared before with another configuration, changed: {', '.join(changed)}"
        console.print(line, highlight=False, markup=False)
        store_index.write_settings(state.folders[source], settings)
    for note in store_index.merged_in_vain(state.inputs, state.runs, state.unused):
        console.print(f"prepare   {note}", highlight=False, markup=False, soft_wrap=True)


def _remove_stale(state: StoreState) -> dict[str, RunFile]:
    """Deletes runs of files that have another size now; returns the others, by uri."""
    stale = {file.uri for file in store_index.stale_files(state.inputs, state.unused)}
    storage.side_by_side(storage.delete_file, stale)
    return {file.uri: file for file in (*state.files, *state.unused) if file.uri not in stale}


def _follow(state: StoreState, pending: list[InputFile], known: dict[str, RunFile]) -> Callable[[], int]:
    """Input bytes that are done: whole files, and of others what their chunks' texts are of an average file.

    Args:
        state: before the run.
        pending: the input files that are read.
        known: by uri, files of the store that need not be read again; gets those that are read.
    """
    sizes, current = store_index.sizes_of(pending), store_index.sizes_of(state.inputs)

    def done() -> int:
        mine = []
        for source in sorted({file.source for file in pending}):
            store_index.read_new_files(state.folders[source], known, _MOST_NEW)
            used = store_index.choose_files([file for file in list(known.values()) if file.source == source], current)
            mine += [run for run in store_index.runs_of(used) if store_index.input_of(run) in sizes]
        whole = store_index.whole_files(mine) & set(sizes)
        ready = sum(sizes[key] for key in whole)
        read = sum(run.bytes_read for run in mine if (run.source, run.path) in whole)
        rest = sum(run.bytes_read for run in mine if (run.source, run.path) not in whole)
        return ready + (rest * ready // read if read else rest // 4)

    return done
