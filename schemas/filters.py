"""How a recipe lists the rules of a filter; `transforms.filters.tables` has the rules.

```yaml
filter:
  - gopher_quality                          a rule or a group with its published settings
  - words: {at_least: 20}                   a rule with others
```
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator


@dataclass(frozen=True)
class FilterEntry:
    """One item of `filter`.

    Attributes:
        rule: name of a rule or of a group.
        settings: those that are not its defaults.
    """

    rule: str
    settings: dict[str, Any] = field(default_factory=dict)


def read_entry(value: Any) -> FilterEntry:
    """An item as it is written: `name`, or `{name: settings}`. Raises: ValueError for anything else."""
    if isinstance(value, FilterEntry):
        return value
    if isinstance(value, str):
        return FilterEntry(value)
    if not isinstance(value, dict) or len(value) != 1 or not isinstance(next(iter(value)), str):
        raise ValueError(f"expected the name of a rule, or one rule and its settings, found {value!r}")
    ((rule, settings),) = value.items()
    if not isinstance(settings, dict | None):
        raise ValueError(f"{rule}: expected settings, as in {{at_least: 1}}, found {settings!r}")
    return FilterEntry(rule, settings or {})


def write_entry(entry: FilterEntry) -> Any:
    """What `read_entry` reads."""
    return {entry.rule: entry.settings} if entry.settings else entry.rule


FilterRule = Annotated[FilterEntry, PlainValidator(read_entry), PlainSerializer(write_entry)]
