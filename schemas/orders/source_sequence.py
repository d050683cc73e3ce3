"""One source after the other, each for as long as its weight says.

```
mixture: {code: 0.4, web: 0.6}     order: {by: source, sources: [code, web]}        code to 0.4 of the stage, then web
```
"""

from typing import ClassVar

from pydantic import Field, model_validator

from byline.errors import BylineError
from byline.schemas.mixtures.blend import Blend
from byline.schemas.model import Name, first_twice
from byline.schemas.orders.order import Order, StageSources


class SourceSequence(Order):
    """`sources`: every source of the mixture once."""

    kind: ClassVar[str] = "source"
    line: ClassVar[str] = "taken from one of `sources` after the other, from each for as long as its weight says"

    sources: list[Name] = Field(description="the names in their sequence")

    def arrange(self, blend: Blend) -> Blend:
        ((_, weights),) = blend.points
        return Blend.in_sequence(weights, [source for source in self.sources if source in weights])

    def check(self, where: str, sources: StageSources) -> None:
        if sorted(self.sources) != sorted(sources.numbers):
            raise BylineError(
                f"{where}.order.sources: expected every source of the mixture once "
                f"({', '.join(sorted(sources.numbers))}), found {', '.join(self.sources)}"
            )
        if sources.is_schedule:
            raise BylineError(
                f"{where}.order: one source after the other, and a mixture that changes, exclude each other"
            )

    @model_validator(mode="after")
    def _each_once(self) -> "SourceSequence":
        if (twice := first_twice(self.sources)) is not None:
            raise ValueError(f"sources: {twice!r} stands in it twice")
        return self
