"""Raw corpora to document batches: listing, layouts, URLs, filters."""

from typing import TYPE_CHECKING

from byline.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from byline.transforms.corpora.listing import list_inputs
    from byline.transforms.corpora.metadata import extract_metadata
    from byline.transforms.corpora.metadata_transform import ExtractMetadata
    from byline.transforms.corpora.reading import read_batches
    from byline.transforms.corpora.reading_transform import ReadCorpus

__all__ = ["ExtractMetadata", "ReadCorpus", "extract_metadata", "list_inputs", "read_batches"]

__getattr__ = lazy_exports(
    __name__,
    {
        "listing": ("list_inputs",),
        "metadata": ("extract_metadata",),
        "metadata_transform": ("ExtractMetadata",),
        "reading": ("read_batches",),
        "reading_transform": ("ReadCorpus",),
    },
)
