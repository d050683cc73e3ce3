"""The table of `byline doctor`.

```
$ byline doctor configs/meco.yaml
ok  Python         3.11.7
ok  apache-beam    2.77.0
no  fasttext       not installed                        pip install ".[build]" in a clone
-   Dataflow       needs apache_beam's Google packages  pip install "apache-beam[gcp]"
ok  source dclm    12 files, 1.3 GB
no  model quality  quality.bin: no such file            correct classifiers.quality.model in configs/meco.yaml
```

`no` is something that a build needs; `-` is something that only some builds need.
"""

from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.table import Table
from rich.text import Text

INSTALL = 'pip install ".[build]" in a clone'
# What a library raises that is there but does not fit this machine: a missing shared object, another library's version.
BROKEN = (ImportError, OSError, AttributeError, RuntimeError, ValueError, TypeError)
_UNLIMITED = 10_000


class State(Enum):
    """How a check ended; the value is what the table shows."""

    OK = "ok"
    ABSENT = "-"  # only some builds need it
    FAILED = "no"


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        name: what was checked.
        state: how it ended.
        found: what there is.
        mend: what to do about it; empty where there is nothing to do.
    """

    name: str
    state: State
    found: str
    mend: str = ""


def show_checks(checks: list[Check], console: Console) -> int:
    """Prints the table.

    Returns:
        1 if something needed is missing, else 0.
    """
    if not console.is_terminal:
        # A pipe or a log has no width; at a made-up one, paths and commands would be cut.
        console.width = max(console.width, _UNLIMITED)
    console.print(_table(checks))
    failed = sum(check.state is State.FAILED for check in checks)
    missing = "1 thing is missing" if failed == 1 else f"{failed} things are missing"
    console.print(missing if failed else "all that is needed is there", highlight=False)
    return 1 if failed else 0


def _table(checks: list[Check]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    styles = {State.OK: "green", State.ABSENT: "dim", State.FAILED: "bold red"}
    # Folded, not cut with dots: a path or a command has to be whole.
    for _ in range(4):
        table.add_column(overflow="fold")
    for check in checks:
        # As `Text`, for a path in brackets is no markup.
        table.add_row(
            Text(check.state.value, styles[check.state]), Text(check.name), Text(check.found), Text(check.mend)
        )
    return table
