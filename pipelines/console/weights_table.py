"""The table of weights that `byline weights` shows.

```
domain   first    last  average
c4      0.5000  0.4379   0.4689
dclm    0.5000  0.5621   0.5311
```
"""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from byline.printable import printable
from byline.transforms.weights.computing import ComputedWeights


def show_weights(computed: ComputedWeights, console: Console) -> None:
    """Prints what was read, and the first, last and average weight of each domain."""
    path = computed.path
    console.print(escape(printable(computed.note)), highlight=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("domain", no_wrap=True)
    for name in ("first", "last", "average"):
        table.add_column(name, justify="right", no_wrap=True)
    for domain, *weights in zip(computed.domains, path[0], path[-1], path.mean(axis=0), strict=True):
        table.add_row(escape(printable(domain)), *(f"{weight:.4f}" for weight in weights))
    console.print(table)
