"""Tables of kinds: the names that the configuration knows, and the object that each stands for.

```
LAYOUTS   dclm        byline.transforms.corpora.json_lines:DCLM           comes with Byline
          parquet     byline.transforms.corpora.parquet_rows:PARQUET
          mine:WIKI   mine:WIKI                                           the user's own: `package.module:object`
```

An object holds all that the rest asks of its kind. A table names where it is, and it is imported when it is first asked
for: the configuration can be read without the libraries of kinds that it does not name.
"""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from byline.errors import BylineError
from byline.schemas.own_objects import import_own, is_own_name

Kind = TypeVar("Kind")


class Kinds(Generic[Kind]):
    """The table of one kind.

    Args:
        kind: the class of its objects.
        locations: name -> `package.module:object`, for those that come with Byline.
    """

    def __init__(self, kind: type[Kind], locations: Mapping[str, str]) -> None:
        self._kind = kind
        self._locations = dict(locations)

    def __iter__(self) -> Iterator[str]:
        return iter(self._locations)

    def __contains__(self, name: object) -> bool:
        """Whether the name is that of a kind that comes with Byline."""
        return name in self._locations

    def check(self, name: str) -> str:
        """Gives back a name that may be one of the kind. Raises: ValueError."""
        if name not in self and not is_own_name(name):
            raise ValueError(f"expected {', '.join(self)} or package.module:object, found {name!r}")
        return name

    def named(self, where: str, name: str) -> Kind:
        """The object of a name.

        Args:
            where: the key that names it, for messages.
            name: one of the table, or `package.module:object`.

        Raises:
            BylineError: the user's own module or object cannot be imported, or is something else.
        """
        imported = import_own(where, self._locations.get(name, name))
        if not isinstance(imported, self._kind):
            raise BylineError(
                f"{where}: {name} is {type(imported).__name__}, not a {self._kind.__module__}.{self._kind.__name__}"
            )
        return imported
