"""A number in bins: each has an equal part of each source's tokens, so the mixture is the same from bin to bin.

```
order: {by: num_tokens, bins: 3}        the third with the shortest documents, the middle third, the longest
```
"""

from typing import ClassVar, Literal

from pydantic import Field

from byline.errors import BylineError
from byline.schemas.orders.order import Order, StageSources


class ByNumber(Order):
    """A curriculum.

    Attributes:
        by: a score, `num_tokens`, `num_bytes`, or a field kept as int or float.
        direction: of the number.
        bins: quantiles of each source's tokens; shuffled inside.
    """

    kind: ClassVar[str] = "number"
    line: ClassVar[str] = "sorted by the number that `by` names, into `bins` quantiles of each source's tokens"

    direction: Literal["ascending", "descending"] = "ascending"
    bins: int = Field(default=10, ge=2, le=1000)

    @property
    def ranked_by(self) -> str:
        return self.by

    @property
    def is_descending(self) -> bool:
        return self.direction == "descending"

    @property
    def stretches(self) -> int:
        return self.bins

    def check(self, where: str, sources: StageSources) -> None:
        check_number(f"{where}.order.by", self.by, sources)


def check_number(where: str, name: str, sources: StageSources) -> None:
    """Refuses a number that a source does not have, or that is of several types. Raises: BylineError."""
    for source, numbers in sources.numbers.items():
        if name not in numbers:
            raise BylineError(
                f"{where}: source {source!r} has no number {name!r} (it has: {', '.join(numbers)}); give it a score "
                f"with sources.{source}.score or under classifiers, or keep a field as int or float"
            )
    kinds = {numbers[name] for numbers in sources.numbers.values()}
    if len(kinds) > 1:
        raise BylineError(f"{where}: {name!r} is of several types ({', '.join(sorted(kinds))}) in the sources")
