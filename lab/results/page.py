"""The page of a study: one HTML file that asks nothing of a network.

```
title, what was asked
  for each section      answers with their verdicts, the table, figures, arms, how each was trained, times, recipe
commands, versions
```

A section is a study, so the page of one with parts has several. Figures are in the page as SVG, whose colours follow
its theme: light, dark, and light on paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from markupsafe import Markup

from byline.lab.results.figures import Drawn
from byline.lab.results.figures.style import THEME
from byline.lab.results.statements import Statement, Verdict, rule
from byline.lab.results.table import Results
from byline.lab.results.text_tables import TextTable, main_table, source_table, time_table

# A sign beside each verdict's words, which do not depend on it.
SIGNS = {
    Verdict.YES: "✓",
    Verdict.NO: "✗",
    Verdict.WITHIN: "≈",
    Verdict.ORDERED: "✓",
    Verdict.PARTLY: "≈",
    Verdict.FEW: "?",
}


@dataclass(frozen=True)
class Described:
    """An arm or an evaluation: its name, what it is about, and how its configuration differs from the study's."""

    name: str
    about: str
    difference: str = ""


@dataclass(frozen=True)
class Section:
    """One study.

    Attributes:
        name: an identifier, other than those of the other sections.
        title, about: what was asked.
        results: its tables.
        figures, statements: what came of it.
        metrics: those in its tables.
        arms, evaluations: what was compared, on what.
        training: how every arm was trained: what, and its value.
        notes: what does not agree with what was published, what was tried.
        recipe: its text.
    """

    name: str
    title: str
    about: str
    results: Results
    figures: Sequence[Drawn] = ()
    statements: Sequence[Statement] = ()
    metrics: Sequence[str] = ("loss",)
    arms: Sequence[Described] = ()
    evaluations: Sequence[Described] = ()
    training: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    recipe: str = ""

    @property
    def table(self) -> TextTable:
        return main_table(self.results, self.metrics)

    @property
    def branch_table(self) -> TextTable:
        return main_table(self.results, self.metrics, of_branches=True)

    @property
    def times(self) -> TextTable:
        return time_table(self.results)

    @property
    def source_tables(self) -> list[tuple[str, TextTable]]:
        """What is measured by source, with its name."""
        evaluations = dict.fromkeys(row.evaluation for row in self.results.measurements)
        tables = [
            (f"{name}: {metric}", source_table(self.results, name, metric))
            for name in evaluations
            for metric in self.metrics
        ]
        return [(name, table) for name, table in tables if table is not None]

    @property
    def drawings(self) -> list[tuple[Drawn, Markup]]:
        """Figures with their elements, which are no text to be escaped."""
        return [(figure, Markup(figure.inline(f"{self.name}-"))) for figure in self.figures]

    @property
    def rule(self) -> str:
        return rule(self.statements)


@dataclass(frozen=True)
class PageFacts:
    """What is said of a page's sections together.

    Attributes:
        title, about: of the study.
        commands: that make it again.
        versions: of what it was made with: name, version.
        notes: as a section's.
    """

    title: str
    about: str = ""
    commands: Sequence[str] = ()
    versions: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def page(facts: PageFacts, sections: Sequence[Section]) -> str:
    """The page's text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    return template.render(facts=facts, sections=sections, signs=SIGNS, light=_variables(0), dark=_variables(1))


def write_page(path: Path, facts: PageFacts, sections: Sequence[Section]) -> None:
    """Writes the page."""
    path.write_text(page(facts, sections), encoding="utf-8")


def _variables(theme: int) -> str:
    return " ".join(f"--{name}: {colours[theme]};" for name, colours in THEME.items())
