"""Tables for people: columns that are never cut.

```
phase  source  documents
main   c4          1,034
       dclm        1,023
```
"""

from rich.text import Text


def aligned(head: list[str], rows: list[list[str]], left: set[int]) -> list[Text]:
    """Aligned columns that are never cut, whatever the console.

    Args:
        head: the names of the columns.
        rows: each a cell for each column.
        left: numbers of the columns that are aligned left; the others are aligned right.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    return [Text(lines[0], "bold"), *map(Text, lines[1:])]
