"""The token store as one configuration sees it: its input files, its runs, and what is missing.

```
sources                    c4: a.json.gz  b.json.gz  c.json.gz
STORE/c4/<fingerprint>/    a-00000.arrow  b-00000.arrow               the size of b has changed
state                      inputs a, b, c     runs a-00000     unused b-00000       pending b, c
```
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.corpora import Damaged
from byline.schemas.documents import InputFile
from byline.schemas.store import RunFile, RunInfo
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.files import storage
from byline.transforms.store import store_index
from byline.transforms.store.fingerprint import fingerprint, source_settings
from byline.transforms.store.rejects import rejected, rejects_uri
from byline.transforms.store.run_names import check_fingerprints
from byline.transforms.store.stale_attributes import remove_stale_attributes
from byline.transforms.store.versions import other_versions

# Measuring progress reads at most this many new files, so that it takes seconds; the next measurement continues there.
_MOST_NEW = 1000


@dataclass(frozen=True)
class StoreState:
    """The token store as one configuration sees it.

    Attributes:
        folders, fingerprints: by source.
        inputs: every input file of every source, by (source, path).
        runs: every chunk of them that the store has, by (source, path, chunk).
        files: the files that hold these chunks: runs of one chunk, and merged ones.
        unused: files of the store that hold other chunks, or the same ones again.
        takes_damaged: sources that take what can be read of a damaged file.
        notes: one line for each source whose raw corpus is gone, so that the token store is used instead, and for each
            whose runs other versions of Byline or its libraries have written.
    """

    folders: dict[str, str]
    fingerprints: dict[str, str]
    inputs: list[InputFile]
    runs: list[RunInfo] = field(default_factory=list)
    files: list[RunFile] = field(default_factory=list)
    unused: list[RunFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    takes_damaged: frozenset[str] = frozenset()

    def pending(self) -> list[InputFile]:
        """The input files with missing chunks."""
        return store_index.pending_files(self.inputs, self.runs)

    def check_whole(self, store: str, advice: str) -> None:
        """Refuses a token store in which something is missing.

        Args:
            store: its folder, for the message.
            advice: what to do then, for the message.

        Raises:
            BylineError: input files are not prepared.
        """
        pending = self.pending()
        if pending:
            changed = "".join(f"{line}; " for line in store_index.changed_inputs(self.inputs, self.unused))
            raise BylineError(
                f"{store}: {len(pending)} of {len(self.inputs)} input files are not prepared with this configuration "
                f"(first: {pending[0].source}/{pending[0].path}); {changed}{advice}"
            )

    def _add_source(self, inputs: Iterable[InputFile], files: Iterable[RunFile], takes_damaged: bool) -> None:
        inputs, files = list(inputs), list(files)
        # Of a file that is damaged nothing counts, unless its source takes what can be read.
        faulty = set() if takes_damaged else _damaged(files)
        whole = [file for file in files if faulty.isdisjoint(map(store_index.input_of, file.chunks))]
        used = store_index.choose_files(whole, store_index.identities_of(inputs))
        used_uris = {file.uri for file in used}
        self.inputs.extend(inputs)
        self.runs.extend(store_index.runs_of(used))
        self.files.extend(used)
        self.unused.extend(file for file in files if file.uri not in used_uris)


def read_state(config: Config, *, reads_input: bool = True) -> StoreState:
    """Lists the input files, and the runs that the token store has of them.

    Args:
        config: the configuration; a source's fingerprint depends on everything that preparing depends on.
        reads_input: whether the raw corpora are needed. If not, the token store is used instead of one that is gone.

    Raises:
        BylineError: a raw corpus, a model, a list of a filter or the tokenizer cannot be read.
    """
    takes = (name for name, source in config.sources.items() if source.damaged is Damaged.USE_READABLE)
    state = StoreState({}, {}, [], takes_damaged=frozenset(takes))
    for name in sorted(config.sources):
        state.fingerprints[name] = fingerprint(source_settings(config, name))
        state.folders[name] = store_index.source_folder(config.store, name, state.fingerprints[name])
        files = store_index.read_files(state.folders[name])
        check_fingerprints(files, state.fingerprints[name])
        others = other_versions(state.folders[name]) if files else []
        if others:
            state.notes.append(f"{name}: its runs in the token store were written with {', '.join(others)}")
        try:
            inputs = list_inputs(name, config.sources[name])
        except BylineError as error:
            inputs = _prepared_inputs(files)
            if reads_input or not inputs:
                raise
            state.notes.append(f"{error}; using the {len(inputs)} files of it in the token store")
        state._add_source(inputs, files, takes_damaged=name in state.takes_damaged)
    return state


def _damaged(files: Iterable[RunFile]) -> set[tuple[str, str]]:
    """(source, path) of the input files that were read only up to their damage."""
    return {store_index.input_of(chunk) for file in files for chunk in file.chunks if chunk.damage}


def _prepared_inputs(files: list[RunFile]) -> list[InputFile]:
    """The input files of a source of which the store has every chunk, by path."""
    runs = store_index.runs_of(store_index.choose_files(files, None))
    identities = {store_index.input_of(run): run.input_identity for run in runs}
    whole = {key: identities[key] for key in sorted(store_index.whole_files(runs))}
    return [InputFile(*key, "", size, modified=modified) for key, (size, modified) in whole.items()]


def reread_state(state: StoreState, known: dict[str, RunFile]) -> StoreState:
    """The state with the runs that have been added since.

    Args:
        state: the state before.
        known: uri -> files that need not be read again; those that are read are added.
    """
    current = StoreState(state.folders, state.fingerprints, [], notes=state.notes, takes_damaged=state.takes_damaged)
    for source, folder in state.folders.items():
        inputs = [file for file in state.inputs if file.source == source]
        files = store_index.read_files(folder, known)
        current._add_source(inputs, files, takes_damaged=source in state.takes_damaged)
    return current


def remove_stale_runs(state: StoreState) -> dict[str, RunFile]:
    """Deletes runs of input files that have changed, or are damaged; returns all other files of the store, by uri.

    What attributes say of them goes, too.
    """
    stale = {file.uri for file in store_index.stale_files(state.inputs, state.unused)}
    faulty = _damaged(state.unused)
    stale |= {file.uri for file in state.unused if not faulty.isdisjoint(map(store_index.input_of, file.chunks))}
    # Before the runs, so that a command killed in between finds the runs stale again.
    for source, folder in state.folders.items():
        gone = [file for file in state.unused if file.uri in stale and file.source == source]
        if gone:
            remove_stale_attributes(folder, gone)
    storage.side_by_side(storage.delete_file, stale)
    chunks = [chunk for file in state.unused if file.uri in stale for chunk in file.chunks if rejected(chunk)]
    storage.side_by_side(storage.delete_file, [rejects_uri(state.folders[run.source], run) for run in chunks])
    return {file.uri: file for file in (*state.files, *state.unused) if file.uri not in stale}


def prepared_bytes(state: StoreState, pending: list[InputFile], known: dict[str, RunFile]) -> int:
    """How many bytes of the pending input files have been prepared.

    A file that is prepared in part counts by the text of its chunks, times the ratio of bytes to text in finished
    files, or a quarter while there are none.

    Args:
        state: the state before anything was prepared.
        pending: the input files that are read.
        known: uri -> files of the store that need not be read again; those that are read are added.
    """
    sizes, current = store_index.sizes_of(pending), store_index.identities_of(state.inputs)
    runs: list[RunInfo] = []
    for source in sorted({file.source for file in pending}):
        store_index.read_new_files(state.folders[source], known, _MOST_NEW)
        used = store_index.choose_files([file for file in list(known.values()) if file.source == source], current)
        runs += [run for run in store_index.runs_of(used) if store_index.input_of(run) in sizes]
    whole = store_index.whole_files(runs) & set(sizes)
    whole_bytes = sum(sizes[key] for key in whole)
    whole_text = sum(run.bytes_read for run in runs if store_index.input_of(run) in whole)
    other_text = sum(run.bytes_read for run in runs if store_index.input_of(run) not in whole)
    return whole_bytes + (other_text * whole_bytes // whole_text if whole_text else other_text // 4)
