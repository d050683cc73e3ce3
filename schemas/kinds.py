"""Kinds of a section that one of its keys tells apart, each a model with keys of its own.

```
mixture: {method: unimax, max_epochs: 4}        METHODS["unimax"], which needs max_epochs
mixture: {method: "mine:Halving", half: 0.1}    a class of a user's own below Mixture
```
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from byline.errors import BylineError
from byline.schemas.model import Model
from byline.schemas.own_objects import find_own

Section = TypeVar("Section", bound=Model)


def class_named(where: str, name: str, table: Mapping[str, type[Section]], base: type[Section]) -> type[Section]:
    """The class of that name: of the table, or `package.module:Class` of a user's own. Raises: BylineError."""
    named = find_own(where, name, table)
    if not (isinstance(named, type) and issubclass(named, base)):
        raise BylineError(f"{where}: {name} is no class below {base.__module__}.{base.__name__}")
    return named


def read_section(
    values: Mapping[str, Any], kind: type[Section], table: Mapping[str, type[Section]], label: str
) -> Section:
    """A section as its kind.

    Args:
        values: its plain values.
        kind: its class.
        table: all classes that come with Byline, whose keys a user may have meant.
        label: of the kind, for messages.

    Raises:
        ValueError: a key of another kind, or one that is needed and not there.
        ValidationError: any other key or value that is wrong.
    """
    for key in values:
        if key not in kind.model_fields and any(key in other.model_fields for other in table.values()):
            raise ValueError(f"{label} takes no `{key}`")
    # A key that is misspelt is told as that, not as one that is not there.
    is_known = values.keys() <= kind.model_fields.keys()
    for key, field in kind.model_fields.items():
        if is_known and field.is_required() and values.get(key) in (None, {}, []):
            raise ValueError(f"{label} needs `{key}`{f', {field.description}' if field.description else ''}")
    return kind.model_validate(values)


def fields_of(model: type[Any]) -> dict[str, FieldInfo]:
    """The keys of a section, of whatever kind it is."""
    return {name: field for kind in classes_below(model) for name, field in kind.model_fields.items()}


def classes_below(model: type[Any]) -> Iterator[type[Any]]:
    """A model, and the classes of its kinds that come with Byline."""
    yield model
    for kind in model.__subclasses__():
        if kind.__module__.startswith("byline."):
            yield from classes_below(kind)
