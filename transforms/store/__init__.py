"""The token store: its runs, their contents and locations, reading ranges of them, and merging them."""

from typing import TYPE_CHECKING

from byline.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from byline.transforms.store.run_reading import open_run
    from byline.transforms.store.runs import sort_by_shuffle_key, write_run
    from byline.transforms.store.runs_transform import WriteRuns

__all__ = ["WriteRuns", "open_run", "sort_by_shuffle_key", "write_run"]

__getattr__ = lazy_exports(
    __name__,
    {"run_reading": ("open_run",), "runs": ("sort_by_shuffle_key", "write_run"), "runs_transform": ("WriteRuns",)},
)
