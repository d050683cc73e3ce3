"""One line of `byline doctor`'s table."""

from dataclasses import dataclass
from enum import Enum

# What a library that is there but does not fit this machine raises: a missing shared object, another library's version.
BROKEN = (ImportError, OSError, AttributeError, RuntimeError, ValueError, TypeError)


class State(Enum):
    """How a check ended; the value is what the table shows."""

    OK = "ok"
    ABSENT = "-"  # only some builds need it
    FAILED = "no"


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        name: what was looked at.
        state: how it ended.
        found: what there is.
        mend: what to do about it; empty if nothing need be done.
    """

    name: str
    state: State
    found: str
    mend: str = ""


def one_line(error: Exception) -> str:
    """An error's text without its line breaks."""
    return " ".join(str(error).split())
