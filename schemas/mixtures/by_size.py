"""Weights that follow from what there is: n(s) positions in one epoch of source s.

```
sizes         web 8000, code 1000
natural       web 8/9, code 1/9
temperature   alpha 1/3: web 20, code 10 -> 2/3, 1/3      (arXiv 1901.07291, where alpha is 1 / T)
unimax        web 1/2, code 1/2, then caps                (arXiv 2304.09151)
epochs        web 1, code 2: web 8000, code 2000 -> 4/5, 1/5
```
"""

from collections.abc import Mapping
from decimal import Context, Decimal
from fractions import Fraction
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from byline.schemas.mixtures.blend import Blend
from byline.schemas.mixtures.mixture import ByLabel, Mixture, above_zero, to_one
from byline.schemas.model import Exact

_DIGITS = 12
# Enough digits that a size to a power is the same on every machine.
_DECIMALS = Context(prec=40)


class Natural(Mixture):
    kind: ClassVar[str] = "natural"
    line: ClassVar[str] = "n(s): by size; the default"
    uses_every_source_up: ClassVar[bool] = True

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        return Blend.constant(to_one({source: Fraction(size) for source, size in sizes.items()}))


class Temperature(Mixture):
    """`alpha`: the power, 0 for equal weights, 1 for natural ones."""

    kind: ClassVar[str] = "temperature"
    line: ClassVar[str] = "n(s) ^ `alpha`; `alpha` 1 is natural, 0 is equal; 1 / T in papers that have a temperature"

    alpha: Annotated[Exact, Field(ge=0, le=1)]

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        return Blend.constant(to_one({source: _power(size, self.alpha) for source, size in sizes.items()}))


def _power(size: int, alpha: Fraction) -> Fraction:
    if size == 0:
        return Fraction(0)
    exponent = _DECIMALS.divide(Decimal(alpha.numerator), Decimal(alpha.denominator))
    return Fraction(round(_DECIMALS.power(Decimal(size), exponent), _DIGITS))


class Unimax(Mixture):
    kind: ClassVar[str] = "unimax"
    line: ClassVar[str] = "1, at most `max_epochs` * n(s) positions (arXiv 2304.09151)"

    max_epochs: Annotated[Exact, Field(gt=0)] | ByLabel[Annotated[Exact, Field(gt=0)]] = Field(
        description="the most epochs of a source, such as 4"
    )

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        return Blend.constant(to_one({source: Fraction(size > 0) for source, size in sizes.items()}))


class Epochs(Mixture):
    """`epochs`: source -> how many."""

    kind: ClassVar[str] = "epochs"
    line: ClassVar[str] = "`epochs`(s) * n(s); with `tokens: all` exactly that many epochs"
    uses_every_source_up: ClassVar[bool] = True

    epochs: ByLabel[Annotated[Exact, Field(ge=0)]]

    @property
    def named(self) -> set[str]:
        return above_zero(self.epochs)

    @property
    def mentioned(self) -> set[str]:
        return set(self.epochs)

    def epoch_limit(self, source: str) -> Fraction | None:
        return self.epochs.get(source, Fraction(0))

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        return Blend.constant(
            to_one({source: self.epochs.get(source, Fraction(0)) * size for source, size in sizes.items()})
        )

    @model_validator(mode="after")
    def _says_all_itself(self) -> "Epochs":
        if self.max_epochs is not None:
            raise ValueError("method epochs takes no `max_epochs`: it says how many epochs itself")
        if not self.named:
            raise ValueError("epochs: every source has none; give one at least some")
        return self
