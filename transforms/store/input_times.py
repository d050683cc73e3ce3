"""When the input files of a source were last changed, as its runs were prepared from them.

```
STORE/c4/<fingerprint>/times.json    {"a.json.gz": 1732712345000000000, ...}     path -> nanoseconds since 1970
```

Not in the runs: a copy of a corpus has other times, and the same runs. The driver writes it under the source's lock,
after it has deleted the runs of files that have changed, and before its job writes others. So the runs of a file are
always of the time that stands here; without this file no time is known, and all input files are read again.
"""

import json
from collections.abc import Iterable

from byline.errors import BylineError
from byline.schemas.documents import InputFile
from byline.transforms.files import storage

TIMES_FILE = "times.json"


def read_times(folder: str) -> dict[str, int]:
    """Path -> time of each input file that was ever noted; none if nothing was.

    Args:
        folder: of the source's runs.

    Raises:
        BylineError: the file is damaged.
    """
    uri = storage.join(folder, TIMES_FILE)
    if not storage.exists(uri):
        return {}
    try:
        return {str(path): int(time) for path, time in json.loads(storage.read_bytes(uri)).items()}
    except (ValueError, AttributeError, TypeError):
        raise BylineError(
            f"{uri}: expected times by path, as JSON; delete it, and the source is prepared anew"
        ) from None


def note_times(folder: str, files: Iterable[InputFile]) -> None:
    """Notes the times of input files that are read next."""
    before = read_times(folder)
    noted = {**before, **{file.path: file.modified for file in files}}
    if noted != before:
        with storage.write_file(storage.join(folder, TIMES_FILE)) as sink:
            sink.write(json.dumps(noted, sort_keys=True).encode())
