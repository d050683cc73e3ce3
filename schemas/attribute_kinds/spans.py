"""Spans of documents' texts with labels, from files of one's own: personal data, toxic passages, quoted answers.

```yaml
secrets: {kind: spans, path: "pii/*.parquet", by: row, start: begin, stop: end, label: type}   # columns path and row
quotes:  {kind: spans, path: quotes.jsonl.gz, by: url}                                        # url, start, stop
toxic:   {kind: spans, path: "attributes/tox/**", by: id, layout: dolma,
          attributes: [toxic__jigsaw], least_score: 0.4}
```

| column | type | |
|---|---|---|
| secrets | bool | whether a document has a span that is not empty |
| secrets_ranges | ranges | the tokens with a byte in a span, for `mask`; null for none |
| secrets_labels | string | its labels, each once, sorted, with `+` between; null for none |

Start and stop count characters of the text: Unicode code points, from 0, without the stop, as Python slices a string.
Of a formatted source they count in the text that the formatter makes.
"""

from collections.abc import Mapping
from enum import Enum
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field, model_validator

from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.attribute_kinds.table import ROW, TableAttribute
from byline.schemas.corpora import Patterns
from byline.schemas.field_paths import FieldPath
from byline.schemas.model import Share


class SpansLayout(str, Enum):
    """How spans are written."""

    PLAIN = "plain"  # a span each record
    DOLMA = "dolma"  # an attribute file of the Dolma toolkit: id, and lists of [start, stop, score] by name


class SpansAttribute(Attribute):
    """Files of spans.

    Attributes:
        path: pattern(s) of the files: Parquet or JSON lines, told by their first bytes.
        by: what says the document, as of a table: `row`, `url`, or the name of a kept field.
        key: where that stands in a record, if not under its own name (`id` in layout dolma).
        start, stop: where the span's borders stand in a record, of layout plain.
        label: where its label stands; without one, there are no labels.
        layout: of the records.
        attributes: of layout dolma, the names of the attributes whose spans count; they are the labels.
        least_score: of layout dolma, spans of a lower score are left out.
        max_unmatched: the largest share of spans that may be of no document.
    """

    kind: Literal["spans"] = "spans"
    path: Patterns
    by: str
    key: FieldPath | None = None
    start: FieldPath = "start"
    stop: FieldPath = "stop"
    label: FieldPath | None = None
    layout: SpansLayout = SpansLayout.PLAIN
    attributes: list[str] = Field(default_factory=list)
    least_score: float | None = None
    max_unmatched: Share = Fraction(1, 2)

    @model_validator(mode="after")
    def _of_its_layout(self) -> "SpansAttribute":
        if self.layout is SpansLayout.DOLMA:
            if not self.attributes:
                raise ValueError("attributes: layout dolma needs the names of the attributes whose spans count")
            if self.by == ROW:
                raise ValueError("by: the records of layout dolma have an id; name the field that is kept of it")
            if self.label is not None:
                raise ValueError("label: in layout dolma the names of the attributes are the labels")
        elif self.attributes or self.least_score is not None:
            raise ValueError("attributes and least_score: only layout dolma takes them")
        return self

    @property
    def has_labels(self) -> bool:
        """Whether spans have labels."""
        return self.label is not None or self.layout is SpansLayout.DOLMA

    @property
    def table(self) -> TableAttribute:
        """The spans as a table: borders and label are columns, so that rows are read and exchanged like a table's."""
        columns: dict[str, Any] = {
            "start": {"path": self.start, "type": "int"},
            "stop": {"path": self.stop, "type": "int"},
        }
        if self.has_labels:
            columns["label"] = {"path": self.label, "type": "string"}
        key = "id" if self.key is None and self.layout is SpansLayout.DOLMA else self.key
        return TableAttribute(path=self.path, by=self.by, key=key, columns=columns, sources=self.sources)

    def column_types(self, name: str) -> Mapping[str, ColumnType]:
        """As the table above has them."""
        types: dict[str, ColumnType] = {name: "bool", f"{name}_ranges": "ranges"}
        return {**types, f"{name}_labels": "string"} if self.has_labels else types
