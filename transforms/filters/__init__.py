"""Which documents are kept, and why the others are not."""

from typing import TYPE_CHECKING

from byline.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from byline.transforms.filters.applying import OpenRule, open_rules
    from byline.transforms.filters.filtering import filter_documents
    from byline.transforms.filters.filtering_transform import FilterDocuments
    from byline.transforms.filters.rules import Rule

__all__ = ["FilterDocuments", "OpenRule", "Rule", "filter_documents", "open_rules"]

__getattr__ = lazy_exports(
    __name__,
    {
        "applying": ("OpenRule", "open_rules"),
        "filtering": ("filter_documents",),
        "filtering_transform": ("FilterDocuments",),
        "rules": ("Rule",),
    },
)
