"""The one error type for mistakes that a user can fix."""

from typing import Any

from byline.printable import printable

BUILD_ANEW = "delete this build or choose another `output`, and build again"


class BylineError(ValueError):
    """A mistake in input, configuration or files: one line that says what, where and what to do.

    The command line prints the message without a traceback. Names in it may hold line ends and codes of a terminal:
    whoever takes the text of the error gets these as escapes.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class DamagedFileError(BylineError):
    """A file that Byline wrote is not what was written: damaged, edited, or another file under its name."""


def of_version(expected: int, found: Any, otherwise: str) -> str:
    """The end of a message about a file of another version.

    ```
    2, found 3    of version 2 (found 3); a newer Byline wrote it, so update this one
    2, found 1    of version 2 (found 1); delete this build or choose another `output`, and build again
    ```

    Args:
        expected: the only version that this Byline reads.
        found: the version that the file gives.
        otherwise: what to do if it is not a newer one.
    """
    is_newer = isinstance(found, int) and found > expected
    advice = "a newer Byline wrote it, so update this one" if is_newer else otherwise
    return f"of version {expected} (found {found!r}); {advice}"
