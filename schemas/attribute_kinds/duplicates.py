"""Documents that occur several times, in one source or in several: all but one of each are marked.

```yaml
twins:
  kind: duplicates
  near: fineweb                  # or nemo, strict; none for equal documents alone
  similarity: 0.75               # the Jaccard similarity from which on a document is a near duplicate
  normalization: text            # in which form documents are equal: exact, text, simplified
  priority: [dclm, c4]           # whose documents are kept; then the other sources, and then the lowest shuffle key
  max_removed: 60%               # of a source; more is an error that shows the largest clusters
```

| column | type | |
|---|---|---|
| twins | bool | whether the document is a duplicate of one that is kept |
| twins_of | string | that one, `source/path:row`; null for one that is kept |
| twins_sources | int | in how many sources it or what is kept for it occurs |
| twins_matched | string | these sources, sorted, with `+` between |

docs/duplicates.md has the forms and the presets.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.model import Name, Share, first_twice

# With so many parts, similarities are compared in whole numbers of 64 bits.
_FINEST = 10**6


class DuplicatesAttribute(Attribute):
    """What a duplicate is, and which one is kept.

    Attributes:
        near: a preset of MinHash for similar documents; None for equal ones alone.
        similarity: from which on documents are similar; None for what the preset says.
        normalization: the form in which documents are equal.
        priority: sources, the first one's documents before all others'; those not named come behind.
        max_removed: the largest share of a source's documents that may be duplicates.
    """

    kind: Literal["duplicates"] = "duplicates"
    near: Literal["fineweb", "nemo", "strict"] | None = "fineweb"
    similarity: Share | None = None
    normalization: Literal["exact", "text", "simplified"] = "text"
    priority: list[Name] = Field(default_factory=list)
    max_removed: Share = Fraction(3, 5)

    @field_validator("near", mode="before")
    @classmethod
    def _none(cls, near: Any) -> Any:
        """Also by name: `null` removes a key that a file extends, or that `--set` changes."""
        return None if near == "none" else near

    @field_validator("similarity")
    @classmethod
    def _can_be_compared(cls, similarity: Fraction | None) -> Fraction | None:
        if similarity is not None and (similarity == 0 or similarity.denominator > _FINEST):
            raise ValueError("expected a number above 0 with six decimals at most")
        return similarity

    @model_validator(mode="after")
    def _fits(self) -> "DuplicatesAttribute":
        if self.near is None and self.similarity is not None:
            raise ValueError("similarity: of no use without `near`: equal documents alone are duplicates")
        twice = first_twice(self.priority)
        if twice is not None:
            raise ValueError(f"priority: {twice} stands there twice")
        unknown = [name for name in self.priority if not self.is_about(name)]
        if unknown:
            raise ValueError(f"priority: {unknown[0]} is not among the `sources` of the attribute")
        return self

    def column_types(self, name: str) -> Mapping[str, ColumnType]:
        """As the table above has them."""
        return {name: "bool", f"{name}_of": "string", f"{name}_sources": "int", f"{name}_matched": "string"}

    @property
    def depends_on_all(self) -> bool:
        """It does."""
        return True
