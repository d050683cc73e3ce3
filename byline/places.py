"""Where the files of a build are: in a folder of this machine, or at an address of an object store.

```
"out/meco"          -> /home/me/out/meco               mapped into memory
"s3://bucket/meco"  -> s3://bucket/meco                read in ranges, when they are asked for
```
"""

import os
import re

import pyarrow as pa

from byline.errors import BylineError
from byline.stores import is_object_address, open_object


def absolute(directory: str | os.PathLike[str]) -> str:
    """The absolute path of a folder, or its address as it is, without a slash at its end.

    Raises:
        BylineError: an address that went through `pathlib`, which takes one of its slashes.
    """
    place = os.fspath(directory)
    if is_object_address(place):
        return place.rstrip("/")
    if lost := re.match("(s3|gs):/(?!/)", place):
        raise BylineError(f"{place}: an address begins with {lost[1]}://; give it as a string, not as a Path")
    return os.path.abspath(place)


def join(directory: str, name: str) -> str:
    """The place of a file, its name with `/`, below a folder as `absolute` gives it."""
    return f"{directory}/{name}" if is_object_address(directory) else os.path.join(directory, name)


def open_file(place: str) -> pa.NativeFile:
    """Opens a file for reads at any offset.

    Raises:
        OSError: it cannot be opened; FileNotFoundError where there is none.
        BylineError: neither can its object store.
    """
    return open_object(place) if is_object_address(place) else pa.memory_map(place)


def read_bytes(place: str) -> bytes:
    """The content of a small file; errors as `open_file`."""
    if is_object_address(place):
        with open_object(place) as file:
            return file.read(file.size())
    with open(place, "rb") as plain:
        return plain.read()
