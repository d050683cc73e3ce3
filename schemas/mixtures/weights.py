"""`weights`: as given.

```
mixture: {web: 0.75, code: 0.25}        web 3/4, code 1/4
```
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from byline.schemas.mixtures.blend import Blend
from byline.schemas.mixtures.mixture import ByLabel, Mixture, above_zero, check_sum, to_one
from byline.schemas.model import Exact


class Weights(Mixture):
    """`weights`: source -> weight; they sum to one."""

    kind: ClassVar[str] = "weights"
    line: ClassVar[str] = 'as given: decimals, or `"1/3"`; they sum to one'

    weights: ByLabel[Annotated[Exact, Field(ge=0)]]

    @property
    def named(self) -> set[str]:
        return above_zero(self.weights)

    @property
    def mentioned(self) -> set[str]:
        return super().mentioned | set(self.weights)

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        return Blend.constant(to_one({source: self.weights.get(source, Fraction(0)) for source in sizes}))

    @model_validator(mode="after")
    def _sums_to_one(self) -> "Weights":
        check_sum("", self.weights)
        return self
