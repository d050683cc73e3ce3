"""What all kinds of attributes share: an attribute is columns about documents, kept beside the runs of the token store.

```yaml
attributes:
  topic: {kind: classifier, model: topics.bin}                       # columns topic (string), topic_score (float32)
  twins: {kind: duplicates, near: fineweb}                           # columns twins (bool), twins_of (string), ...
```

A kind is a class below `Attribute` in a module of this package, and one line of `KINDS`.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from byline.schemas.model import Model, Name

# `ranges` are token ranges, start, end, start, ...: what a stage may mask.
ColumnType = Literal["string", "int", "float", "float32", "bool", "ranges"]


class Attribute(Model):
    """The settings of one attribute.

    Attributes:
        kind: one of `KINDS`.
        sources: whose documents it is about; None for those of all sources.
    """

    kind: str
    sources: list[Name] | None = Field(default=None, min_length=1)

    def column_types(self, name: str) -> Mapping[str, ColumnType]:
        """The columns of an attribute of this name, by name."""
        raise NotImplementedError

    def is_about(self, source: str) -> bool:
        """Whether it has columns for a source."""
        return self.sources is None or source in self.sources

    @property
    def depends_on_all(self) -> bool:
        """Whether what it says of a document depends on the others, so that it is made anew when files are added."""
        return False
