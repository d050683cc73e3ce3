"""How much the loss of a source's documents counts, as a recipe says it.

```yaml
loss_weight:
  code: 2                                      # each trained position of its documents
  web: {by: quality, most: 1.5, unknown: 0.5}  # a number of each document, between 0 and 1.5; 0.5 where it has none
  chats: formatter                             # what its formatter gives each part of a document
  exam: [formatter, 0.5]                       # the same times a constant, or times a number of each document
                                               # any other source: 1
```

```
quality      0.25    3      -1    null   NaN
weight       0.25    1.5     0    0.5    0.5
```
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator

from byline.errors import BylineError
from byline.schemas.model import Exact, Model, Name, exact_number, write_exact
from byline.schemas.orders import StageSources
from byline.schemas.orders.by_number import check_number

# The largest float16, so that no weight depends on the type of the column.
LARGEST = 65504
# The smallest positive float16: what is to count counts in a column of either type.
SMALLEST = 2.0**-24
# How a recipe says it, and one that multiplies it.
FORMATTER = "formatter"


def _checked(weight: Fraction) -> Fraction:
    if weight == 0 or SMALLEST <= weight <= LARGEST:
        return weight
    raise ValueError(f"expected 0 or a weight from {SMALLEST:g} to {LARGEST}, found {float(weight):g}")


Weight = Annotated[Exact, AfterValidator(_checked)]


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


DocumentWeight = NumberWeight | Fraction


@dataclass(frozen=True)
class FormatterWeight:
    """What the formatter gives each loss span, times a weight of the document."""

    document: DocumentWeight = Fraction(1)


def read_weight(value: Any) -> "FormatterWeight | DocumentWeight":
    """A weight as it is written: a number, `by` and its settings, `formatter`, or a list of that and one of the others.

    Raises:
        ValueError: it is none of them.
    """
    if isinstance(value, FormatterWeight):
        return value
    if value == FORMATTER:
        return FormatterWeight()
    if isinstance(value, list):
        others = [factor for factor in value if factor != FORMATTER]
        if len(value) != 2 or len(others) != 1:
            raise ValueError(f"expected [{FORMATTER}, WEIGHT], which are multiplied, found {value!r}")
        return FormatterWeight(_read_document_weight(others[0]))
    return _read_document_weight(value)


def _read_document_weight(value: Any) -> DocumentWeight:
    if isinstance(value, NumberWeight | Mapping):
        return NumberWeight.model_validate(value)
    return _checked(exact_number(value))


def _write_weight(weight: FormatterWeight | DocumentWeight) -> Any:
    if isinstance(weight, FormatterWeight):
        return FORMATTER if weight.document == 1 else [FORMATTER, _write_weight(weight.document)]
    return weight.model_dump(mode="json") if isinstance(weight, NumberWeight) else write_exact(weight)


SourceWeight = Annotated[
    FormatterWeight | NumberWeight | Fraction, PlainValidator(read_weight), PlainSerializer(_write_weight)
]
# Source -> the weight of its documents; 1 for a source that is not named.
LossWeights = dict[Name, SourceWeight]


def document_weight(weight: FormatterWeight | DocumentWeight | None) -> DocumentWeight:
    """The weight of a source's documents, without what its formatter gives; 1 for a source that is not named."""
    if weight is None:
        return Fraction(1)
    return weight.document if isinstance(weight, FormatterWeight) else weight


def weights_key(stage_key: str, own: LossWeights | None) -> str:
    """The key that a stage has its weights from, for messages.

    Args:
        stage_key: of the stage, such as `phases.main`.
        own: its own weights; None where it has the recipe's.
    """
    return "loss_weight" if own is None else f"{stage_key}.loss_weight"


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
        number = document_weight(weight)
        if isinstance(number, NumberWeight):
            check_number(
                f"{where}.{source}.by", number.by, StageSources({source: dict(numbers[source])}, is_schedule=False)
            )


def plain_weights(weights: LossWeights) -> dict[str, Any]:
    """Weights as they are written."""
    return {source: _write_weight(weight) for source, weight in weights.items()}
