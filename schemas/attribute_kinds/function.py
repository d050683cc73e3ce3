"""A user's own function over batches of documents.

```yaml
shouting: {kind: function, function: "mine.signals:shouting", columns: {shouting: float}, options: {least: 10}}
```
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.model import Name
from byline.schemas.own_objects import is_own_name


class FunctionAttribute(Attribute):
    """A function that takes a document batch.

    Attributes:
        function: `package.module:function`.
        columns: what it gives, by name, with their types.
        options: its keyword arguments, plain values.
    """

    kind: Literal["function"] = "function"
    function: str
    columns: dict[Name, Literal["string", "int", "float", "float32", "bool"]] = Field(min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("function")
    @classmethod
    def _is_own(cls, name: str) -> str:
        if not is_own_name(name):
            raise ValueError(f"expected package.module:function, found {name!r}")
        return name

    def column_types(self, name: str) -> Mapping[str, ColumnType]:
        """Those that the recipe names."""
        return dict(self.columns)
