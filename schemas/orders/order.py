"""What an order is: its settings, and what the planner asks of it.

```
a stage of 4 stretches        stretch 0   1   2   3
shuffled                      documents of the whole interval, by shuffle key
by number, bins 4             bin     0   1   2   3       of the ranks of the number, each shuffled inside
```

Whatever the order, a stage takes from each source the documents of one interval of its shuffle keys.
"""

from dataclasses import dataclass
from typing import ClassVar

from byline.schemas.mixtures.blend import Blend
from byline.schemas.model import Model


@dataclass(frozen=True)
class StageSources:
    """What a stage draws from.

    Attributes:
        numbers: source -> name and type of every number of its documents.
        is_schedule: whether its mixture changes along it.
    """

    numbers: dict[str, dict[str, str]]
    is_schedule: bool


class Order(Model):
    """The order of a stage's documents; its fields are its settings.

    Attributes:
        kind: its name.
        line: what it does, for the documentation.
        by: what a recipe names: an order, or a number.
    """

    kind: ClassVar[str] = ""
    line: ClassVar[str] = ""

    by: str

    @property
    def ranked_by(self) -> str | None:
        """The number that documents are ranked by; one without it is not taken. None for no ranks."""
        return None

    @property
    def is_descending(self) -> bool:
        """Whether the highest rank first."""
        return False

    @property
    def stretches(self) -> int:
        """Into how many stretches of equal length a stage is cut; 1 for no cuts."""
        return 1

    def bin_of(self, stretch: int) -> int:
        """Which bin of the ranks, from 0, a stretch takes; it takes it alone or shares it with others."""
        return stretch

    def arrange(self, blend: Blend) -> Blend:
        """The stage's mixture in this order."""
        return blend

    def check(self, where: str, sources: StageSources) -> None:
        """Refuses what the stage's sources do not have; `where` is the stage. Raises: BylineError."""
