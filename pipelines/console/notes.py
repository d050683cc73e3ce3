"""Lines that more than one command prints.

```
note c4: no file at c4/*.json.gz; using the 12 files of it in the token store
warning source web: host is known for 12.00% of the documents (12 known, 88 null), and phases.main.condition uses ...
prepare   removed 3 unfinished files of builds that were killed, 124.2 MB
assemble  damaged: conditioned/00003-of-00012.arrow is gone; made again
assemble  11 of 12 shards are there already
```
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

from byline.transforms.shards.output import OutputState
from byline.transforms.shards.records import KeptShards, written_again
from byline.transforms.store.faults import NotedFault

# Rows of a table of faulty files; the same mistake may be in each.
_MOST_SHOWN = 50


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


def show_lost(step: str, state: OutputState, console: Console) -> None:
    """Says what of a finished output is gone or of another size, if anything."""
    if state.lost:
        line = (
            f"{step:<9} missing or of another size in the finished build: {len(state.lost):,} of {state.files:,} files "
            f"(first: {state.lost[0]}); written again"
        )
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def show_kept(step: str, kept: KeptShards, shards: int, damaged: Sequence[str], console: Console) -> None:
    """Says what an unfinished output goes on from.

    Args:
        step: the command's name, for the line.
        kept: what is kept of its shards, and what is damaged.
        shards: how many it is to have.
        damaged: what else is damaged.
        console: where to.
    """
    _show_damaged(step, [*damaged, *kept.damaged], console)
    if kept.records:
        console.print(f"{step:<9} {len(kept.records):,} of {shards:,} shards are there already", highlight=False)


def show_written_again(step: str, kept: KeptShards, console: Console) -> None:
    """Says which shards were to be kept and had other bytes, if any; all are written by now."""
    _show_damaged(step, [f"{shard} had another sha256" for shard in written_again(kept)], console)


def _show_damaged(step: str, damaged: Sequence[str], console: Console) -> None:
    if damaged:
        first = "" if len(damaged) == 1 else f"{len(damaged):,} files, first: "
        console.print(
            f"{step:<9} damaged: {first}{damaged[0]}; made again", highlight=False, markup=False, soft_wrap=True
        )


def show_faults(step: str, faults: Sequence[NotedFault], console: Console) -> None:
    """A table of the files that could not be prepared; none of a single one, which the error itself names."""
    if len(faults) < 2:
        return
    console.print(f"{step:<9} {len(faults)} files cannot be prepared, and nothing of them is in the store:")
    rows = [(f"{fault.source}/{fault.path}", fault.where, fault.message) for fault in faults[:_MOST_SHOWN]]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for file, where, message in rows:
        line = f"  {file:<{widths[0]}}  {where:<{widths[1]}}  {message}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(faults) > len(rows):
        console.print(f"  and {len(faults) - len(rows)} more", highlight=False)
