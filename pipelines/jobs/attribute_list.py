"""What a token store has of attributes: listing and removing them.

```
topic   web   91c3a5...   3 of 3 runs   host known 990         of the configuration
topic   web   07be12...   3 runs                               of another one
```
"""

from collections.abc import Iterable

from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.jobs.attribute_work import work_folder
from byline.pipelines.jobs.locking import locked
from byline.schemas.config import Config
from byline.transforms.attributes.attribute_state import AttributeState, read_attribute
from byline.transforms.files import storage
from byline.transforms.store.attribute_columns import ATTRIBUTES_FOLDER
from byline.transforms.store.state import StoreState, read_state


def show_attributes(config: Config, names: Iterable[str], console: Console) -> None:
    """Prints what the token store has of attributes, those of other configurations, too.

    Raises:
        BylineError: a file that one depends on cannot be read.
    """
    wanted, state = set(names), read_state(config, reads_input=False)
    current = {name: read_attribute(config, state, name) for name in sorted(config.attributes)}
    for source, folder in sorted(state.folders.items()):
        runs = sum(file.source == source for file in state.files)
        for name, fingerprints in sorted(_stored(folder).items()):
            for fingerprint, files in sorted(fingerprints.items()):
                if not wanted or name in wanted:
                    whose = _whose(current.get(name), fingerprint)
                    _say(f"{name} of {source}: {files:,} of {runs:,} runs, {fingerprint}, {whose}", console)
    for name, attribute in current.items():
        if len(attribute.missing) == len(attribute.files) and (not wanted or name in wanted):
            _say(f"{name}: not made yet", console)


def remove_attributes(config: Config, names: Iterable[str], console: Console) -> None:
    """Deletes attributes from the folders of a configuration's sources, whatever their settings were.

    Raises:
        BylineError: no name is given, the token store has none of that name, or another command makes it.
    """
    wanted = sorted(set(names))
    if not wanted:
        raise BylineError("--remove: name the attributes to delete; `byline attribute CONFIG --list` shows them")
    state = read_state(config, reads_input=False)
    for name in wanted:
        folders = [storage.join(folder, ATTRIBUTES_FOLDER, name) for folder in _folders_with(state, name)]
        if not folders:
            raise BylineError(f"{name}: the token store {config.store} has no attribute of this name")
        with locked("attribute", folders, console):
            files = sum(len(storage.list_files(folder)) for folder in folders)
            for folder in [*folders, *_unfinished(config, state, name)]:
                storage.delete_folder(folder)
        _say(f"{name}: removed from {len(folders):,} sources, {files:,} files", console)


def _folders_with(state: StoreState, name: str) -> list[str]:
    return [folder for folder in sorted(state.folders.values()) if name in _stored(folder)]


def _unfinished(config: Config, state: StoreState, name: str) -> list[str]:
    """What a command has left that was killed while it made an attribute of the configuration."""
    if name not in config.attributes:
        return []
    sources = {file.source for file in state.files if config.attributes[name].is_about(file.source)}
    return [work_folder(config.store, name, [state.folders[source] for source in sources])]


def _stored(folder: str) -> dict[str, dict[str, int]]:
    """Name -> fingerprint -> files, of the attributes in a source's folder."""
    stored: dict[str, dict[str, int]] = {}
    root = storage.join(folder, ATTRIBUTES_FOLDER)
    for info in storage.list_files(root):
        *_, name, fingerprint, file = info.path.split("/")
        if file.endswith(".arrow"):
            of_name = stored.setdefault(name, {})
            of_name[fingerprint] = of_name.get(fingerprint, 0) + 1
    return stored


def _whose(attribute: AttributeState | None, fingerprint: str) -> str:
    is_current = attribute is not None and attribute.folder.endswith(f"/{fingerprint}")
    return "of this configuration" if is_current else "of another configuration"


def _say(line: str, console: Console) -> None:
    console.print(f"attribute {line}", highlight=False, markup=False, soft_wrap=True)
