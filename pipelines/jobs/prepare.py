"""The job of `byline prepare`: raw corpora -> token store. Reads only what is missing."""

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

from byline.errors import BylineError
from byline.pipelines.console.field_lines import show_fields
from byline.pipelines.console.funnel import funnels_of, show_funnels
from byline.pipelines.console.notes import show_faults, show_notes, show_removed, show_warnings
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.jobs.locking import locked, remove_locks
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.transforms.corpora.first_records import check_named_fields
from byline.transforms.documents.counters import run_counts, total
from byline.transforms.fields.conditioning import check_special_tokens
from byline.transforms.fields.field_use import field_uses
from byline.transforms.fields.held_out_additions import held_out_warnings
from byline.transforms.fields.known_fields import FROM_URL, known_warnings, unknown_message
from byline.transforms.files import storage
from byline.transforms.files.leftovers import clean_store
from byline.transforms.store import store_index
from byline.transforms.store.faults import FAULTS_FOLDER, NotedFault, take_faults
from byline.transforms.store.field_counting import fields_of_sources
from byline.transforms.store.fingerprint import source_settings
from byline.transforms.store.input_times import note_times
from byline.transforms.store.rejects import check_rejected
from byline.transforms.store.state import StoreState, prepared_bytes, read_state, remove_stale_runs, reread_state
from byline.transforms.store.versions import note_versions
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


def prepare(config: Config, settings: RunnerSettings, console: Console, *, builds: bool = False) -> StoreState:
    """Prepares what is missing and returns the whole store's state.

    Args:
        config: the configuration.
        settings: how to run.
        console: for progress.
        builds: whether the recipe is assembled next, so that what makes it impossible is an error now.

    Raises:
        BylineError: a mistake in the configuration or the input, or another command prepares the same.
    """
    check_special_tokens(config)
    state = read_state(config)
    faulty = {folder for folder in state.folders.values() if storage.list_files(storage.join(folder, FAULTS_FOLDER))}
    if not (faulty or state.pending()):
        remove_locks("prepare", state.folders.values(), console)
        return _prepare(config, state, settings, console, builds=builds)
    written = faulty | _pending_folders(state)
    # Of a command that was killed when it had written all of some sources.
    remove_locks("prepare", set(state.folders.values()) - written, console)
    with locked("prepare", written, console):
        # Notes of a driver that died; its files are read from their start.
        take_faults(faulty)
        # Again: another command may have prepared them just now.
        state = reread_state(state, {file.uri: file for file in (*state.files, *state.unused)})
        with locked("prepare", _pending_folders(state), console):
            return _prepare(config, state, settings, console, builds=builds)


def _pending_folders(state: StoreState) -> set[str]:
    """The folders that runs will be written to."""
    return {state.folders[file.source] for file in state.pending()}


def _prepare(
    config: Config, state: StoreState, settings: RunnerSettings, console: Console, *, builds: bool
) -> StoreState:
    pending = state.pending()
    without_url = _check_first_records(config, state, pending)
    if builds and without_url:
        raise BylineError(without_url[0])
    show_notes(state.notes, console)
    show_warnings([*without_url, *held_out_warnings(config)], console)
    show_removed("prepare", clean_store(config.store, writes=bool(pending)), console)
    if not pending:
        console.print(
            f"prepare   nothing to do: {len(state.inputs)} files are in {escape(config.store)}", highlight=False
        )
        _show_documents(config, state, console)
        return state
    _explain(config, state, pending, console)
    known = remove_stale_runs(state)
    # After it: by the new time, a stale run would count as one of the file that is there now.
    for source in sorted({file.source for file in pending}):
        note_times(state.folders[source], (file for file in pending if file.source == source))
    before = set(known)
    _compare_libraries(config, console)
    size = sum(file.size for file in pending)
    list_uri = storage.join(config.store, storage.temporary_name("inputs.jsonl"))
    # Here, where there is something to run (byline.pipelines.wiring).
    with quick_imports():
        from byline.pipelines.runners.engine import show_counts
        from byline.pipelines.wiring.prepare import run_preparing
    try:
        with progress_bar(console, "prepare", size, lambda: prepared_bytes(state, pending, known)):
            result = run_preparing(config, state, pending, list_uri, settings, console)
    finally:
        storage.delete_file(list_uri)
        # Of these folders alone: the others may be another command's.
        faults = take_faults(sorted(_pending_folders(state)))
        show_faults("prepare", faults, console)
    if faults:
        raise BylineError(_faults_line(faults, len(pending)))
    done = reread_state(state, known)
    assert not done.pending(), f"not prepared after a run without errors: {[file.path for file in done.pending()]}"
    written = total(run_counts(run) for run in done.runs if run.uri not in before)
    show_counts(console, "prepare", settings, result, written)
    _show_documents(config, done, console)
    return done


def _compare_libraries(config: Config, console: Console) -> None:
    """Finds out what gigatoken may tokenize, for the workers to read it, and says what is not as in the file."""
    tokenizer = shared_tokenizer(config.tokenizer)
    reason = tokenizer.differences.whole
    if reason is not None and config.tokenizer.library != "tokenizers":
        show_notes([f"{tokenizer.file}: tokenized by the slower library, tokenizers, because {reason}"], console)
    if tokenizer.dropout:
        show_notes(
            [f"{tokenizer.file}: model.dropout {tokenizer.dropout:g} is not used for the ids"],
            console,
        )


def _show_documents(config: Config, state: StoreState, console: Console) -> None:
    """What became of the documents, and what is known of them.

    Raises:
        BylineError: too many are rejects.
    """
    fields = fields_of_sources(state.runs)
    show_funnels(funnels_of(config, state.runs), console)
    show_fields(fields, console)
    for run in state.runs:
        if run.damage:
            line = f"prepare   {run.source}: used up to its damage: {run.damage}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    check_rejected(config.sources, state.runs)
    show_warnings(known_warnings(config, fields), console)


def _check_first_records(config: Config, state: StoreState, pending: list[InputFile]) -> list[str]:
    """Reads the first records of sources of which nothing is prepared.

    Returns:
        One line for each source that has no URLs though a template asks for what comes of them.

    Raises:
        BylineError: no record has a field that its source names.
    """
    prepared = {run.source for run in state.runs}
    files: dict[str, list[InputFile]] = {}
    for file in pending:
        if file.source not in prepared:
            files.setdefault(file.source, []).append(file)
    have_urls = storage.side_by_side(lambda name: check_named_fields(name, config.sources[name], files[name]), files)
    urls = {
        use.source: use
        for use in field_uses(config)
        if use.is_conditioned and use.column in FROM_URL and config.least_known(use.source) > 0
    }
    return [
        f"{urls[name].where}: {unknown_message(config, urls[name], 'none of the first records has a field url')}"
        for name, has_url in zip(files, have_urls, strict=True)
        if not has_url and name in urls and not config.sources[name].is_made
    ]


def _faults_line(faults: list[NotedFault], files: int) -> str:
    """The error of a job that has prepared all files but these."""
    if len(faults) == 1:
        return faults[0].message
    return f"{len(faults)} of {files} files cannot be prepared, all others are; the first: {faults[0].message}"


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
        note_versions(state.folders[source])
    for line in store_index.changed_inputs(state.inputs, state.unused):
        console.print(f"prepare   {line}; read again", highlight=False, markup=False, soft_wrap=True)
    for note in store_index.merged_in_vain(state.inputs, state.runs, state.unused):
        console.print(f"prepare   {note}", highlight=False, markup=False, soft_wrap=True)
