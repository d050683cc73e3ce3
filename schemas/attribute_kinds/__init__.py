"""Attributes as a configuration writes them; a kind is a class below `Attribute` and one line of `KINDS`."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from byline.schemas.attribute_kinds.attribute import Attribute
from byline.schemas.attribute_kinds.classifier import ClassifierAttribute
from byline.schemas.attribute_kinds.clusters import ClustersAttribute
from byline.schemas.attribute_kinds.contamination import ContaminationAttribute
from byline.schemas.attribute_kinds.duplicates import DuplicatesAttribute
from byline.schemas.attribute_kinds.function import FunctionAttribute
from byline.schemas.attribute_kinds.spans import SpansAttribute
from byline.schemas.attribute_kinds.table import TableAttribute
from byline.schemas.kinds import read_section

KINDS: dict[str, type[Attribute]] = {
    "classifier": ClassifierAttribute,
    "clusters": ClustersAttribute,
    "contamination": ContaminationAttribute,
    "duplicates": DuplicatesAttribute,
    "function": FunctionAttribute,
    "spans": SpansAttribute,
    "table": TableAttribute,
}


def read_attribute(value: Any) -> Attribute:
    """An attribute of the kind that it names. Raises: ValueError, ValidationError for one that is none."""
    if isinstance(value, Attribute):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise ValueError(f"expected a mapping with `kind`, one of {', '.join(KINDS)}; found {value!r}")
    if value["kind"] not in KINDS:
        raise ValueError(f"kind: there is no {value['kind']!r}; the kinds are {', '.join(KINDS)}")
    return read_section(value, KINDS[value["kind"]], KINDS, f"kind {value['kind']}")


# A key of the configuration that holds an attribute of any kind.
AnyAttribute = Annotated[SerializeAsAny[Attribute], BeforeValidator(read_attribute)]
