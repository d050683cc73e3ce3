"""Exports: the rows of a finished build in the files that a trainer reads by itself.

```
OUT/conditioned/00003-of-00012.arrow   ->   DIR/conditioned/00003-of-00012.parquet
                                            DIR/_export.json, last: what it was made from, every file with its sha256
```

A format is an object below `ExportFormat` in a module of this package, and one line of `FORMATS`.
"""

from byline.errors import BylineError
from byline.printable import shown
from byline.transforms.exports.export_format import ExportFormat
from byline.transforms.exports.litdata import LitData
from byline.transforms.exports.mds import Mds, MdsMeco
from byline.transforms.exports.megatron import Megatron
from byline.transforms.exports.olmo import Olmo
from byline.transforms.exports.parquet import HuggingFace, Parquet

FORMATS: dict[str, ExportFormat] = {
    made.name: made
    for made in (
        Parquet(),
        HuggingFace(),
        Mds(),
        MdsMeco(),
        Megatron(),
        Olmo(),
        LitData(),
    )
}

__all__ = ["FORMATS", "ExportFormat", "format_named"]


def format_named(name: str) -> ExportFormat:
    """A format by its name.

    Raises:
        BylineError: there is no such format.
    """
    if name not in FORMATS:
        raise BylineError(f"no format {shown(name)} to export to; the formats are {', '.join(FORMATS)}")
    return FORMATS[name]
