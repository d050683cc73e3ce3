"""Labels without a teacher: documents are grouped by the words they share.

```yaml
topic: {kind: clusters, number: 24}            # topic: 07-recipe-oven-butter, topic_similarity: 0.41
```

| column | type | |
|---|---|---|
| topic | string | number and three words of the nearest cluster; null for a text without words |
| topic_similarity | float32 | the cosine with its centre, from 0 to 1; null as well |
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType

# Three centres for each cluster, of as many numbers as there are features, are in memory at first: 500 MB of them.
_MOST_NUMBERS = 1 << 24


class ClustersAttribute(Attribute):
    """How many clusters, and of what they are made.

    Attributes:
        number: of clusters, at most; fewer if fewer documents differ.
        sample: documents that the centres are found from; each source has its share.
        iterations: of k-means over the sample.
        features: buckets that words are hashed into, a power of two.
        seed: of the hashes that draw where k-means begins.
    """

    kind: Literal["clusters"] = "clusters"
    number: int = Field(default=24, ge=1, le=1024)
    sample: int = Field(default=100_000, ge=1, le=1_000_000)
    iterations: int = Field(default=5, ge=1, le=100)
    features: int = Field(default=1 << 16, ge=1 << 10, le=1 << 18)
    seed: int = Field(default=0, ge=0, lt=1 << 32)

    @model_validator(mode="after")
    def _fits(self) -> "ClustersAttribute":
        if self.features & (self.features - 1):
            raise ValueError(f"features: expected a power of two such as 65536, found {self.features}")
        if self.number * self.features > _MOST_NUMBERS:
            raise ValueError(
                f"features: expected {_MOST_NUMBERS // self.number:,} at most for {self.number} clusters, so that the "
                f"centres fit in memory; found {self.features:,}"
            )
        return self

    @property
    def bits(self) -> int:
        """The binary logarithm of `features`."""
        return self.features.bit_length() - 1

    def column_types(self, name: str) -> Mapping[str, ColumnType]:
        """As the table above has them."""
        return {name: "string", f"{name}_similarity": "float32"}

    @property
    def depends_on_all(self) -> bool:
        """It does: the centres are those of all sources."""
        return True
