"""Imports of large libraries, without looking for garbage among what they make.

```
import byline.pipelines.jobs.build      3.9 to 4.1 s of CPU, a quarter of them in the garbage collector
the same, inside `quick_imports`        2.8 to 3.2 s
```

Measured with `python -c` on two cores. A million objects are made and nearly all stay, so they are also left out of all
later collections.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Collects no garbage inside, and later none of what was made until then."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
