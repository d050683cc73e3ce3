"""How much the loss of a source's documents counts, as a recipe says it.

```yaml
loss_weight:
  code: 2                                      # each trained position of its documents
  web: {by: quality, most: 1.5, unknown: 0.5}  # a number of each document, between 0 and 1.5; 0.5 where it has none
                                               # any other source: 1
```

```
quality      0.25    3      -1    null   NaN
weight       0.25    1.5     0    0.5    0.5
```
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator

from byline.errors import BylineError
from byline.schemas.model import Exact, Model, Name, exact_number, write_exact
from byline.schemas.orders import StageSources
from byline.schemas.orders.by_number import check_number

# The largest float16, so that no weight depends on the type of the column.
LARGEST = 65504
Weight = Annotated[Exact, Field(ge=0, le=LARGEST)]


class NumberWeight(Model):
    """A number of each document.

    Attributes:
        by: a score, `num_tokens`, `num_bytes` or a kept number.
        most: any number above it counts as this; one below 0 counts as 0.
        unknown: of documents without the number (null, NaN).
    """

    by: str
    most: Weight = Fraction(1)
    unknown: Weight = Fraction(1)


def read_weight(value: Any) -> "NumberWeight | Fraction":
    """A weight as it is written: a number, or `by` and its settings. Raises: ValueError for anything else."""
    if isinstance(value, NumberWeight | Mapping):
        return NumberWeight.model_validate(value)
    weight = exact_number(value)
    if not 0 <= weight <= LARGEST:
        raise ValueError(f"expected a weight from 0 to {LARGEST}, found {float(weight):g}")
    return weight


def _write_weight(weight: "NumberWeight | Fraction") -> Any:
    return weight.model_dump(mode="json") if isinstance(weight, NumberWeight) else write_exact(weight)


SourceWeight = Annotated[NumberWeight | Fraction, PlainValidator(read_weight), PlainSerializer(_write_weight)]
# Source -> the weight of its documents; 1 for a source that is not named.
LossWeights = dict[Name, SourceWeight]


def check_weights(where: str, weights: LossWeights, numbers: Mapping[str, Mapping[str, str]]) -> None:
    """Refuses weights of other sources than there are, or by a number that a source does not have.

    Args:
        where: their key, for messages.
        weights: of a stage.
        numbers: source -> its numbers, as `Config.numbers_of`.

    Raises:
        BylineError: names the key.
    """
    for source, weight in weights.items():
        if source not in numbers:
            raise BylineError(f"{where}: there is no source {source!r}; the sources are {', '.join(sorted(numbers))}")
        if isinstance(weight, NumberWeight):
            check_number(
                f"{where}.{source}.by", weight.by, StageSources({source: dict(numbers[source])}, is_schedule=False)
            )


def plain_weights(weights: LossWeights) -> dict[str, Any]:
    """Weights as they are written."""
    return {source: _write_weight(weight) for source, weight in weights.items()}
