"""The documentation lists every policy, method, order and reason, each with its own line."""

import pytest

from tests.support.doc_tables import DOCS, TABLES, DocTable


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.head)
def test_a_table_lists_what_there_is(table: DocTable) -> None:
    text = (DOCS / table.file).read_text(encoding="utf-8")
    assert "\n".join(table.lines()) in text, "python -m tests.support.doc_tables writes it"
    assert table.written(text) == text
    assert all(line for _, line in table.rows)


def test_a_table_is_written_in_place_of_the_old_one() -> None:
    table = DocTable("x.md", "| a | b |", [("one", "1"), ("two", "2")])
    old = "# x\n| a | b |\n|---|---|\n| `one` | 0 |\n\nmore\n"
    assert table.written(old) == "# x\n| a | b |\n|---|---|\n| `one` | 1 |\n| `two` | 2 |\n\nmore\n"
