"""How many documents have a value of a field: what runs, the ledger and the plan's warnings say of each column.

```
url                    host            counts of url               counts of host
http://a.org/x         a.org           known 2                     known 1
mailto:b@c.org         null            null 1                      null 1
null                   null            unknown 0                   unknown 1
```
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldCounts:
    """Documents of the token store by what they have of one field; each is counted once.

    Attributes:
        known: have a value.
        null: have none: the record had no such value, or one of another type than configured.
        unknown: have one of which the field cannot be made: a URL without a host, an empty URL, a number that is NaN.
    """

    known: int = 0
    null: int = 0
    unknown: int = 0

    def __add__(self, other: "FieldCounts") -> "FieldCounts":
        return FieldCounts(self.known + other.known, self.null + other.null, self.unknown + other.unknown)

    @property
    def documents(self) -> int:
        """All of them."""
        return self.known + self.null + self.unknown

    @property
    def share_known(self) -> float:
        """Of the documents; 1 where there is none."""
        return self.known / self.documents if self.documents else 1.0


def total_fields(counts: Iterable[Mapping[str, FieldCounts]]) -> dict[str, FieldCounts]:
    """The sums by field, in the order in which fields come."""
    sums: dict[str, FieldCounts] = {}
    for fields in counts:
        for name, field in fields.items():
            sums[name] = sums.get(name, FieldCounts()) + field
    return sums
