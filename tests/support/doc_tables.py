"""Tables of the documentation that list the kinds of something, as the kinds' own tables have them.

`python -m tests.support.doc_tables` writes them; tests/test_doc_tables.py holds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from byline.forms import FORMS
from byline.schemas.mixtures import METHODS
from byline.schemas.orders import ORDERS
from byline.transforms.exports import FORMATS
from byline.transforms.imports import KINDS
from byline.transforms.packing import POLICIES
from byline.transforms.scans.unused_reasons import UNUSED_REASONS

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class DocTable:
    """A table of one file, known by its first line; rows of name and line, the name as code."""

    file: str
    head: str
    rows: Sequence[tuple[str, str]]

    def lines(self) -> list[str]:
        columns = self.head.count("|") - 1
        return [self.head, "|" + "---|" * columns, *(f"| `{name}` | {line} |" for name, line in self.rows)]

    def written(self, text: str) -> str:
        """The text of the file with this table in place of the one with its first line."""
        before, after = text.split(f"{self.head}\n", 1)
        rest = after.splitlines()
        while rest and rest[0].startswith("|"):
            rest.pop(0)
        return before + "\n".join([*self.lines(), *rest]) + "\n"


DISCARDS = {policy.discards.name: policy.discards.line for policy in POLICIES.values() if policy.discards}
TABLES = [
    DocTable("formats.md", "| policy | packs so that |", [(name, policy.line) for name, policy in POLICIES.items()]),
    DocTable(
        "recipes.md",
        "| method | weight of source s, before all are divided by their sum |",
        [(name, method.line) for name, method in METHODS.items()],
    ),
    DocTable("recipes.md", "| order | documents are |", [(name, order.line) for name, order in ORDERS.items()]),
    DocTable("ledger.md", "| unused | meaning |", [(name, reason.line) for name, reason in UNUSED_REASONS.items()]),
    DocTable("trainers.md", "| form | a batch has | for |", [(name, form.line) for name, form in FORMS.items()]),
    DocTable(
        "exports.md", "| format | files | read by | lost |", [(name, form.line) for name, form in FORMATS.items()]
    ),
    DocTable(
        "imports.md", "| kind | files and columns | written by | left out |", [(k, v.line) for k, v in KINDS.items()]
    ),
    DocTable("ledger.md", "| discarded | meaning |", list(DISCARDS.items())),
]


def main() -> None:
    for table in TABLES:
        path = DOCS / table.file
        path.write_text(table.written(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
