"""Results that are kept: made once, forgotten least recently used first, tried again after a failure."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from byline.kept import Kept


def test_the_least_recently_used_goes_first():
    kept: Kept[str] = Kept(2)
    made = []

    def get(key: str) -> str:
        return kept.get(key, lambda: made.append(key) or key.upper())

    assert [get(key) for key in "abacab"] == ["A", "B", "A", "C", "A", "B"]
    assert made == ["a", "b", "c", "b"]
    assert (len(kept), "a" in kept, "c" in kept) == (2, True, False)


def test_threads_that_ask_for_one_wait_for_it_and_others_do_not():
    kept: Kept[int] = Kept(8)
    begun, go_on, made = threading.Event(), threading.Event(), []

    def make() -> int:
        begun.set()
        assert go_on.wait(30)
        made.append(1)
        return 7

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(kept.get, "slow", make) for _ in range(3)]
        assert begun.wait(30)
        assert pool.submit(kept.get, "other", lambda: 5).result(30) == 5
        go_on.set()
        assert [future.result(30) for future in waiting] == [7, 7, 7]
    assert made == [1]


def test_what_failed_is_tried_again():
    kept: Kept[int] = Kept(2)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0)
    assert "a" not in kept
    assert kept.get("a", lambda: 3) == 3
