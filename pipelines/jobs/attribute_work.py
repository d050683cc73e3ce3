"""How far a command is that makes an attribute, so that one that was killed goes on when it is run again.

```
STORE/.attributes/topic-5f3e07c1/    one folder for a name and the sources' folders, which are locked as long
    begun.json                       what is made, and of which files; if another, the folder is emptied
    done/0-Score/<line>              a line of a round whose files are all here
    rounds-07be12.../                what rounds exchange; named by what is made, for processes that keep files open
    parts/                           values of each chunk
    made.json                        all rounds are done: of which chunks, and the summary
```
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from byline.schemas.store import RunInfo
from byline.transforms.files import storage

WORK_FOLDER = ".attributes"
_BEGUN, _MADE, _DONE = "begun.json", "made.json", "done"


@dataclass(frozen=True)
class AttributeWork:
    """The folder of what an attribute is made from.

    Attributes:
        uri: of the folder.
        fingerprint: of the attribute.
    """

    uri: str
    fingerprint: str

    @classmethod
    def of(cls, store: str, name: str, fingerprint: str, folders: Iterable[str]) -> "AttributeWork":
        """That of an attribute in a token store, of the sources with these folders."""
        return cls(work_folder(store, name, folders), fingerprint)

    @property
    def is_left(self) -> bool:
        """Whether a command that was killed has left something."""
        return bool(storage.list_files(self.uri))

    def begin(self, lines: Iterable[str]) -> str:
        """Keeps what is done if it was done for the same lines, else empties the folder.

        Returns:
            The folder for what rounds exchange.
        """
        digest = hashlib.sha256("\n".join([self.fingerprint, *lines]).encode()).hexdigest()
        uri = storage.join(self.uri, _BEGUN)
        if storage.read_if_there(uri) != digest.encode():
            self.remove()
            _write(uri, digest)
        return storage.join(self.uri, f"rounds-{digest[:16]}")

    def done(self, number: int, name: str) -> str:
        """Where the done lines of a round are."""
        return storage.join(self.uri, _DONE, f"{number}-{name}")

    def write_made(self, chunks: Iterable[RunInfo], summary: dict[str, Any]) -> None:
        """Notes that all values of these chunks are there."""
        made = {"fingerprint": self.fingerprint, "chunks": [_key(chunk) for chunk in chunks], "summary": summary}
        _write(storage.join(self.uri, _MADE), json.dumps(made))

    def read_made(self, chunks: Iterable[RunInfo]) -> dict[str, Any] | None:
        """The summary, if all values of these chunks are there."""
        content = storage.read_if_there(storage.join(self.uri, _MADE))
        made = {} if content is None else json.loads(content)
        if made.get("fingerprint") != self.fingerprint:
            return None
        known = set(map(tuple, made["chunks"]))
        summary: dict[str, Any] = made["summary"]
        return summary if all(_key(chunk) in known for chunk in chunks) else None

    def remove(self) -> None:
        """Deletes the folder."""
        storage.delete_folder(self.uri)


def work_folder(store: str, name: str, folders: Iterable[str]) -> str:
    """Where an attribute of the sources with these folders is made, whatever its settings are."""
    digest = hashlib.sha256("\n".join(sorted(folders)).encode()).hexdigest()
    return storage.join(store, WORK_FOLDER, f"{name}-{digest[:8]}")


def _key(chunk: RunInfo) -> tuple[Any, ...]:
    return chunk.source, chunk.path, chunk.chunk, *chunk.input_identity, chunk.input_checksum


def _write(uri: str, text: str) -> None:
    with storage.write_file(uri) as sink:
        sink.write(text.encode())
