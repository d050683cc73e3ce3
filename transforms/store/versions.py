"""Which versions of the libraries that decide tokens have written a source's runs.

```
STORE/c4/<fingerprint>/versions.json    [{"byline": "0.1.0", "gigatoken": "0.10.0", "tokenizers": "0.22.1"}]
```

Another version need not give other tokens, and what would is in the fingerprint; but whoever finds a difference has to
know that two versions have written a store.
"""

import importlib.metadata
import json
from collections.abc import Mapping
from functools import cache

from byline.errors import BylineError
from byline.transforms.files import storage

_FILE = "versions.json"
_PACKAGES = ("byline", "gigatoken", "tokenizers")


@cache
def current_versions() -> Mapping[str, str]:
    """The versions installed here, by package."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def read_versions(folder: str) -> list[dict[str, str]]:
    """The versions that have written to a source's folder, in order; none if it has no runs.

    Raises:
        BylineError: the file is damaged.
    """
    uri = storage.join(folder, _FILE)
    if not storage.exists(uri):
        return []
    try:
        listed = json.loads(storage.read_bytes(uri))
        return [{str(name): str(version) for name, version in versions.items()} for versions in listed]
    except (ValueError, AttributeError, TypeError):
        raise BylineError(f"{uri}: expected a list of versions as JSON; delete it, it is written anew") from None


def note_versions(folder: str) -> None:
    """Adds the versions that are installed here."""
    noted, here = read_versions(folder), current_versions()
    if here not in noted:
        with storage.write_file(storage.join(folder, _FILE)) as sink:
            sink.write(json.dumps([*noted, here], sort_keys=True).encode())


def other_versions(folder: str) -> list[str]:
    """What of a source's runs others than the versions here have written, as `tokenizers 0.20.1 (here 0.22.1)`."""
    here = current_versions()
    differing = {
        f"{name} {version} (here {here.get(name, 'none')})"
        for versions in read_versions(folder)
        for name, version in versions.items()
        if here.get(name) != version
    }
    return sorted(differing)
