"""What can be imported: a kind says which files a folder has, and what the samples of one of them are.

```
folder   list_folder  ->  files in order, what lists them, columns that are left out            by the driver
file     read         ->  ids, loss mask and segments of every sample                           by a worker
```
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from byline.errors import BylineError
from byline.schemas.imports import ImportedFile


@dataclass(frozen=True)
class Samples:
    """The samples of one file, each a row.

    Attributes:
        uri: of the file, for messages.
        ids: integers of any type [n, L].
        mask: uint8 [n, L], 1 where the loss counts.
        lengths: int64 [S], of all segments, one sample after another; those of a sample sum to L.
        segments: int64 [n], how many each sample has.
        domains: the domain that samples name -> how many do.
    """

    uri: str
    ids: np.ndarray
    mask: np.ndarray
    lengths: np.ndarray
    segments: np.ndarray
    domains: dict[str, int] = field(default_factory=dict)

    def refuse(self, bad: np.ndarray, what: str | Callable[[int], str]) -> None:
        """Raises the error of the first sample for which `bad` (bool [n]) is true, if there is any."""
        refuse_sample(self.uri, bad, what)


def refuse_sample(uri: str, bad: np.ndarray, what: str | Callable[[int], str]) -> None:
    """Raises the error of the first sample of a file for which `bad` (bool [n]) is true, if there is any.

    Raises:
        BylineError: there is one.
    """
    if bad.any():
        sample = int(bad.argmax())
        raise BylineError(f"{uri}: sample {sample}: {what if isinstance(what, str) else what(sample)}")


class Folder(ABC):
    """A folder of one kind.

    Attributes:
        location: its absolute path or address.
        lists_sha256: of what lists its files (hex); another one is another import.
        files: in order.
        left_out: columns that are not imported.
    """

    location: str
    lists_sha256: str
    files: Sequence[ImportedFile]
    left_out: Sequence[str]

    @abstractmethod
    def lost(self) -> list[str]:
        """Paths of files that are gone or of another size than is said, as far as that is seen without reading them."""

    @abstractmethod
    def length(self) -> int:
        """Tokens of its first sample.

        Raises:
            BylineError: it has no sample, or the first one is wrong.
        """

    @abstractmethod
    def masks(self) -> bool:
        """Whether its first sample leaves anything out of the loss. Raises as `length`."""

    @abstractmethod
    def read(self, number: int, length: int) -> Samples:
        """The samples of a file, each of `length` tokens.

        Args:
            number: of the file in `files`.
            length: L.

        Raises:
            BylineError: the file or a sample of it is wrong.
        """


class ImportKind(ABC):
    """A kind of folder that `byline import` reads.

    Attributes:
        name: what `--from` takes.
        version: of how it is read; goes up when the same folder gives other rows.
        line: its row in docs/imports.md: what is read, who writes it, what is left out.
    """

    name: str
    version: int = 1
    line: str

    @abstractmethod
    def list_folder(self, location: str) -> Folder:
        """A folder of this kind.

        Raises:
            BylineError: it is none.
        """
