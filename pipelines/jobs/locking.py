"""The locks that a job holds while it writes.

```
assemble  takes over the lock of a command that was killed        printed once the lock is held
```
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console

from byline.transforms.files.locks import folder_lock


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
