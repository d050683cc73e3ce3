"""Imports: rows that something else packed become the shards of an output, token by token.

```
DIR/index.json  0-0/shard.00000.mds  0-0/shard.00001.mds  ...   ->   OUT/conditioned/00000-of-00012.arrow  ...
                                                                     OUT/_import.json  _inputs.ipc  _manifest.json
```

A kind is an object below `ImportKind` in a module of this package, and one line of `KINDS`.
"""

from byline.errors import BylineError
from byline.printable import shown
from byline.transforms.imports.import_kind import ImportKind
from byline.transforms.imports.mds_meco import MdsMeco

KINDS: dict[str, ImportKind] = {kind.name: kind for kind in (MdsMeco(),)}

__all__ = ["KINDS", "ImportKind", "kind_named"]


def kind_named(name: str) -> ImportKind:
    """A kind by its name.

    Raises:
        BylineError: there is no such kind.
    """
    if name not in KINDS:
        raise BylineError(f"--from {shown(name)}: no kind of import; the kinds are {', '.join(KINDS)}")
    return KINDS[name]
