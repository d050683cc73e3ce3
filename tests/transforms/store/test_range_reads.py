"""Ranges that shards read, before and after runs are merged."""

from byline.transforms.store.range_reads import RangeReads, count_reads, merged_runs


def test_every_range_is_read_from_each_run_of_its_source() -> None:
    ranges, runs = {"c4": 3, "dclm": 1}, {"c4": 200, "dclm": 50, "unused": 7}
    assert count_reads(ranges, runs, 6500) == RangeReads(runs=257, count=650, mean_bytes=10)
    assert count_reads(ranges, merged_runs(runs, {"c4": 150, "dclm": 100, "unused": 1}, 100), 7000) == RangeReads(
        runs=4, count=7, mean_bytes=1000
    )


def test_nothing_to_read() -> None:
    assert count_reads({}, {}, 0) == RangeReads(0, 0, 0)
    assert count_reads({"c4": 3}, {}, 5) == RangeReads(0, 0, 0)


def test_runs_that_are_larger_already_stay() -> None:
    assert merged_runs({"a": 3, "b": 1, "c": 0}, {"a": 1000, "b": 1, "c": 0}, 100) == {"a": 3, "b": 1, "c": 0}
