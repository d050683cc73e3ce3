"""How many documents of each source have a value of each field, in one line a source.

```
fields of web: host 990 known, 10 unknown; license 300 known, 700 null; url 1,000 known
```
"""

from rich.console import Console
from rich.text import Text

from byline.transforms.fields.known_fields import SourceFields, describe


def field_lines(fields: SourceFields) -> list[str]:
    """The lines."""
    return [
        f"fields of {source}: {'; '.join(f'{name} {describe(count)}' for name, count in counts.items())}"
        for source, counts in fields.items()
        if counts
    ]


def show_fields(fields: SourceFields, console: Console) -> None:
    """Prints them."""
    for line in field_lines(fields):
        console.print(Text(line), soft_wrap=True, highlight=False)
