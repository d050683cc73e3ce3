"""`weights`: the mixtures of arms, a row a domain; those of several rounds are lines beside them.

```
          |                           swarm
web       |   o    s   ^              0.6 |  __/‾‾ web
books     |  ^ s   o                      | /‾‾\\__ books
          +------------ share             +--------- round
```

The left panel has each arm's mean over its rounds.
"""

from typing import ClassVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from byline.errors import BylineError
from byline.lab.results.figures.figure import ArmsFigure
from byline.lab.results.figures.style import PAPER, legend, new_figure, style, style_of, ticks_at
from byline.lab.results.table import Results


class Weights(ArmsFigure):
    """Settings of the figure; without `arms`, all that have weights."""

    kind: ClassVar[str] = "weights"

    def heading(self) -> str:
        return self.title or "Mixtures of the arms"

    def draw(self, results: Results) -> Figure:
        shares = self._shares(results)
        changing = [arm for arm, rounds in shares.items() if len(rounds) > 1]
        domains = _domains(results)
        figure = new_figure(max(2.6, max(0.3, 0.11 * len(shares)) * len(domains) + 1.3))
        panels = figure.subplots(1, 1 + len(changing), squeeze=False)[0]
        _draw_rows(panels[0], shares, domains, results)
        for axes, arm in zip(panels[1:], changing, strict=True):
            _draw_rounds(axes, shares[arm], domains)
            axes.set_title(arm)
        handles: list[Artist] = [_marker(style_of(results, arm).handle(arm)) for arm in shares]
        if changing:
            handles += [style(number).handle(domain) for number, domain in enumerate(domains)]
        legend(figure, handles)
        return figure

    def describe(self, results: Results) -> str:
        rows = "; ".join(
            f"{arm}: " + ", ".join(f"{domain} {100 * share:.1f} %" for domain, share in _means(rounds).items())
            for arm, rounds in self._shares(results).items()
        )
        return f"Share of each domain in the mixture of each arm. {rows}."

    def _shares(self, results: Results) -> dict[str, dict[int, dict[str, float]]]:
        """By arm, round and domain. Raises: BylineError: an arm has none."""
        shares: dict[str, dict[int, dict[str, float]]] = {}
        for row in results.weights:
            shares.setdefault(row.arm, {}).setdefault(row.round, {})[row.domain] = row.weight
        for arm in self.arms:
            if arm not in shares:
                raise BylineError(f"weights.csv has no weights of {arm!r}; it has those of {', '.join(shares)}")
        if not shares:
            raise BylineError("there are no weights: weights.csv is missing or has no rows")
        return {arm: shares[arm] for arm in self.arms or shares}


def _domains(results: Results) -> list[str]:
    return list(dict.fromkeys(row.domain for row in results.weights))


def _means(rounds: dict[int, dict[str, float]]) -> dict[str, float]:
    domains = dict.fromkeys(domain for shares in rounds.values() for domain in shares)
    return {domain: float(np.mean([shares.get(domain, 0.0) for shares in rounds.values()])) for domain in domains}


def _draw_rows(
    axes: Axes, shares: dict[str, dict[int, dict[str, float]]], domains: list[str], results: Results
) -> None:
    for number, (arm, rounds) in enumerate(shares.items()):
        means, look = _means(rounds), style_of(results, arm)
        rows = np.arange(len(domains)) + (number - (len(shares) - 1) / 2) * 0.6 / len(shares)
        axes.plot(
            [means.get(domain, 0.0) for domain in domains],
            rows,
            linestyle="",
            marker=look.marker,
            color=look.colour,
            markeredgecolor=PAPER,
            markeredgewidth=0.5,
            markersize=7,
        )
    axes.set_xlim(left=0)
    axes.set_ylim(len(domains) - 0.5, -0.5)
    ticks_at(axes, [float(row) for row in range(len(domains))], domains, vertical=True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))
    axes.set_xlabel("share of the mixture")


def _draw_rounds(axes: Axes, rounds: dict[int, dict[str, float]], domains: list[str]) -> None:
    for number, domain in enumerate(domains):
        look = style(number)
        axes.plot(
            list(rounds),
            [shares.get(domain, 0.0) for shares in rounds.values()],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
        )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))
    axes.set_xlabel("round")


def _marker(handle: Artist) -> Artist:
    handle.set(linestyle="")
    return handle
