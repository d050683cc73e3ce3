"""What workers count and write down for the driver: one small file for each line of a round.

```
WORK/notes/rows-3.json      {"rows": 1000, "keyless": 2, "pieces": 1, "keys": ["http://a", "http://b"], ...}
```
"""

import json
from collections.abc import Iterable
from typing import Any

from byline.transforms.files import storage

# How many keys of each side a message shows.
SHOWN = 3
_LONGEST = 100


def write_note(work: str, step: str, number: int, note: Any) -> None:
    """Writes what is counted of a line."""
    with storage.write_file(_uri(work, step, number)) as sink:
        sink.write(json.dumps(note).encode())


def read_notes(work: str, step: str, numbers: Iterable[int]) -> list[Any]:
    """The notes of a round, in order of its lines."""
    uris = [_uri(work, step, number) for number in numbers]
    return [json.loads(content) for content in storage.side_by_side(storage.read_bytes, uris)]


def shown(key: str) -> str:
    """A key as a message has it, not too long."""
    return key if len(key) <= _LONGEST else f"{key[:_LONGEST]}..."


def _uri(work: str, step: str, number: int) -> str:
    return storage.join(work, "notes", f"{step}-{number}.json")
