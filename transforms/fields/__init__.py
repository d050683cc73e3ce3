"""What may be asked of a document: fields of templates, prefixes, predicates, ranks."""

from typing import TYPE_CHECKING

from byline.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from byline.transforms.fields.template_fields import field_values, filled_prefixes

__all__ = ["field_values", "filled_prefixes"]

__getattr__ = lazy_exports(__name__, {"template_fields": ("field_values", "filled_prefixes")})
