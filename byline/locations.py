"""Where the files of a build are: in a folder on this machine, or at an address in an object store.

```
"out/meco"          -> /home/me/out/meco               mapped into memory
"s3://bucket/meco"  -> s3://bucket/meco                read in ranges, on demand
```
"""

import os
import re

import pyarrow as pa

from byline.addresses import SCHEMES, is_object_address, split_address, without_secrets
from byline.errors import BylineError
from byline.regular_files import check_regular, read_regular

# Other spellings of a scheme, and the one that is meant.
_MEANT = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}
# Nobody names a folder like this on purpose; other names may well contain a colon.
_ONE_SLASH = re.compile(f"({'|'.join(_MEANT)}|file):(?=/(?!/))", re.IGNORECASE)


def check(location: str) -> None:
    """Refuses what looks like an address but cannot be read or written.

    ```
    s3://bucket/key    a:b/c    /tmp/o      an address, and two paths
    s3:/bucket/key     S3://bucket/key      an address begins with s3://
    s3://              s3:///key            no bucket
    file:///tmp/o      file:/tmp/o          give the path: /tmp/o
    https://host/x     hdfs://host/x        neither a path nor s3:// nor gs://
    ```

    Raises:
        BylineError: it cannot be used.
    """
    if is_object_address(location):
        split_address(location)
    elif scheme_match := _ONE_SLASH.match(location):
        shown = re.sub(":/[^/@]*@", ":/...@", location)
        raise BylineError(f"{shown}: {_advice(scheme_match[1].lower(), location[scheme_match.end() :])}")
    elif "://" in location:
        scheme, _, rest = location.partition("://")
        raise BylineError(f"{without_secrets(location)}: {_advice(scheme.lower(), rest)}")


def _advice(scheme: str, rest: str) -> str:
    if scheme in _MEANT:
        return f"an address begins with {_MEANT[scheme]}://, as in {_MEANT[scheme]}://bucket/key"
    if scheme == "file":
        return "a file on this machine has no scheme; give the path" + (f": {rest}" if rest.startswith("/") else "")
    return "expected a path, s3://bucket/key or gs://bucket/key; nothing is read from or written to other addresses"


def absolute(directory: str | os.PathLike[str]) -> str:
    """The absolute path of a folder, or its address unchanged; no trailing slash either way.

    Raises:
        BylineError: an address of another kind, or one that went through `pathlib`, which removes one of its slashes.
    """
    location = os.fspath(directory)
    if not isinstance(directory, str) and (scheme_match := re.match(f"({'|'.join(SCHEMES)}):/(?!/)", location)):
        raise BylineError(
            f"{location}: an address begins with {scheme_match[1]}://; give it as a string, not as a Path"
        )
    check(location)
    return location.rstrip("/") if is_object_address(location) else os.path.abspath(location)


def join(directory: str, name: str) -> str:
    """The location of a file in a folder; `directory` as `absolute` returns it, `name` with `/` between its parts."""
    return f"{directory}/{name}" if is_object_address(directory) else os.path.join(directory, name)


def open_file(location: str) -> pa.NativeFile:
    """Opens a file for reads at any offset.

    Raises:
        OSError: it cannot be opened; FileNotFoundError if there is none.
        BylineError: it is in an object store and cannot be opened there.
    """
    if is_object_address(location):
        from byline.object_stores import open_object

        return open_object(location)
    check_regular(location)
    return pa.memory_map(location)


def read_bytes(location: str) -> bytes:
    """The content of a small file; raises what `open_file` raises."""
    if is_object_address(location):
        with open_file(location) as file:
            return file.read(file.size())
    return read_regular(location)
