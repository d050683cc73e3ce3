"""What builds that were killed left half written in a store or an output: removed when the next command comes by.

```
prepare   removed 3 unfinished files of builds that were killed, 124.2 MB
```
"""

from rich.console import Console

from byline.object_stores import is_object_address
from byline.transforms.files import storage


def clean_store(step: str, store: str, console: Console, *, writes: bool) -> None:
    """Removes them from a token store, and says so where there were any.

    Args:
        step: for the line.
        store: the folder.
        console: for the line.
        writes: whether the step is about to write. If not, an object store is left alone: a listing is a request, and
            lists of some MB are all there can be. Half a run on a disk goes: a build that is started again at once
            finds it too young, and may be the last that has anything to write.
    """
    if writes or not is_object_address(store):
        _remove(step, store, console)


def clean_output(output: str, console: Console, *, is_finished: bool = False) -> None:
    """Removes them from an output; none can be in an object store, where shards have no name before they are whole.

    Args:
        output: the folder.
        console: for the line.
        is_finished: whether every shard is whole, so that halves are of an earlier try, however young.
    """
    if not is_object_address(output):
        _remove("assemble", output, console, at_once=is_finished)


def _remove(step: str, folder: str, console: Console, *, at_once: bool = False) -> None:
    files, size = storage.remove_unfinished(folder, at_once=at_once)
    if files:
        amount = "1 unfinished file" if files == 1 else f"{files:,} unfinished files"
        console.print(f"{step:<9} removed {amount} of builds that were killed, {size / 1e6:,.1f} MB", highlight=False)
