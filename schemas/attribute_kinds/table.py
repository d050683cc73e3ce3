"""A table from elsewhere, joined to documents: labels of a language model, a web organizer, another corpus' signals.

```yaml
topic:    {kind: table, path: "topics/*.parquet", by: url, column: topic}
labels:   {kind: table, path: labels.jsonl.gz, by: id, columns: {topic: {}, q: {path: scores.q, type: float}}}
ratings:  {kind: table, path: "ratings/*", by: row, column: {path: stars, type: int}}       # columns path and row
toxicity: {kind: table, path: "attributes/tox/**", layout: dolma, by: id, column: exp__jigsaw__doc_toxic}
signals:  {kind: table, path: "quality_signals/**", layout: redpajama, by: row, columns: {ccnet_perplexity: {}}}
```

What each layout has, `byline.transforms.attributes.tables.layouts` says.
"""

from collections.abc import Mapping
from enum import Enum
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field, model_validator

from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.corpora import Patterns
from byline.schemas.field_paths import FieldPath
from byline.schemas.model import Model, Name, Share

# What `by` says besides the name of a kept field.
ROW, URL = "row", "url"


class TableLayout(str, Enum):
    """How the rows of a table are made."""

    PLAIN = "plain"  # a value stands at a path
    DOLMA = "dolma"  # an attribute file of the Dolma toolkit: spans with scores, by id
    REDPAJAMA = "redpajama"  # quality signals of RedPajama-V2: likewise, the id says path and row


class Doubled(str, Enum):
    """What a key does that stands in the table twice, with other values."""

    ERROR = "error"  # stop, and name both rows
    FIRST = "first"  # the first one counts, in order of the files' paths


class TableColumn(Model):
    """A column of an attribute.

    Attributes:
        path: where its values stand in a row; in a layout with spans, the name of the attribute or signal. Under its
            own name where that is not said.
        type: of the values; of a layout with spans, float where that is not said.
    """

    path: FieldPath | None = None
    type: Literal["string", "int", "float", "bool"] | None = None


class TableAttribute(Attribute):
    """A table.

    Attributes:
        path: pattern(s) of its files, as for a source: Parquet or JSON lines, told by their first bytes.
        by: `row`, for which the table has the columns `path`, `row` and, if it is not one source's, `source`; `url`; or
            the name of a kept field.
        key: where that stands in a row of the table, if not where the layout has it.
        column: one column, which is called as the attribute.
        columns: or several, by name.
        layout: of the rows.
        max_unmatched: the largest share of a source's documents that may have no row in the table.
        doubled: what two rows of one key with other values do.
    """

    kind: Literal["table"] = "table"
    path: Patterns
    by: str
    key: FieldPath | None = None
    column: TableColumn | None = None
    columns: dict[Name, TableColumn] = Field(default_factory=dict)
    layout: TableLayout = TableLayout.PLAIN
    max_unmatched: Share = Fraction(1, 2)
    doubled: Doubled = Doubled.ERROR

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, values: Any) -> Any:
        """`column: topic` is that path."""
        if isinstance(values, Mapping) and isinstance(values.get("column"), str):
            return {**values, "column": {"path": values["column"]}}
        return values

    @model_validator(mode="after")
    def _one_way(self) -> "TableAttribute":
        if (self.column is None) == (not self.columns):
            raise ValueError("expected `column`, a path, or `columns`, a mapping of names to {path: ..., type: ...}")
        if self.by == ROW and self.key is not None and self.layout is TableLayout.PLAIN:
            raise ValueError("key: a table that is joined by row has the columns `path`, `row` and perhaps `source`")
        if self.by == ROW and self.layout is TableLayout.DOLMA:
            raise ValueError("by: the rows of layout dolma have an id; name the field that is kept of it")
        if self.by == URL and self.key is None and self.layout is TableLayout.DOLMA:
            raise ValueError("key: the rows of layout dolma have no URL of their own; say where it stands")
        wrong = [column.type for column in self.columns.values() if column.type in ("string", "bool")]
        if self.column is not None and self.column.type in ("string", "bool"):
            wrong.append(self.column.type)
        if wrong and self.has_spans:
            raise ValueError(
                f"a column of layout {self.layout.value} is a score: expected float or int, found {wrong[0]}"
            )
        return self

    @property
    def has_spans(self) -> bool:
        """Whether its values are spans of the text with a score each."""
        return self.layout is not TableLayout.PLAIN

    def wanted(self, name: str) -> dict[str, tuple[str, Literal["string", "int", "float", "bool"]]]:
        """The columns of an attribute of this name: where the values of each stand, and their type."""
        columns = self.columns if self.column is None else {name: self.column}
        default: Literal["string", "float"] = "float" if self.has_spans else "string"
        return {
            column: (column if of.path is None else of.path, default if of.type is None else of.type)
            for column, of in columns.items()
        }

    def column_types(self, name: str) -> Mapping[str, ColumnType]:
        """Those that it wants."""
        return {column: kind for column, (_, kind) in self.wanted(name).items()}
