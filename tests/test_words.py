"""One meaning a word: words that were given up do not come back, and variables say what they hold.

docs/architecture.md has the glossary. Here is what is not said any more, and what is said instead. Code, comments,
messages, documents and configurations are searched, identifiers by the words they are made of:

```
place_lo, Places, "its place in the shuffle"      found: shuffle key, location or position
"in place of the recipe's", replace()             not found
```
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("byline", "schemas", "transforms", "pipelines", "lab")
FILES = sorted(
    [
        *(path for folder in (*LAYERS, "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")),
        *(path for folder in ("docs", "configs", "examples") for path in (ROOT / folder).rglob("*.md")),
        *(ROOT / "configs").rglob("*.yaml"),
        *ROOT.glob("*.md"),
    ]
)
# A word as a part of an identifier or of prose: `run_place`, `PlaceRange`, `place`, but not `replace` or `placed`.
START, END = r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))", r"(?![a-z])"


@dataclass(frozen=True)
class Gone:
    """A word that is not used.

    Attributes:
        pattern: what it is found by.
        instead: what to say.
        allowed: phrases that may have it: another meaning, or the name of somebody else's interface.
    """

    pattern: str
    instead: str
    allowed: str = r"(?!)"


def word(*forms: str) -> str:
    """A pattern of these words, whole or within an identifier, capital or not."""
    return START + "(?:" + "|".join(f"[{form[0].upper()}{form[0]}]{form[1:]}" for form in forms) + ")" + END


GONE = [
    Gone(
        word("place", "places"),
        "shuffle key, location or position",
        r"\b[Ii]n place\b|\b(?:take|takes|took|in one|in the first|decimal|[0-9]) places?\b",
    ),
    Gone(r"[Mm]ain[ _]lines?\b", "timeline"),
    Gone(r"(?i)rewrit\w*|rewrote", "formatter, or write again"),
    Gone(
        r"\b(?:[Tt]he|of|two|three|all|its|'s|s') passes\b|\bpasses(?: over|[,.:=\]])|[a-z]_passes\b|\bpasses_|do_pass"
        r"|Pass[A-Z]|\bpass over (?:the (?:token )?store|(?:all )?(?:the )?runs)",
        "scan",
    ),
    Gone(
        r"(?i)visit\w*", "range read", r"\bNodeVisitor\b|\b(?:generic_)?visit_[A-Za-z]+|\bPipelineVisitor\b|\.visit\("
    ),
    Gone(r"\blook(?:s|ed|ing)? at\b|look_at\w*|\b(?:a|the|each|last|two) looks?\b", "the verb that is meant"),
    Gone(r"\b(?:source's|sources'|branch's) lines?\b|\bintervals? of (?:a|the) line\b", "stream"),
    Gone(r"located_parts|\bparts? \(phase or branch\)|\bConfig\.parts\b|\bconfig\.parts\b", "stage"),
]
# Bindings of names that say that something was found, but not what. Only ever lowered.
VAGUE = {"found": 33, "some": 7, "mine": 1}


def uses(text: str, gone: Gone) -> list[str]:
    """Lines with the word, numbered."""
    allowed = re.compile(gone.allowed)
    lines = enumerate(text.splitlines(), 1)
    return [f"{number}: {line.strip()}" for number, line in lines if re.search(gone.pattern, allowed.sub("", line))]


def bound(source: str) -> Iterator[str]:
    """Names that a source binds: variables, arguments, what `as` gives a name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name is not None:
            yield node.name


@pytest.mark.parametrize("gone", GONE, ids=lambda gone: gone.instead)
def test_words_that_are_gone(gone: Gone) -> None:
    lines = [f"{path.relative_to(ROOT)}:{line}" for path in FILES for line in uses(path.read_text("utf-8"), gone)]
    assert not lines, f"say {gone.instead}:\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("place_lo = run.places[0]", "shuffle key, location or position"),
        ("class PlaceRange(Range): ...", "shuffle key, location or position"),
        ("the budget ends before its place", "shuffle key, location or position"),
        ("replace(document)  # in place of the recipe's, to 6 decimal places, placed later", None),
        ("main_line = [phase for phase in phases]", "timeline"),
        ("rewriter: str | None", "formatter, or write again"),
        ("def do_pass(self) -> None:", "scan"),
        ("the planner's passes, each a pass over the store", "scan"),
        ("    pass  # a document passes the filter; one pass over its bytes", None),
        ("for run in visits: look_at_run(run)", "range read"),
        ("looks at every run", "the verb that is meant"),
        ("looks like an address; look it up", None),
        ("where it begins on the source's line", "stream"),
    ],
)
def test_a_word_is_found_in_its_old_meaning_alone(line: str, instead: str | None) -> None:
    assert [gone.instead for gone in GONE if uses(line, gone)][:1] == ([] if instead is None else [instead])


def test_variables_say_what_they_hold() -> None:
    counts = Counter(
        name for layer in LAYERS for path in (ROOT / layer).rglob("*.py") for name in bound(path.read_text("utf-8"))
    )
    above = {name: counts[name] for name, ceiling in VAGUE.items() if counts[name] > ceiling}
    assert not above, f"more than {VAGUE}: name what was found"


def test_every_way_to_bind_a_name_is_counted() -> None:
    source = "found = 1\nfor some in x: ...\ndef f(mine, *found): ...\nwith a as some: ...\n(mine := 2)\nprint(found)"
    assert Counter(bound(source)) == {"found": 2, "some": 2, "mine": 2}
