"""Lines that more than one command prints.

```
note c4: no file at c4/*.json.gz; using the 12 files of it in the token store
prepare   removed 3 unfinished files of builds that were killed, 124.2 MB
```
"""

from collections.abc import Iterable

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape


def show_notes(notes: Iterable[str], console: Console) -> None:
    """One line for each note."""
    for note in notes:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False)


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
