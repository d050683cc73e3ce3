"""Every kind of figure is drawn from made-up results; what is drawn where is read from the figure."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.lab.results.figures import FIGURES, Drawn, draw, parse_figures
from byline.lab.results.figures.style import COLOURS, THEME, style
from byline.lab.results.kinds import Known
from byline.lab.results.table import DomainWeight
from tests.lab.results.made import ARMS, made_results

RESULTS = made_results()
NEEDED = {kind: {} if kind == "weights" else {"evaluation": "none"} for kind in FIGURES}


def drawn(kind: str, **values: Any) -> Drawn:
    return draw(parse_figures([{"kind": kind, **NEEDED[kind], **values}])[0], RESULTS)


def lines_of(figure: Drawn, panel: int = 0) -> list[Any]:
    return [line for line in figure.figure.axes[panel].lines if len(line.get_xdata()) > 1]


@pytest.mark.parametrize("kind", FIGURES)
def test_every_kind_is_drawn_with_words_for_who_does_not_see_it(kind: str) -> None:
    figure = drawn(kind)
    assert figure.name == kind
    assert figure.title[0].isupper()
    assert all(arm in figure.description for arm in ARMS)
    root = ElementTree.fromstring(figure.inline("part-"))
    assert root.attrib["role"] == "img"
    assert [child.text for child in root[:2]] == [figure.title, figure.description]
    assert root.attrib["aria-labelledby"] == f"part-{kind}-title part-{kind}-text"


@pytest.mark.parametrize("kind", FIGURES)
def test_the_same_figure_has_the_same_bytes(kind: str, tmp_path: Path) -> None:
    first, second = drawn(kind), drawn(kind)
    assert first.inline() == second.inline()
    for suffix in (".svg", ".png"):
        assert first.save(tmp_path, suffix).read_bytes() == second.save(tmp_path, suffix).read_bytes()
    assert len(first.inline()) < 150_000


def test_an_element_asks_for_nothing_and_its_ids_are_its_own() -> None:
    text = drawn("curves").inline("part-")
    ids = [element.attrib["id"] for element in ElementTree.fromstring(text).iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert all(one.startswith("part-curves-") for one in ids)
    assert "var(--arm-1, #0072b2)" in text
    assert text.count("http") == text.count("http://www.w3.org/")


def test_curves_are_means_over_seeds() -> None:
    figure = drawn("curves", arms=["standard"], x="step", skip=0.35)
    (line,) = lines_of(figure)
    assert list(line.get_xdata()) == [400, 500, 600, 700, 800, 900, 1000]
    assert line.get_ydata()[-1] == pytest.approx(1.18219)


def test_curves_of_several_sources_are_panels() -> None:
    figure = drawn("curves", source="each", spread="seeds", arms=["standard", "hashed"])
    assert [axes.get_title(loc="left") for axes in figure.figure.axes] == ["books", "web"]
    assert len(lines_of(figure)) == 2 * (1 + 3)
    both = drawn("curves", evaluation=["none", "host"], log=True)
    assert [axes.get_title(loc="left") for axes in both.figure.axes] == ["none", "host"]


def test_bars_have_a_dot_for_each_seed() -> None:
    figure = drawn("bars", metric="exact", arms=["standard", "cooldown"])
    axes = figure.figure.axes[0]
    assert [round(bar.get_width(), 3) for bar in axes.patches] == [1.0, 1.0]
    assert [len(line.get_xdata()) for line in axes.lines] == [3, 3]
    assert not drawn("bars").figure.axes[0].patches


def test_what_is_not_reached_is_an_open_arrow_at_the_end() -> None:
    figure = drawn("reach", metric="loss", thresholds=[1.3, 1.1], arms=["standard", "cooldown"], x="step")
    arrows = [line for line in figure.figure.axes[0].lines if line.get_marker() == ">"]
    assert [list(line.get_xdata()) for line in arrows] == [[1000.0]] * 3
    assert "1.1 not within 1k steps" in figure.description


def test_sizes_are_ticks_by_parameters() -> None:
    axes = drawn("sizes").figure.axes[0]
    assert list(axes.xaxis.get_majorticklocs()) == [200_000, 1_000_000]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.2M", "1M"]


def test_skills_are_above_the_loss_of_all() -> None:
    figure = drawn("skills", arms=["standard", "cooldown"])
    assert len(figure.figure.axes) == 4
    assert [len(lines_of(figure, panel)) for panel in range(4)] == [2, 2, 1, 1]


def test_weights_of_several_rounds_are_lines() -> None:
    rounds = [DomainWeight("cooldown", domain, 0.5, number) for number in range(3) for domain in ("web", "books")]
    results = replace(RESULTS, weights=[*[row for row in RESULTS.weights if row.arm != "cooldown"], *rounds])
    figure = draw(parse_figures([{"kind": "weights"}])[0], results)
    assert [axes.get_title(loc="left") for axes in figure.figure.axes] == ["", "cooldown"]
    with pytest.raises(BylineError, match="figure 'weights': there are no weights"):
        draw(parse_figures([{"kind": "weights"}])[0], replace(RESULTS, weights=()))


def test_branches_end_beside_their_timeline() -> None:
    figure = drawn("branches", x="step", arms=["standard", "cooldown"])
    assert len(lines_of(figure)) == 2 + 1 + 3
    assert "Ends of the branches of cooldown by step: 300 " in figure.description


def test_nine_arms_differ_in_colour_and_without_it() -> None:
    styles = [style(number) for number in range(20)]
    assert len(COLOURS) == 9
    assert len({one.colour for one in styles[:9]}) == 9
    assert len({(one.marker, str(one.line)) for one in styles[:9]}) == 9
    assert len({(one.colour, one.marker) for one in styles}) == 20


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
def test_lines_and_text_stand_out_from_the_paper(theme: int) -> None:
    """WCAG 2.2: 4.5 for text, 3 for graphics; https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    paper = luminance(THEME["paper"][theme])
    for name, colours in THEME.items():
        low, high = sorted([paper, luminance(colours[theme])])
        least = {"paper": 1, "rule": 1, "ink": 4.5, "muted": 4.5}.get(name, 3)
        assert (high + 0.05) / (low + 0.05) >= least, name


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ([{"kind": "curve"}], "figures.0: unknown kind 'curve'; did you mean curves?"),
        ([{"kind": "curves"}], "figures.0 (curves): evaluation: Field required"),
        ([{"kind": "weights", "arm": ["a"]}], "figures.0 (weights): unknown key 'arm'; did you mean arms?"),
        (
            [{"kind": "curves", "evaluation": "nonne"}],
            "figures.0 (curves): evaluation: the study has no 'nonne'; did you mean none?",
        ),
        (
            [{"kind": "curves", "evaluation": "none", "skip": 1}],
            "figures.0 (curves): skip: Input should be less than 1",
        ),
        ([{"kind": "weights", "name": "a"}] * 2, "figures: two have the name 'a'"),
    ],
)
def test_wrong_figures_are_told(figures: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BylineError) as error:
        parse_figures(figures, Known(list(ARMS), ["none", "host"]))
    assert str(error.value) == message


def test_figures_without_a_name_have_that_of_their_kind() -> None:
    figures = parse_figures([{"kind": "weights"}, {"kind": "weights"}, {"kind": "weights", "name": "own"}])
    assert [one.name for one in figures] == ["weights", "weights-2", "own"]


def test_what_was_not_measured_is_told_with_the_figure() -> None:
    with pytest.raises(BylineError, match="figure 'curves': nothing was measured of 'standard'"):
        drawn("curves", metric="perplexity")
