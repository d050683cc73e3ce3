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
from byline.object_stores import SCHEMES, is_object_address, open_object, split_address, without_secrets

# Other spellings of a scheme, and what is meant.
_MEANT = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}
# No folder of a disk is called so by intention; any other name may have a colon.
_ONE_SLASH = re.compile(f"({'|'.join(_MEANT)}|file):(?=/(?!/))", re.IGNORECASE)


def check(location: str) -> None:
    """Refuses what is meant for an address and is none that can be read and written.

    ```
    s3://bucket/key    a:b/c    /tmp/o      an address, and two paths
    s3:/bucket/key     S3://bucket/key      an address begins with s3://
    s3://              s3:///key            no bucket
    file:///tmp/o      file:/tmp/o          give the path: /tmp/o
    https://host/x     hdfs://host/x        neither a path nor s3:// nor gs://
    ```

    Raises:
        BylineError: it is none.
    """
    if is_object_address(location):
        split_address(location)
    elif lost := _ONE_SLASH.match(location):
        shown = re.sub(":/[^/@]*@", ":/...@", location)
        raise BylineError(f"{shown}: {_advice(lost[1].lower(), location[lost.end() :])}")
    elif "://" in location:
        scheme, _, rest = location.partition("://")
        raise BylineError(f"{without_secrets(location)}: {_advice(scheme.lower(), rest)}")


def _advice(scheme: str, rest: str) -> str:
    if scheme in _MEANT:
        return f"an address begins with {_MEANT[scheme]}://, as in {_MEANT[scheme]}://bucket/key"
    if scheme == "file":
        return "a file of this machine has no scheme; give the path" + (f": {rest}" if rest.startswith("/") else "")
    return "expected a path, s3://bucket/key or gs://bucket/key; nothing is read from or written to other addresses"


def absolute(directory: str | os.PathLike[str]) -> str:
    """The absolute path of a folder, or its address as it is, without a slash at its end.

    Raises:
        BylineError: an address of another kind, or one that went through `pathlib`, which takes one of its slashes.
    """
    location = os.fspath(directory)
    if not isinstance(directory, str) and (lost := re.match(f"({'|'.join(SCHEMES)}):/(?!/)", location)):
        raise BylineError(f"{location}: an address begins with {lost[1]}://; give it as a string, not as a Path")
    check(location)
    return location.rstrip("/") if is_object_address(location) else os.path.abspath(location)


def join(directory: str, name: str) -> str:
    """The location of a file, its name with `/`, below a folder as `absolute` gives it."""
    return f"{directory}/{name}" if is_object_address(directory) else os.path.join(directory, name)


def open_file(location: str) -> pa.NativeFile:
    """Opens a file for reads at any offset.

    Raises:
        OSError: it cannot be opened; FileNotFoundError where there is none.
        BylineError: neither can its object store.
    """
    return open_object(location) if is_object_address(location) else pa.memory_map(location)


def read_bytes(location: str) -> bytes:
    """The content of a small file; errors as `open_file`."""
    if is_object_address(location):
        with open_object(location) as file:
            return file.read(file.size())
    with open(location, "rb") as plain:
        return plain.read()
