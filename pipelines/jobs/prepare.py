"""The job of `byline prepare`: raw corpora -> token store. Reads only what is missing."""

from collections.abc import Callable

import apache_beam as beam
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

from byline.pipelines.console.funnel import funnels_of, show_funnels
from byline.pipelines.console.notes import locked, show_removed
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.runners.engine import job_shower, show_counts
from byline.pipelines.runners.runner import RunnerSettings, run_pipeline
from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.transforms.corpora.metadata import ExtractMetadata
from byline.transforms.corpora.reading import ReadCorpus
from byline.transforms.documents.counters import run_counts, total
from byline.transforms.documents.work_lists import ListInputs, write_lines
from byline.transforms.files import storage
from byline.transforms.files.leftovers import clean_store
from byline.transforms.filters.filtering import FilterDocuments
from byline.transforms.filters.tables import rules_of
from byline.transforms.formatters.formatting import FormatDocuments
from byline.transforms.scores.scoring import ScoreQuality
from byline.transforms.store import store_index
from byline.transforms.store.fingerprint import source_settings
from byline.transforms.store.resuming import LeaveOutWritten
from byline.transforms.store.runs import WriteRuns
from byline.transforms.store.state import StoreState, prepared_bytes, read_state, remove_stale_runs, reread_state
from byline.transforms.tokens.tokenizing import Tokenize


def prepare(config: Config, settings: RunnerSettings, console: Console) -> StoreState:
    """Prepares what is missing and returns the whole store's state.

    Raises:
        BylineError: a mistake in the configuration or the input, or another command prepares the same.
    """
    state = read_state(config)
    if not state.pending():
        return _prepare(config, state, settings, console)
    with locked("prepare", _pending_folders(state), console):
        # Again: another command may have prepared them just now.
        state = reread_state(state, {file.uri: file for file in (*state.files, *state.unused)})
        with locked("prepare", _pending_folders(state), console):
            return _prepare(config, state, settings, console)


def _pending_folders(state: StoreState) -> set[str]:
    """The folders that runs will be written to."""
    return {state.folders[file.source] for file in state.pending()}


def _prepare(config: Config, state: StoreState, settings: RunnerSettings, console: Console) -> StoreState:
    pending = state.pending()
    show_removed("prepare", clean_store(config.store, writes=bool(pending)), console)
    if not pending:
        console.print(
            f"prepare   nothing to do: {len(state.inputs)} files are in {escape(config.store)}", highlight=False
        )
        show_funnels(funnels_of(config, state.runs), console)
        return state
    _explain(config, state, pending, console)
    known = remove_stale_runs(state)
    before = set(known)
    size = sum(file.size for file in pending)
    list_uri = storage.join(config.store, storage.temporary_name("inputs.jsonl"))
    # Large files first, so that no worker starts on the largest one last; the bytes do not depend on it.
    write_lines(
        list_uri, (file.to_json() for file in sorted(pending, key=lambda file: (-file.size, file.source, file.path)))
    )
    try:
        with progress_bar(console, "prepare", size, lambda: prepared_bytes(state, pending, known)):
            result = run_pipeline(_wire(config, state, list_uri), settings, size, job_shower(console, settings))
    finally:
        storage.delete_file(list_uri)
    done = reread_state(state, known)
    assert not done.pending(), f"not prepared after a run without errors: {[file.path for file in done.pending()]}"
    written = total(run_counts(run) for run in done.runs if run.uri not in before)
    show_counts(console, "prepare", settings, result, written)
    show_funnels(funnels_of(config, done.runs), console)
    return done


def _wire(config: Config, state: StoreState, list_uri: str) -> Callable[[beam.Pipeline], object]:
    # Without patterns, of which a source may list thousands: the workers are given each file by its path.
    sources = {name: source.model_copy(update={"path": []}) for name, source in config.sources.items()}
    formatters = {name: source.formatter for name, source in sources.items() if source.formatter is not None}
    malformed = {name: source.malformed for name, source in sources.items()}
    given = {name: set(source.score) for name, source in sources.items()}
    rules = {name: rules_of(config, name) for name in config.sources}
    models = store_index.models_folder(config.store)

    def wire(pipeline: beam.Pipeline) -> object:
        return (
            pipeline
            | "ListInputs" >> ListInputs(list_uri)
            | "LeaveOutWritten" >> LeaveOutWritten(state.folders)
            | "ReadCorpus" >> ReadCorpus(sources)
            | "FormatDocuments" >> FormatDocuments(formatters, malformed)
            | "ExtractMetadata" >> ExtractMetadata()
            | "ScoreQuality" >> ScoreQuality(dict(config.classifiers), models, given)
            | "FilterDocuments" >> FilterDocuments(rules, models)
            | "Tokenize" >> Tokenize(config.tokenizer)
            | "WriteRuns" >> WriteRuns(state.folders, state.fingerprints)
        )

    return wire


def _explain(config: Config, state: StoreState, pending: list[InputFile], console: Console) -> None:
    """Says what is read, and which changed keys make a source be read again."""
    for source in sorted({file.source for file in pending}):
        settings = source_settings(config, source)
        files = [file for file in pending if file.source == source]
        size = sum(file.size for file in files)
        amount = (
            f"{size:,} additions" if config.sources[source].is_made else f"{len(files)} files, {decimal(size)} on disk"
        )
        line = f"prepare   {source}: {amount}"
        inputs = sum(file.source == source for file in state.inputs)
        begun = sum(bool(file.done) for file in files)
        if len(files) < inputs or begun:
            line += f"; {inputs - len(files):,} of {inputs:,} files are there already"
            line += f", and parts of {begun:,} more" if begun else ""
        if not any(run.source == source for run in state.runs):
            changed = store_index.nearest_change(config.store, source, settings)
            if changed:
                line += f"; prepared before with another configuration, changed: {', '.join(changed)}"
        console.print(line, highlight=False, markup=False)
        store_index.write_settings(state.folders[source], settings)
    for note in store_index.merged_in_vain(state.inputs, state.runs, state.unused):
        console.print(f"prepare   {note}", highlight=False, markup=False, soft_wrap=True)
