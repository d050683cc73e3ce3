"""What a mixture is: its settings, and what the rest of a recipe and the planner ask of it."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, ClassVar

from pydantic import Field

from byline.schemas.mixtures.blend import Blend
from byline.schemas.model import Exact, Model, Name


class Mixture(Model):
    """How a stage's tokens are divided between sources; its fields are its settings.

    Attributes:
        kind: its name in a recipe.
        line: weight of source s of n(s) positions, before all are divided by their sum; for the documentation.
        is_schedule: whether the weights change along a stage.
        uses_every_source_up: whether, with `tokens: all`, every source is used to its end.
        method: the name that a recipe gives.
        max_epochs: the most epochs of each source, one number or by source; what a cap frees goes to the others.
    """

    kind: ClassVar[str] = ""
    line: ClassVar[str] = ""
    is_schedule: ClassVar[bool] = False
    uses_every_source_up: ClassVar[bool] = False

    method: str
    max_epochs: Annotated[Exact, Field(gt=0)] | dict[Name, Annotated[Exact, Field(gt=0)]] | None = None

    @property
    def named(self) -> set[str] | None:
        """The sources with a weight above zero somewhere; None for all sources."""
        return None

    @property
    def mentioned(self) -> set[str]:
        """Every source that it names, for whatever."""
        return {*(self.named or ()), *(self.max_epochs if isinstance(self.max_epochs, dict) else ())}

    def epoch_limit(self, source: str) -> Fraction | None:
        """The most epochs of a source, where something says so."""
        return self.max_epochs.get(source) if isinstance(self.max_epochs, dict) else self.max_epochs

    def blend(self, sizes: Mapping[str, int]) -> Blend:
        """The weights along a stage.

        Args:
            sizes: source -> positions that one epoch of it fills. Weights that stay are those of these sources alone.
        """
        raise NotImplementedError


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
