"""A classifier of documents that are prepared already: their texts are read and scored, and not tokenized again.

```yaml
topic:   {kind: classifier, model: topics.bin}                       # the likeliest label, and topic_score
quality: {kind: classifier, model: q.bin, label: __label__hq}        # the probability of that label
```
"""

from collections.abc import Mapping
from typing import Literal

from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.model import Location


class ClassifierAttribute(Attribute):
    """A fastText model.

    Attributes:
        model: its file.
        label: whose probability is wanted; without one, the likeliest label and its probability.
    """

    kind: Literal["classifier"] = "classifier"
    model: Location
    label: str | None = None

    def column_types(self, name: str) -> Mapping[str, ColumnType]:
        """`name` alone for a label, else `name` and `name_score`."""
        return {name: "float32"} if self.label is not None else {name: "string", f"{name}_score": "float32"}
