"""How an attribute is made: rounds of maps over short lines, each of which writes files and gives back nothing.

```
read        a line for each input file    ->  WORK/hashes/<chunk>.arrow         the same whichever worker does it,
group       a line for each partition     ->  WORK/pairs/0003.arrow             and however often
values      a line for each partition     ->  WORK/parts/<chunk>.arrow
```

A kind is a generator of rounds. Between two of them its code runs in the driver and may read small files that the
last round wrote; what it returns is the attribute's summary. No records go through the runner, so grouping needs no
memory of it and is the same on any (`byline.transforms.attributes.exchange`).
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from byline.schemas.attribute_kinds.attribute import Attribute
from byline.schemas.config import Config
from byline.schemas.documents import InputFile
from byline.schemas.store import RunInfo
from byline.transforms.attributes.stored_documents import Reading, StoredFile
from byline.transforms.files.storage import join

# A JSON value for each key.
Summary = dict[str, Any]


@dataclass(frozen=True)
class Round:
    """One map.

    Attributes:
        name: of the step, in letters.
        lines: what it works on, each line on its own.
        do: works on a line; picklable, and writes the same files whenever it does.
        size: bytes that it reads, about, which decide how many workers take part.
    """

    name: str
    lines: list[str]
    do: Callable[[str], None]
    size: int = 0


Rounds = Generator[Round, None, Summary]


@dataclass(frozen=True)
class Context:
    """What a kind knows when it is made.

    Attributes:
        config: the whole configuration.
        name: of the attribute.
        settings: of the attribute.
        files: the input files with chunks to be made, those of all its sources where the attribute depends on all.
        reading: what workers need to read their documents (`stored_documents`).
        work: a folder for what rounds exchange, of a name that no other making has; it is removed at the end.
        models: a folder for classifiers as they are folded.
        outer: the folder that the values of chunks are below; that of `work` where it is not said.
    """

    config: Config
    name: str
    settings: Attribute
    files: list[StoredFile]
    reading: Reading
    work: str
    models: str
    outer: str | None = None

    @property
    def inputs(self) -> list[InputFile]:
        """The input files."""
        return [file.file for file in self.files]

    @property
    def runs(self) -> list[RunInfo]:
        """The chunks in the token store."""
        return [chunk.info for file in self.files for chunk in file.chunks]

    @property
    def lines(self) -> list[str]:
        """A line for each input file, which `StoredFile.from_json` reads."""
        return [file.to_json() for file in self.files]

    @property
    def size(self) -> int:
        """Bytes of the input files, as they are compressed."""
        return sum(file.file.size for file in self.files)

    @property
    def parts(self) -> str:
        """Where the values of each chunk go (`byline.transforms.attributes.values`)."""
        return parts_folder(self.work if self.outer is None else self.outer)


def parts_folder(work: str) -> str:
    """Where the values of each chunk go in a folder for what rounds write."""
    return join(work, "parts")


@dataclass(frozen=True)
class AttributeKind:
    """One kind, as the job of `byline attribute` takes it.

    Attributes:
        rounds: makes it.
        identity: what its values depend on besides its settings, such as the checksums of files that they name.
        paths: the settings that are replaced by what `identity` says of their files.
        reads_text: whether it reads raw corpora; if not, the token store is enough.
    """

    rounds: Callable[[Context], Rounds]
    identity: Callable[[Config, str, Attribute], Mapping[str, Any]] = lambda config, name, settings: {}
    paths: tuple[str, ...] = ()
    reads_text: bool = True
