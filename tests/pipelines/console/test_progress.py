"""A log gets few lines and a short job none; looking costs little, may fail, and holds nothing up."""

import io
import threading
import time
from itertools import pairwise

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.console import progress
from byline.pipelines.console.progress import ProgressLines, duration, progress_bar

GB = 10**9


def shown(console: Console) -> str:
    return console.file.getvalue()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow one another at once, and every one is shown."""
    monkeypatch.setattr(progress, "_LINES_SECONDS", 0.001)
    monkeypatch.setattr(progress, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(progress, "_MOST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_END_SECONDS", 0.05)


def test_a_line_at_each_tenth_but_none_within_a_minute_and_one_after_half_an_hour() -> None:
    lines = ProgressLines("prepare", 100 * GB, "bytes", started=1000.0)
    looks = [(1010, 0), (1050, 15), (1059, 19), (1061, 19), (1080, 25), (1120, 29), (1130, 30), (1300, 39)]
    found = {now: line for now, done in looks if (line := lines.line(now, done * GB)) is not None}
    assert found == {
        1061: "prepare   19 %, 19.0 GB of 100.0 GB, 372.5 MB/s, 4 min left",
        1130: "prepare   30 %, 30.0 GB of 100.0 GB, 250.0 MB/s, 5 min left",
    }
    assert lines.line(1130 + 1799, 39 * GB) is None
    assert lines.line(1130 + 1801, 39 * GB) == "prepare   39 %, 39.0 GB of 100.0 GB, 20.3 MB/s, 50 min left"


def test_a_line_of_things_that_are_counted() -> None:
    lines = ProgressLines("assemble", 30_000, "shards", started=0.0)
    assert lines.line(10, 6_000) is None
    assert lines.line(3_610, 12_000) == "assemble  40 %, 12,000 of 30,000 shards, 100.0 a minute, 3 h 0 min left"


def test_nothing_is_said_of_the_time_left_while_nothing_moves() -> None:
    lines = ProgressLines("assemble", 10, "shards", started=0.0)
    assert lines.line(0, 5) is None
    assert lines.line(1900, 5) == "assemble  50 %, 5 of 10 shards"


def test_a_total_of_nothing_is_no_error() -> None:
    assert ProgressLines("prepare", 0, "bytes", 0.0).line(2000, 0) == "prepare   0 %, 0 bytes of 0 bytes"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3599, "1 h 0 min"), (7801, "2 h 10 min"), (90_000, "1 d 1 h")],
)
def test_times(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_job_of_seconds_says_nothing_in_a_log_and_is_not_looked_at() -> None:
    console, looks = Console(file=io.StringIO()), []
    with progress_bar(console, "prepare", 10, lambda: looks.append(1) or 5):
        time.sleep(0.05)
    assert (shown(console), looks) == ("", [])


def test_a_terminal_has_a_bar_that_ends_full() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress_bar(console, "assemble", 7, lambda: 3, unit="shards"):
        pass
    assert "7/7" in shown(console)


@pytest.mark.parametrize("error", [BylineError("away"), OSError("away")])
def test_a_store_that_is_away_is_looked_at_again(quick: None, error: Exception) -> None:
    console, looks = Console(file=io.StringIO()), iter([error, error])
    seen = threading.Event()

    def done() -> int:
        failure = next(looks, None)
        if failure is not None:
            raise failure
        if "50 %" in shown(console):
            seen.set()
        return 5

    with progress_bar(console, "prepare", 10, done):
        assert seen.wait(5)
    assert next(looks, None) is None


def test_a_look_that_hangs_does_not_hold_up_the_job(quick: None) -> None:
    console, begun, end = Console(file=io.StringIO()), threading.Event(), threading.Event()

    def done() -> int:
        begun.set()
        end.wait(20)
        return 5

    with progress_bar(console, "prepare", 10, done):
        assert begun.wait(5)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    threads = [thread for thread in threading.enumerate() if "follow" in thread.name]
    end.set()
    for thread in threads:
        thread.join(5)
    # What comes too late is not shown.
    assert shown(console) == ""


def test_a_look_that_takes_long_is_followed_by_a_pause(quick: None) -> None:
    looks = []

    def done() -> int:
        looks.append(time.monotonic())
        time.sleep(0.03)
        return 5

    with progress_bar(Console(file=io.StringIO()), "prepare", 10, done):
        time.sleep(1.5)
    # Without the pause it would be about fifty.
    assert 1 <= len(looks) <= 3
    assert all(later - sooner >= 0.6 for sooner, later in pairwise(looks))


def test_an_error_of_the_job_goes_through(quick: None) -> None:
    with (
        pytest.raises(BylineError, match="the job's own"),
        progress_bar(Console(file=io.StringIO()), "prepare", 10, lambda: 1),
    ):
        raise BylineError("the job's own")
