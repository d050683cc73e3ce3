r"""The console that every command prints with: what a terminal would act on is printed as an escape.

```
console.print(Text("data/a\x1b[2J.jsonl"))     data/a\x1b[2J.jsonl
console.print("[bold]total[/]")                total, in bold: what is styled here reaches the terminal as such
```

Names and texts come from corpora, manifests and configurations, and all that is printed goes through here, so nobody
has to remember where a text came from. Markup is another matter: a name in a line of markup is escaped where it is put
in.
"""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from byline.printable import printable


class SafeConsole(Console):
    """A `rich` console whose texts hold no control character but line ends."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of something to print; those that are not rich's own codes are made printable."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)
