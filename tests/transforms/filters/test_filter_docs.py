"""docs/filters.md lists every rule and group as the tables have them."""

import re
from pathlib import Path

from byline.transforms.filters.every_rule import GROUPS, RULES
from byline.transforms.filters.rules import Rule

TEXT = (Path(__file__).parents[3] / "docs" / "filters.md").read_text(encoding="utf-8")


def number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def published(rule: type[Rule]) -> str:
    """Its bounds, as a recipe would give them."""
    by_size = getattr(rule, "bounds", None)
    if by_size is not None:
        return f"at_most {', '.join(map(number, by_size.values()))}"
    bounds = {key: rule.model_fields[key].default for key in ("at_least", "at_most") if key in rule.model_fields}
    given = {key: bound for key, bound in bounds.items() if bound is not None and rule.source}
    return ", ".join(f"{key} {number(bound)}" for key, bound in given.items())


def rows_below(head: str) -> list[list[str]]:
    """Cells of a table, by the first line of it."""
    lines = TEXT.split(f"{head}\n", 1)[1].splitlines()[1:]
    table = lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in re.split(r" \| | \|$|^\| ", line)[1:-1]] for line in table]


def test_every_rule_is_documented_with_its_bounds_and_source():
    rows = rows_below("| rule | keeps | published settings | source |")
    assert rows == [[f"`{kind}`", rule.keeps, published(rule), rule.source] for kind, rule in RULES.items()]


def test_every_group_is_documented_with_its_rules():
    rows = rows_below("| group | rules |")
    assert {name: list(dict.fromkeys(re.findall(r"`(\w+)`", members))) for (name, members) in rows} == {
        f"`{name}`": list(dict.fromkeys(rule.kind for rule, _ in group)) for name, group in GROUPS.items()
    }


def test_every_setting_is_documented():
    for rule in RULES.values():
        for setting in rule.model_fields:
            assert f"`{setting}`" in TEXT, (rule.kind, setting)
