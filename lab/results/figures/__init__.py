"""Figures of a study: the kinds, and what is made of those that a recipe asks for.

```yaml
figures:
  - {kind: curves, name: loss, title: Held-out loss, evaluation: none, metric: loss, skip: 0.1}
  - {kind: reach, evaluation: own, metric: exact, thresholds: [0.5, 0.9, 0.99], log: true}
```

```
kind       shows                                               keys of its own
curves     a metric by tokens, positions or steps              evaluation, source: one or more; log, spread, skip
bars       final values, each seed a dot                       evaluation, source: one or more
reach      tokens until thresholds                             evaluation, metric, thresholds, log
skills     accuracy of each source above the loss of all       evaluation, metric, sources
sizes      the same measure by size of the model               evaluation, metric, threshold, log
weights    the mixtures of the arms
branches   ends of branches beside the timeline                evaluation, metric, skip, log
```

All take `name`, `title`, `about` and `arms`; those that measure, `metric`, `source` and `model`; lines, `x`. A kind is
a module with a class below `FigureSettings`, and a line of `FIGURES`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from byline.errors import BylineError
from byline.lab.results.figures.bars import Bars
from byline.lab.results.figures.branches import Branches
from byline.lab.results.figures.curves import Curves
from byline.lab.results.figures.figure import FigureSettings
from byline.lab.results.figures.reach import ReachFigure
from byline.lab.results.figures.saving import inline, save
from byline.lab.results.figures.sizes import Sizes
from byline.lab.results.figures.skills import Skills
from byline.lab.results.figures.style import styled
from byline.lab.results.figures.weights import Weights
from byline.lab.results.kinds import Known, parse_kinds
from byline.lab.results.table import Results
from byline.schemas.model import first_twice

FIGURES: dict[str, type[FigureSettings]] = {
    kind.kind: kind for kind in (Curves, Bars, ReachFigure, Skills, Sizes, Weights, Branches)
}


@dataclass(frozen=True)
class Drawn:
    """A figure that was drawn, and what stands beside it.

    Attributes:
        name: of its file, and of its anchor on a page.
        title, about: above and below it.
        description: in words, for who does not see it.
        figure: it.
    """

    name: str
    title: str
    about: str
    description: str
    figure: Figure

    def inline(self, prefix: str = "") -> str:
        """As a part of a page; the prefix keeps its ids from those of others."""
        return inline(self.figure, prefix + self.name, self.title, self.description)

    def save(self, folder: Path, suffix: str = ".svg") -> Path:
        """As a file of its own, `.svg` or `.png`."""
        path = folder / (self.name + suffix)
        save(self.figure, path)
        return path


def parse_figures(values: Sequence[Mapping[str, Any]], known: Known | None = None) -> list[FigureSettings]:
    """The figures of a recipe, each with a name. Raises: BylineError: one is wrong; one line."""
    settings = parse_kinds(values, FIGURES, "figures", known)
    named = [
        one if one.name is not None else one.model_copy(update={"name": _name(number, settings)})
        for number, one in enumerate(settings)
    ]
    twice = first_twice(one.name for one in named)
    if twice is not None:
        raise BylineError(f"figures: two have the name {twice!r}")
    return named


def draw(settings: FigureSettings, results: Results) -> Drawn:
    """Draws a figure. Raises: BylineError: what it shows was not measured."""
    name = settings.name or settings.kind
    try:
        with styled():
            heading = settings.heading()
            title = heading[:1].upper() + heading[1:]
            return Drawn(name, title, settings.about, settings.describe(results), settings.draw(results))
    except BylineError as error:
        raise BylineError(f"figure {name!r}: {error}") from None


def _name(number: int, settings: Sequence[FigureSettings]) -> str:
    kind = settings[number].kind
    before = sum(one.kind == kind for one in settings[:number])
    return f"{kind}-{before + 1}" if before else kind
