"""Faults of input files: what keeps one file from being used, while the others can be.

```
FaultyFileError  a.jsonl.gz: the gzip data is damaged or cut short behind byte 1048576 of its decompressed content (...)
where      byte 1048576
```
"""

from collections.abc import Callable

from byline.errors import BylineError


class FaultyFileError(BylineError):
    """A file that cannot be used as it is; one line, as any `BylineError`.

    Attributes:
        where: in the file, for a table of several faults: a byte or a row; empty where it is all of it.
        is_damage: whether what stands before the fault can be used (`damaged: use_readable`).
    """

    def __init__(self, message: str, where: str = "", *, is_damage: bool = False) -> None:
        super().__init__(message)
        self.where = where
        self.is_damage = is_damage


# Called with a file's source, its path, and its fault.
NoteFault = Callable[[str, str, FaultyFileError], None]
