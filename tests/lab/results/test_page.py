"""The page holds all that was given, escaped, and asks nothing of a network; tables are the same in all their forms."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from rich.console import Console

from byline.lab.results.figures import draw, parse_figures
from byline.lab.results.page import Described, PageFacts, Section, page, write_page
from byline.lab.results.statements import answers, parse_statements
from byline.lab.results.text_tables import main_table, markdown, show_table, source_table, time_table
from tests.lab.results.made import made_results

RESULTS = made_results()
VOID = {"meta", "link", "br"}


def section(name: str, title: str = "Hosts") -> Section:
    return Section(
        name=name,
        title=title,
        about="About <hosts>",
        results=RESULTS,
        figures=[draw(one, RESULTS) for one in parse_figures([{"kind": "curves", "evaluation": "none"}])],
        statements=answers(
            parse_statements([{"kind": "reach", "arm": "cooldown", "of": "standard", "evaluation": "none"}]), RESULTS
        ),
        metrics=("loss", "exact"),
        arms=[Described("standard", "no prefix"), Described("cooldown", "", "condition: {template: '<{host}>'}")],
        evaluations=[Described("none", "held-out documents")],
        training=[("seeds", "0, 1, 2")],
        notes=["It does not agree."],
        recipe="title: <x>",
    )


FACTS = PageFacts("Hosts & documents", "What is asked", ["byline lab meco"], [("byline", "0.1.0")])


class Elements(HTMLParser):
    """Every element, with its attributes; that each is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Elements:
    parser = Elements()
    parser.feed(text)
    assert parser.open == []
    return parser


def test_the_page_is_whole_and_escaped() -> None:
    text = page(FACTS, [section("one")])
    elements = parsed(text).elements
    assert "Hosts &amp; documents" in text
    assert "condition: {template: &#39;&lt;{host}&gt;&#39;}" in text
    assert "title: &lt;x&gt;" in text
    assert "cooldown reaches the final loss of standard with 0.17 (0.15 to 0.20) of its tokens." in text
    assert [tag for tag, _ in elements if re.fullmatch("h[1-3]", tag)][:2] == ["h1", "h3"]
    assert text.count("About &lt;hosts&gt;") == 1
    assert page(replace(FACTS, about="About <hosts>"), [section("one")]).count("About &lt;hosts&gt;") == 1


def test_the_page_asks_nothing_of_a_network() -> None:
    elements = parsed(page(FACTS, [section("one")])).elements
    assert not [tag for tag, _ in elements if tag in ("script", "img", "iframe")]
    addresses = [value or "" for _, attrs in elements for key, value in attrs.items() if key in ("src", "href")]
    assert all(one.startswith(("#", "data:,")) for one in addresses)


def test_sections_are_led_to_and_ids_are_there_once() -> None:
    text = page(FACTS, [section("one"), section("two", "Formats")])
    elements = parsed(text).elements
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {"one", "two", "again"} <= set(ids)
    labels = [attrs["aria-labelledby"] or "" for _, attrs in elements if "aria-labelledby" in attrs]
    assert {name for label in labels for name in label.split()} <= set(ids)
    assert [tag for tag, _ in elements if tag == "nav"] == ["nav"]
    assert "About &lt;hosts&gt;" in text


def test_the_same_page_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_page(tmp_path / name, FACTS, [section("one")])
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert (tmp_path / "first").stat().st_size < 300_000


def test_the_main_table_in_markdown() -> None:
    results = made_results(arms=("standard", "conditioned"), models=("1M",))
    assert markdown(main_table(results)) == (
        "| arm | seeds | trained tokens | none: loss | host: loss |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| standard | 3 | 2M | 1.182 ± 0.010 | 1.232 ± 0.010 |\n"
        "| conditioned | 3 | 2M | 1.500 ± 0.010 | 1.250 ± 0.010 |\n"
    )


def test_branches_have_a_table_of_their_own() -> None:
    results = made_results(arms=("cooldown",))
    assert [row[:2] for row in main_table(results).rows] == [("cooldown", "0.2M"), ("cooldown", "1M")]
    branches = main_table(results, of_branches=True)
    assert [row[0] for row in branches.rows[::2]] == ["cooldown/at-25", "cooldown/at-50", "cooldown/at-75"]


def test_the_table_by_source() -> None:
    table = source_table(RESULTS, "none", "loss")
    assert table is not None
    assert table.head == ("arm", "web", "books")
    assert table.rows[0] == ("standard", "1.282 ± 0.010", "1.082 ± 0.010")


def test_times_are_of_all_seeds() -> None:
    assert time_table(RESULTS).rows[0] == ("standard", "0.2M", "cpu", "3", "184")


def test_the_table_on_a_terminal() -> None:
    sink = io.StringIO()
    show_table(main_table(RESULTS), Console(file=sink, width=120))
    lines = [line.split() for line in sink.getvalue().splitlines() if line.strip()]
    assert lines[0] == ["arm", "model", "seeds", "trained", "tokens", "none:", "loss", "host:", "loss"]
    assert lines[2][:4] == ["standard", "0.2M", "3", "2M"]
