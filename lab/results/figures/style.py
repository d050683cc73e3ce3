"""How figures appear: colours, line styles and markers that tell nine arms apart, and axes.

```
arm   light     dark      line          marker
0     #3a3f47   #d5dae1   solid         o         the first arm: what others are compared with
1     #0072b2   #62b6f0   dashed        s
2     #d55e00   #ff9452   dash-dot      ^
```

An arm has its style from its number among the study's arms, so it is the same in each of its figures. Colours differ
for people who see few of them (after Okabe and Ito, made darker for thin lines on white), and lines and markers without
any. On a page the colours are variables of the style sheet, of which the dark theme has its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from byline.lab.results import numbers
from byline.lab.results.series import Axis
from byline.lab.results.table import Results

INK, MUTED, RULE, PAPER = "#1b1d21", "#5a616b", "#d9dde2", "#fefefe"
# Light and dark, by name of the variable.
THEME = {
    "ink": (INK, "#e7e9ec"),
    "muted": (MUTED, "#a4acb6"),
    "rule": (RULE, "#363c44"),
    "paper": (PAPER, "#15181c"),
    "arm-0": ("#3a3f47", "#d5dae1"),
    "arm-1": ("#0072b2", "#62b6f0"),
    "arm-2": ("#d55e00", "#ff9452"),
    "arm-3": ("#00896a", "#3fd1a6"),
    "arm-4": ("#c23f8d", "#f49bcb"),
    "arm-5": ("#9a7400", "#eccb4a"),
    "arm-6": ("#5b3fa8", "#b3a1fa"),
    "arm-7": ("#1f93cc", "#a5e3fb"),
    "arm-8": ("#7a3b12", "#cf9b70"),
}
COLOURS = [light for name, (light, _) in THEME.items() if name.startswith("arm-")]
_LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.6)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (1.4, 1.3)),
    (0, (8, 2, 2, 2)),
    (0, (3, 1.2, 3, 1.2, 1, 1.2)),
    (0, (10, 2)),
    (0, (2.5, 2.5)),
    (0, (6, 1.2, 1, 1.2, 1, 1.2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h", "*")
# Inches; a page shows them at 96 dots an inch, nearly as wide as its text.
WIDTH = 7.6
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.labelcolor": INK,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.7,
    "lines.markersize": 5,
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True)
class Style:
    """What tells a line from others."""

    colour: str
    line: Any
    marker: str

    def handle(self, label: str) -> Line2D:
        """Its line in a legend."""
        return Line2D([], [], color=self.colour, linestyle=self.line, marker=self.marker, label=label)


@contextmanager
def styled() -> Iterator[None]:
    """Within it, what is drawn has this style, whatever a user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def style(number: int) -> Style:
    """The style of a number; after the ninth colour the lines differ from those before."""
    colour = COLOURS[number % len(COLOURS)]
    shifted = number + number // len(COLOURS)
    return Style(colour, _LINES[shifted % len(_LINES)], MARKERS[shifted % len(MARKERS)])


def style_of(results: Results, arm: str) -> Style:
    """The style of an arm; a branch has its arm's."""
    name = arm.split("/")[0]
    names = results.arm_names
    return style(names.index(name) if name in names else len(names))


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def grid(panels: int, most: int, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at most so many beside each other; `height` is a row's."""
    columns = min(panels, most)
    rows = -(-panels // columns)
    figure = new_figure(height * rows + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for empty in axes[panels:]:
        empty.set_visible(False)
    return figure, list(axes[:panels])


def legend(figure: Figure, handles: list[Artist]) -> None:
    """A legend below, in as many columns as fit."""
    widths = [0.085 * len(str(handle.get_label())) + 0.7 for handle in handles]
    columns = len(handles) if sum(widths) <= WIDTH else max(1, int(WIDTH / max(widths)))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, columnspacing=1.6)


def value_axis(axes: Axes, metric: str, vertical: bool = True) -> None:
    """Ticks of a metric: shares in per cent."""
    if metric in numbers.SHARES:
        axis = axes.yaxis if vertical else axes.xaxis
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.6g} %"))


def log_axis(axes: Axes) -> None:
    """A logarithmic vertical axis, with plain numbers also where it is less than one power of ten high."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))


def count_axis(axes: Axes, axis: Axis, columns: int = 1) -> None:
    """The horizontal axis of tokens, positions or steps, of one of so many panels beside each other."""
    axes.xaxis.set_major_locator(MaxNLocator(7 if columns == 1 else 4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: numbers.amount(count)))
    axes.set_xlabel(axis_label(axis))


def axis_label(axis: Axis) -> str:
    """What a training is measured by."""
    return {"tokens": "tokens trained on", "positions": "positions trained on", "step": "steps"}[axis]


def metric_label(metric: str) -> str:
    """A metric's name on an axis."""
    return {"loss": "loss (nats per token)", "accuracy": "tokens right", "exact": "exact match"}.get(metric, metric)


def ticks_at(axes: Axes, positions: list[float], labels: list[str], vertical: bool) -> None:
    """Ticks at these positions alone."""
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(FixedLocator(positions))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda _, number: labels[number] if number is not None else ""))
