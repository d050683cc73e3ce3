"""Every kind of attribute by its name in a configuration; its settings are in `schemas.attribute_kinds`.

A kind is imported when one of its attributes is asked for: together they take as long as all else that a plan needs,
and most recipes name none or one.
"""

from functools import cache
from importlib import import_module

from byline.transforms.attributes.rounds import AttributeKind

# Kind -> the module of this package that defines it, and under which name.
KINDS = {
    "classifier": ("classifier", "CLASSIFIER"),
    "clusters": ("clusters.kind", "CLUSTERS"),
    "contamination": ("contamination.kind", "CONTAMINATION"),
    "duplicates": ("duplicates.kind", "DUPLICATES"),
    "function": ("function", "FUNCTION"),
    "spans": ("spans.kind", "SPANS"),
    "table": ("tables.kind", "TABLE"),
}


@cache
def kind_named(name: str) -> AttributeKind:
    """The kind of this name."""
    module, constant = KINDS[name]
    kind: AttributeKind = getattr(import_module(f"byline.transforms.attributes.{module}"), constant)
    return kind
