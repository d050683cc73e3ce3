"""A server for tests of files in an object store."""

from collections.abc import Iterator

import pytest

from byline import object_stores
from tests.support.object_server import ObjectServer, object_server


@pytest.fixture(scope="module")
def shared() -> Iterator[ObjectServer]:
    with object_server() as running:
        yield running


@pytest.fixture
def server(shared: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """An empty bucket; the client itself tries once, so that every fault comes to what is tested here, and soon."""
    shared.empty()
    monkeypatch.setattr(object_stores, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(object_stores, "_CLIENT_ATTEMPTS", 1)
    object_stores._s3.cache_clear()
    yield shared
    object_stores._s3.cache_clear()
