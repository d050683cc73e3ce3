"""Results that are kept, and made once although several threads ask for one; the least recently used goes first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Kept(Generic[Result]):
    """At most so many results by their keys. One that could not be made is tried again by whoever asks next."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, Future[Result]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._results)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._results

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """The result of a key: kept, being made by another thread, or made here. Others are not waited for."""
        with self._lock:
            future = self._results.pop(key, None)
            is_new = future is None
            result: Future[Result] = Future() if future is None else future
            self._results[key] = result
            if len(self._results) > self._most:
                self._results.popitem(last=False)
        if is_new:
            self._make(key, result, make)
        return result.result()

    def _make(self, key: Hashable, result: "Future[Result]", make: Callable[[], Result]) -> None:
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                if self._results.get(key) is result:
                    del self._results[key]
            result.set_exception(error)
        else:
            result.set_result(made)
