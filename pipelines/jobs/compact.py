"""The job of `byline compact`: many runs of the token store -> fewer, larger ones.

The documents, and so plans and shards, stay the same.

```
STORE/c4/<fingerprint>/  1,024 runs of 33 MB   ->   33 merged runs of 1 GiB
```

A merged run is written beside the runs it is made from, which are deleted once all merged runs of a round are there.
So a command that was killed has lost nothing and goes on when it is run again; until it is done, the store needs room
for both. A round merges as many runs as may be open at a time (`byline.transforms.store.compacting.MAX_OPEN`); small
runs need several rounds.
"""

from collections.abc import Callable

from rich.console import Console
from rich.filesize import decimal

from byline.errors import BylineError
from byline.pipelines.console.notes import show_notes, show_removed
from byline.pipelines.console.progress import progress_bar
from byline.pipelines.jobs.locking import locked
from byline.pipelines.quick_imports import quick_imports
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.config import Config
from byline.schemas.model import size_of
from byline.schemas.store import RunFile
from byline.transforms.files import storage
from byline.transforms.files.leftovers import clean_store
from byline.transforms.store import store_index
from byline.transforms.store.compacting import MergeGroup, group_files
from byline.transforms.store.state import StoreState, read_state

# A scan holds the columns of a whole run that it needs: about 50 MB for each GiB.
MOST_BYTES = 16 << 30


def parse_size(text: str) -> int:
    """Bytes of a size like `64MiB`, `1GiB` or `500MB`.

    Raises:
        BylineError: it is not a size, or one that no run may have.
    """
    try:
        size = size_of(text.strip())
    except ValueError:
        raise BylineError(f"--size {text!r}: expected a number and a unit, as in 64MiB, 500MB or 1GiB") from None
    if not 0 < size <= MOST_BYTES:
        raise BylineError(
            f"--size {text!r}: expected more than nothing and at most 16GiB: the planner reads columns of whole runs"
        )
    return size


def compact(config: Config, size: int, settings: RunnerSettings, console: Console) -> None:
    """Merges the runs of every source of a configuration into runs of at most `size` bytes.

    Raises:
        BylineError: files are not prepared.
    """
    state = read_state(config, reads_input=False)
    show_notes(state.notes, console)
    state.check_whole(config.store, "run `byline prepare`, then compact")
    with locked("compact", state.folders.values(), console):
        _compact(config, state, size, settings, console)


def _compact(config: Config, state: StoreState, size: int, settings: RunnerSettings, console: Console) -> None:
    show_removed("compact", clean_store(config.store, writes=True), console)
    known = {file.uri: file for file in (*state.files, *state.unused)}
    before = after = _used_files(state, known)
    # Those that an earlier command left when it was killed while deleting.
    _remove_merged(after, known)
    while groups := _groups(state, after, size):
        _merge(config, groups, settings, console)
        after = _used_files(state, known)
        _remove_merged(after, known)
    for source in sorted(before):
        _say(source, before[source], after[source], console)


def _used_files(state: StoreState, known: dict[str, RunFile]) -> dict[str, list[RunFile]]:
    """The files of each source that are in use now; `known` gets those that are new."""
    identities = store_index.identities_of(state.inputs)
    return {
        source: store_index.choose_files(store_index.read_files(folder, known), identities)
        for source, folder in state.folders.items()
    }


def _remove_merged(used: dict[str, list[RunFile]], known: dict[str, RunFile]) -> None:
    """Deletes files whose every chunk is in a larger one, and forgets them."""
    superseded = store_index.superseded(known.values(), [file for files in used.values() for file in files])
    storage.side_by_side(storage.delete_file, superseded)
    for uri in superseded:
        del known[uri]


def _groups(state: StoreState, files: dict[str, list[RunFile]], size: int) -> list[tuple[MergeGroup, int]]:
    """What to merge, with its bytes, largest first, so that no worker starts on the largest one last."""
    groups = [
        (MergeGroup.of(group, state.folders[source]), sum(file.size for file in group))
        for source in sorted(files)
        for group in group_files(files[source], size)
    ]
    return sorted(groups, key=lambda item: -item[1])


def _merge(config: Config, groups: list[tuple[MergeGroup, int]], settings: RunnerSettings, console: Console) -> None:
    # Here, where there is something to run (byline.pipelines.wiring).
    with quick_imports():
        from byline.pipelines.wiring.lines import run_over_lines
        from byline.transforms.store.compacting_transform import MergeRuns
    list_uri = storage.join(config.store, storage.temporary_name("groups.jsonl"))
    total, done = sum(size for _, size in groups), _follow(groups)
    try:
        with progress_bar(console, "compact", total, done):
            run_over_lines("Groups", list_uri, (group.to_json() for group, _ in groups), MergeRuns(), total, settings)
        assert done() == total, f"{total - done()} of {total} bytes not merged after a run without errors"
    finally:
        storage.delete_file(list_uri)


def _follow(groups: list[tuple[MergeGroup, int]]) -> Callable[[], int]:
    """Bytes of the groups whose merged runs are there."""
    sizes = {group.target: size for group, size in groups}
    folders = {target.rpartition("/")[0] for target in sizes}

    def done() -> int:
        names = {storage.join(folder, info.base_name) for folder in folders for info in storage.list_files(folder)}
        return sum(size for target, size in sizes.items() if target in names)

    return done


def _say(source: str, before: list[RunFile], after: list[RunFile], console: Console) -> None:
    size = sum(file.size for file in after)
    if len(before) == len(after):
        text = f"nothing to do: {len(after):,} runs, {decimal(size)}"
    else:
        mean = size / max(len(after), 1)
        text = f"{len(before):,} runs -> {len(after):,} of {decimal(round(mean))} on average"
    console.print(f"compact   {source}: {text}", highlight=False, markup=False)
