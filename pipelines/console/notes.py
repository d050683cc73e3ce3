"""Lines that more than one command prints.

```
note c4: no file at c4/*.json.gz; using the 12 files of it in the token store
prepare   removed 3 unfinished files of builds that were killed, 124.2 MB
```
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

from byline.transforms.files.locks import folder_lock


def show_notes(notes: Iterable[str], console: Console) -> None:
    """One line for each note."""
    for note in notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False)


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


def show_removed(step: str, removed: tuple[int, int], console: Console) -> None:
    """Says how many unfinished files were removed, if any.

    Args:
        step: the command's name, for the line.
        removed: how many files, and how many bytes they had.
        console: where to.
    """
    count, size = removed
    if count:
        amount = "1 unfinished file" if count == 1 else f"{count:,} unfinished files"
        console.print(f"{step:<9} removed {amount} of builds that were killed, {decimal(size)}", highlight=False)
