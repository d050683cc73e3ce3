"""The lines of a round, each of which is worked on once, by whichever command."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from byline.transforms.files.storage import exists, join, write_file


@dataclass(frozen=True)
class Once:
    """Leaves out lines that are done.

    Attributes:
        do: works on a line; all it writes stays until the round is not needed any more.
        folder: with a file for each line that is done.
    """

    do: Callable[[str], None]
    folder: str

    def __call__(self, line: str) -> None:
        """Works on a line."""
        uri = join(self.folder, hashlib.blake2b(line.encode(), digest_size=16).hexdigest())
        if not exists(uri):
            self.do(line)
            with write_file(uri) as sink:
                sink.write(b"done")
