"""How much is tried of what can be drawn or listed: a third by `make test`, all by `make test ALL=1`.

```
@examples(300)          100 examples of hypothesis, others each time; 300, the same each time
part(range(9))          0, 3, 6; all
```

Continuous integration tries all. There the same examples come each time, so that it fails by what a change does.
"""

import os
from collections.abc import Iterable
from typing import Any, TypeVar

from hypothesis import settings

Item = TypeVar("Item")

ALL = bool(os.environ.get("BYLINE_TEST_ALL"))
STEP = 1 if ALL else 3


def examples(number: int, **others: Any) -> settings:
    """Hypothesis' settings for a test that draws this many examples if all is tried."""
    return settings(max_examples=-(-number // STEP), derandomize=ALL, **others)


def part(items: Iterable[Item]) -> list[Item]:
    """The items that are tried."""
    return list(items)[::STEP]
