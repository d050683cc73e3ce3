"""Documents made anew before anything sees them: chats, questions, arithmetic, functions of one's own."""

from typing import TYPE_CHECKING

from byline.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from byline.transforms.formatters.formatting import format_batch
    from byline.transforms.formatters.formatting_transform import FormatDocuments
    from byline.transforms.formatters.opening import OpenFormatter, open_formatter

__all__ = ["FormatDocuments", "OpenFormatter", "format_batch", "open_formatter"]

__getattr__ = lazy_exports(
    __name__,
    {
        "formatting": ("format_batch",),
        "formatting_transform": ("FormatDocuments",),
        "opening": ("OpenFormatter", "open_formatter"),
    },
)
