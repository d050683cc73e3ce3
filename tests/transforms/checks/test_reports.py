"""A report is the same when it is read again, and sums over input files are sums of sources."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byline.schemas.ledger import DrawCounts, PhaseLedger
from byline.transforms.checks.documents import SegmentSample
from byline.transforms.checks.reports import (
    ShardCounts,
    ShardReport,
    SourceCounts,
    read_documents,
    read_report,
    write_report,
)
from byline.transforms.checks.rows import RowCounts

SAMPLE = SegmentSample("main", "main/0.arrow, row 3", 1, 7, 2, np.array([5, 0, 50_000]), np.array([0, 1, 1]))
SAID = PhaseLedger({"c4": DrawCounts(documents=2, discarded={"cut": 4})}, padding=4)
COUNTS = ShardCounts(3, 4, 2**40, 2**39, 2**38, {"c4": SourceCounts(8, 5, 1, 1), "é\t": SourceCounts(0, 0, 0, 0)})


def report(**changes: Any) -> ShardReport:
    whole = {
        "path": "main/00000-of-00001.arrow",
        "counts": COUNTS,
        "is_whole": True,
        "said": SAID,
        "domains": {"dclm": 3},
        "problems": ["a", "b: ⏎"],
        "row_problems": ["row 3: c"],
        "store_problems": [],
        "samples": [SAMPLE, SAMPLE],
    }
    return ShardReport(**{**whole, **changes})


def plain(found: ShardReport) -> dict[str, Any]:
    """All of it as values that are compared by content."""
    samples = [{**vars(some), "ids": some.ids.tolist(), "mask": some.mask.tolist()} for some in found.samples]
    return {**vars(found), "samples": samples}


@pytest.mark.parametrize(
    ("written", "documents"),
    [
        (report(), [0, 2**32 + 1, 2**62]),
        (report(counts=None, is_whole=False, said=PhaseLedger(), samples=[]), []),
        (report(samples=[]), range(200_000)),
    ],
)
def test_a_report_is_read_as_it_was_written(written: ShardReport, documents: Sequence[int], tmp_path: Path) -> None:
    uri = str(tmp_path / "3.arrow")
    write_report(written, np.array(documents, np.int64), uri)
    assert plain(read_report(uri)) == plain(written)
    assert read_documents(uri).tolist() == list(documents)
    assert read_documents(uri).dtype == np.int64


def test_counts_by_source() -> None:
    by_file = [np.array(values, np.int64) for values in ([9, 1, 20], [5, 1, 10], [2, 0, 3], [1, 0, 2])]
    found = RowCounts(
        *by_file, np.array([2.5, 0.5, 1]), np.array([4, 1, 2]), rows=4, padding=2, row_heads=2, segment_heads=5
    )
    counts = ShardCounts.of(found, np.array(["c4", "dclm", "c4"], object))
    sources = {"c4": SourceCounts(29, 15, 5, 3, 3.5, 6), "dclm": SourceCounts(1, 1, 0, 0, 0.5, 1)}
    assert counts == ShardCounts(4, 2, 16, 14, 11, sources)
