"""The label by which a mixture knows a document, as docs/formats.md says it; plain values, one document at a time.

```
host       a.org -> a.org        none -> null
quality    borders 0.2, 0.5      0.1 -> 0   0.2 -> 1   0.9 -> 2   none, NaN -> null
```
"""

from collections.abc import Sequence
from fractions import Fraction

from tests.reference.assembly import Document
from tests.reference.selection import bin_borders, is_number, nearest_float32

UNKNOWN = "null"


def text_label(document: Document, field: str) -> str:
    """The text of a field."""
    text = document.fields.get(field)
    return UNKNOWN if text is None else text


def bin_label(document: Document, number: str, borders: Sequence[float | Fraction]) -> str:
    """The number of the bin."""
    value = document.numbers.get(number)
    if value is None or not is_number(value):
        return UNKNOWN
    # Python compares fractions, integers and floats exactly.
    return str(sum(border <= value for border in borders))


def borders_of(
    documents: Sequence[Document], number: str, kind: str, bins: int | Sequence[Fraction]
) -> Sequence[float | Fraction]:
    """The borders of a number's bins, given or of all documents of the store."""
    if isinstance(bins, int):
        return bin_borders([document.numbers.get(number) for document in documents], bins)
    return [nearest_float32(border) for border in bins] if kind == "float32" else list(bins)
