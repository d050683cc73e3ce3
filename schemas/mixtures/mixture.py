"""What a mixture is: its settings, and what the rest of a recipe and the planner ask of it.

```
{method: weights, weights: {web: 0.6, code: 0.4}}                          between sources
{method: weights, by: topic, weights: {cooking: 0.3, sport: 0.7}}          between labels: the values of a field
{method: epochs, by: quality, bins: 4, epochs: [0, 1, 2, 4]}               between bins of a number, the lowest first
```

A mixture by something else than the source divides its tokens between **labels**; inside a label, each source gives as
much as it has of it. `s` below is then a label in place of a source.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from byline.schemas.mixtures.blend import Blend
from byline.schemas.model import Exact, Model

# The label of documents without a value of the field.
UNKNOWN = "null"

_Value = TypeVar("_Value")


def _as_label(value: Any) -> Any:
    """YAML reads a label that is a number, a truth value or null as that."""
    if value is None:
        return UNKNOWN
    return str(value).lower() if isinstance(value, int) else value


def _by_bin(value: Any) -> Any:
    """A list is of bins, the lowest first."""
    return {str(number): of_bin for number, of_bin in enumerate(value)} if isinstance(value, list) else value


# A source, or a label.
Label = Annotated[str, BeforeValidator(_as_label)]
ByLabel = Annotated[dict[Label, _Value], BeforeValidator(_by_bin)]


class Mixture(Model):
    """How a stage's tokens are divided between sources; its fields are its settings.

    Attributes:
        kind: its name in a recipe.
        line: weight of source s of n(s) positions, before all are divided by their sum; for the documentation.
        is_schedule: whether the weights change along a stage.
        uses_every_source_up: whether, with `tokens: all`, every source is used to its end.
        method: the name that a recipe gives.
        by: a template field, the values of which are its labels, or with `bins` a number; `source` is what None is.
        bins: into how many quantiles the number is cut, or the borders between its bins, which are the labels from 0.
        max_epochs: the most epochs of each source, one number or by source; what a cap frees goes to the others.
    """

    kind: ClassVar[str] = ""
    line: ClassVar[str] = ""
    is_schedule: ClassVar[bool] = False
    uses_every_source_up: ClassVar[bool] = False

    method: str
    by: str | None = None
    bins: Annotated[int, Field(ge=2, le=1000)] | list[Exact] | None = None
    max_epochs: Annotated[Exact, Field(gt=0)] | ByLabel[Annotated[Exact, Field(gt=0)]] | None = None

    @property
    def label_field(self) -> str | None:
        """The field that gives labels; None where it is between sources."""
        return None if self.by == "source" else self.by

    @property
    def bin_labels(self) -> list[str]:
        """The labels of its bins, the lowest first."""
        count = len(self.bins) + 1 if isinstance(self.bins, list) else self.bins or 0
        return [str(number) for number in range(count)]

    @property
    def named(self) -> set[str] | None:
        """The sources, or labels, with a weight above zero somewhere; None for all."""
        return None

    @property
    def mentioned(self) -> set[str]:
        """Every source, or label, that it names, for whatever."""
        return {*(self.named or ()), *(self.max_epochs if isinstance(self.max_epochs, dict) else ())}

    def epoch_limit(self, source: str) -> Fraction | None:
        """The most epochs of a source, where something says so."""
        return self.max_epochs.get(source) if isinstance(self.max_epochs, dict) else self.max_epochs

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A plan of mixtures between sources is, byte for byte, one that knows nothing of labels.
        values: dict[str, Any] = write(self)
        return {key: value for key, value in values.items() if value is not None or key not in ("by", "bins")}

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        """The weights along a stage.

        Args:
            sizes: source -> positions that one epoch of it fills. Weights that stay are those of these sources alone.
        """
        raise NotImplementedError

    @model_validator(mode="after")
    def _bins_of_a_number(self) -> Any:
        if self.bins is None:
            return self
        if self.label_field is None:
            raise ValueError("`bins` needs `by`: a number such as num_tokens or a score")
        if isinstance(self.bins, list) and (not self.bins or self.bins != sorted(set(self.bins))):
            raise ValueError("bins: expected a number of bins, or borders that ascend")
        labels = [*self.bin_labels, UNKNOWN]
        for label in sorted(self.mentioned):
            if label not in labels:
                raise ValueError(f"there is no bin {label!r}; they are {labels[0]} to {labels[-2]}, and {UNKNOWN}")
        missing = [] if self.named is None else [label for label in labels[:-1] if label not in self.mentioned]
        if missing:
            raise ValueError(
                f"nothing is said of bin {missing[0]}; give each of {len(labels) - 1} bins something, or 0"
            )
        return self


def check_sum(where: str, weights: dict[str, Fraction]) -> None:
    """Raises a ValueError for weights that do not sum to one."""
    total = sum(weights.values())
    if total != 1:
        raise ValueError(f"{where}the weights sum to {float(total):g}, not to 1; change one by {float(1 - total):+g}")


def above_zero(weights: Mapping[str, Fraction]) -> set[str]:
    """The sources that have something."""
    return {source for source, weight in weights.items() if weight > 0}


def to_one(weights: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Weights divided by their sum, where they have one."""
    total = sum(weights.values(), Fraction(0))
    return {source: weight / total for source, weight in weights.items()} if total else dict(weights)
