"""The tables that `byline weights` shows: weights, and of a swarm what its regressions are worth.

```
domain   first    last  average        domain  natural  weight        metric  mean of runs  natural  predicted  ...
c4      0.5000  0.4379   0.4689        c4       0.2500  0.4689        c4            3.1021   3.0874     2.9911  ...
dclm    0.5000  0.5621   0.5311        dclm     0.7500  0.5311
```
"""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from byline.printable import printable
from byline.transforms.weights.computing import ComputedWeights
from byline.transforms.weights.swarm_files import SwarmWeights


def show_weights(computed: ComputedWeights, console: Console) -> None:
    """Prints what was read, and the first, last and average weight of each domain."""
    path = computed.path
    console.print(escape(printable(computed.note)), highlight=False, soft_wrap=True)
    table = _table("domain", "first", "last", "average")
    for domain, *weights in zip(computed.domains, path[0], path[-1], path.mean(axis=0), strict=True):
        table.add_row(escape(printable(domain)), *(f"{weight:.4f}" for weight in weights))
    console.print(table)


def show_swarm(computed: SwarmWeights, console: Console) -> None:
    """Prints what was read, the mixture, and for each metric the predictions and how well runs are ranked."""
    swarm, fit = computed.swarm, computed.fit
    for note in computed.notes:
        console.print(escape(printable(note)), highlight=False, soft_wrap=True)
    table = _table("domain", "natural", "weight")
    for domain, *weights in zip(swarm.domains, computed.natural, fit.weights, strict=True):
        table.add_row(escape(printable(domain)), *(f"{weight:.4f}" for weight in weights))
    console.print(table)
    table = _table("metric", "mean of runs", "natural", "predicted", "rank correlation", "error")
    columns = (swarm.losses.mean(axis=0), fit.predicted_natural, fit.predicted, fit.correlations, fit.errors)
    for metric, *values in zip(swarm.metrics, *columns, strict=True):
        table.add_row(escape(printable(metric)), *(f"{value:.4f}" for value in values))
    console.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
