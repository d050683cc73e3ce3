"""A real S3 server on loopback, in a thread of this process, with faults injected.

```
call      0  1  2  3     4 .. 7  8     9 .. 12  13   14 .. 17  18    19  20 ...      by number: the same in every run
answer    ok       busy  ok      slow  ok       cut  ok        lost  ok
```

| fault | what a client sees |
|---|---|
| `busy` | 503, nothing was done |
| `slow` | the whole answer, after a while |
| `cut` | half a body: of the answer to a GET, or of what is being sent (nothing was done) |
| `lost` | no answer, though it was done |
"""

import itertools
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

from byline import object_stores
from byline.transforms.files import locks

BUCKET = "corpus"
SLOW_SECONDS = 0.2
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
}
Environ = dict[str, Any]
Fault = Callable[[int, Environ], str | None]


def no_fault(number: int, environ: Environ) -> None:
    """Every call is answered."""


def some_faults(number: int, environ: Environ) -> str | None:
    """5 % of calls fail with 503, and 5 % each are slow, cut and lost."""
    return {3: "busy", 8: "slow", 13: "cut", 18: "lost"}.get(number % 20)


class ObjectServer:
    """The server; `fault` decides about each call, `answers` counts the outcomes, `calls` the methods.

    `sent` counts the bytes of response bodies. `written` are the keys of PUT requests, successful or not.
    """

    def __init__(self) -> None:
        self.fault: Fault = no_fault
        self.answers: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.sent = 0
        self.written: set[str] = set()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._numbers = itertools.count()
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=WSGIRequestHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        self.client.create_bucket(Bucket=BUCKET)
        # moto keeps objects for the whole process, so the server of other tests may have left some.
        self.empty()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def faults(self, fault: Fault) -> Iterator[Counter[str]]:
        """Injects faults during the block; yields the counts of the outcomes."""
        self.answers, self.calls, self.written, self._numbers = Counter(), Counter(), set(), itertools.count()
        self.sent = 0
        self.fault = fault
        try:
            yield self.answers
        finally:
            self.fault = no_fault

    def list_keys(self, prefix: str = "") -> list[str]:
        """Every key, including those of empty objects that stand for folders."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def content(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def put_at_once(self, key: str, content: bytes) -> None:
        """Writes an object without a request, for thousands of them."""
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(BUCKET, key, content)

    def empty(self) -> None:
        """Deletes every object."""
        keys = self.list_keys()
        for start in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[start : start + 1000]]
            self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})

    def _answer(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        fault = self.fault(next(self._numbers), environ)
        self.answers[fault or "ok"] += 1
        self.calls[environ["REQUEST_METHOD"]] += 1
        if environ["REQUEST_METHOD"] == "PUT":
            self.written.add(environ["PATH_INFO"].removeprefix(f"/{BUCKET}/"))
        if fault == "busy":
            start_response("503 Slow Down", [("Content-Length", "0")])
            return []
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        if fault == "cut" and environ["REQUEST_METHOD"] in ("PUT", "POST"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
            return _hang_up(environ)
        answer = list(self._app(environ, start_response))
        self.sent += sum(map(len, answer))
        if fault == "lost":
            b"".join(answer)
            return _hang_up(environ)
        if fault == "cut":
            # The announced length is that of the whole body.
            body = b"".join(answer)
            return [body[: len(body) // 2]] if len(body) > 1 else _hang_up(environ)
        return answer


def _hang_up(environ: Environ) -> list[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return []


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Starts a server, and sets the environment so that it is used."""
    server = ObjectServer()
    before = {name: os.environ.get(name) for name in [*ENVIRONMENT, "AWS_ENDPOINT_URL"]}
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=server.url)
    pause, locks._PAUSE_SECONDS = locks._PAUSE_SECONDS, 0.0
    try:
        yield server
    finally:
        locks._PAUSE_SECONDS = pause
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        server.stop()


@contextmanager
def quick_retries() -> Iterator[None]:
    """Makes the client itself try only once, so that every fault reaches the code under test, and quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_stores, "_FIRST_WAIT", 0.001)
        patch.setattr(object_stores, "_CLIENT_ATTEMPTS", 1)
        patch.setattr(object_stores, "_CLIENT_SECONDS", 0.1)
        object_stores._s3.cache_clear()
        object_stores._gcs.cache_clear()
        yield
    object_stores._s3.cache_clear()
    object_stores._gcs.cache_clear()


def put_folder(server: Any, folder: Path, prefix: str) -> None:
    """Puts all files below a folder on a server of this kind."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        server.put(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())
