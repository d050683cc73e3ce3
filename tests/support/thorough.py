"""How much is tried of what can be drawn or listed: a third by `make test`, all by `make test ALL=1`.

```
@examples(300)          100 examples of hypothesis; 300
part(range(9))          0, 3, 6; all
```
"""

import os
from collections.abc import Iterable
from typing import Any, TypeVar

from hypothesis import settings

Item = TypeVar("Item")

STEP = 1 if os.environ.get("BYLINE_TEST_ALL") else 3


def examples(number: int, **others: Any) -> settings:
    """Hypothesis' settings for a test that draws this many examples if all is tried."""
    return settings(max_examples=-(-number // STEP), **others)


def part(items: Iterable[Item]) -> list[Item]:
    """The items that are tried."""
    return list(items)[::STEP]
