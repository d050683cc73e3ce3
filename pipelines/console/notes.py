"""Lines that more than one command prints.

```
note c4: no file at c4/*.json.gz; using the 12 files of it in the token store
warning source web: host is known for 12.00% of the documents (12 known, 88 null), and phases.main.condition uses ...
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
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)


def show_warnings(warnings: Iterable[str], console: Console) -> None:
    """One line for each warning."""
    for warning in warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False, soft_wrap=True)


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
