"""The locks that a job holds while it writes.

```
assemble  takes over the lock of a command that was killed        printed once the lock is held
```
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console

from byline.transforms.files.locks import folder_lock, remove_abandoned


@contextmanager
def locked(step: str, folders: Iterable[str], console: Console) -> Iterator[None]:
    """Holds the locks of folders for the block, and says when one is taken over from a command that was killed.

    Raises:
        BylineError: another command writes to one of them.
    """

    def say(line: str) -> None:
        console.print(f"{step:<9} {line}", highlight=False, markup=False, soft_wrap=True)

    with ExitStack() as stack:
        for folder in sorted(folders):
            stack.enter_context(folder_lock(folder, say))
        yield


def remove_locks(step: str, folders: Iterable[str], console: Console) -> None:
    """Deletes the locks of commands that were killed when all was written, and says so."""
    for folder in sorted(folders):
        owner = remove_abandoned(folder)
        if owner is not None:
            line = f"{step:<9} {folder}: removed the lock of {owner}, which has ended"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
