"""A server that speaks Google's storage API on loopback, in another process, with faults injected.

The faults are those of `object_server`. The server has its own process because Arrow's client holds Python's lock while
it opens an object, so nothing in the same process could answer. After a failed read the client waits a second or two,
so faults are rarer here.
"""

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import quote
from urllib.request import urlopen

from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import RequestHandler, Router, buckets
from gcp_storage_emulator.storage import Storage
from pyarrow import fs

from tests.support.object_server import BUCKET, SLOW_SECONDS, Fault, some_faults

ENDPOINT = "CLOUD_STORAGE_EMULATOR_ENDPOINT"


class GoogleServer:
    """What a test asks of the server."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def faults(self, fault: Fault, every: int = 10) -> Iterator[Counter[str]]:
        """Injects faults during the block.

        Args:
            fault: `some_faults`; there are no others.
            every: faults come only in every `every`-th group of 20 calls.

        Yields:
            How often each fault, or `ok`, was the answer; filled in at the end of the block.
        """
        assert fault is some_faults, fault
        answers: Counter[str] = Counter()
        self._ask(f"/faults/{every}")
        try:
            yield answers
        finally:
            answers.update(json.loads(self._ask("/faults/0")))

    def put(self, key: str, content: bytes) -> None:
        with fs.GcsFileSystem(anonymous=True).open_output_stream(f"{BUCKET}/{key}", compression=None) as sink:
            sink.write(content)

    def content(self, key: str) -> bytes:
        return self._ask(f"/{BUCKET}/{quote(key)}")

    def list_keys(self, prefix: str = "") -> list[str]:
        listing = json.loads(self._ask(f"/storage/v1/b/{BUCKET}/o?prefix={quote(prefix, safe='')}"))
        return sorted(item["name"] for item in listing.get("items", []))

    def _ask(self, path: str) -> bytes:
        with urlopen(f"{self.url}{path}", timeout=60) as answer:
            return answer.read()


@contextmanager
def google_server() -> Iterator[GoogleServer]:
    """Starts a server, and sets the environment so that it is used."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    before = os.environ.get(ENDPOINT)
    try:
        url = process.stdout.readline().strip()
        os.environ[ENDPOINT] = url
        yield GoogleServer(url)
    finally:
        if before is None:
            os.environ.pop(ENDPOINT, None)
        else:
            os.environ[ENDPOINT] = before
        process.kill()
        process.communicate()


# --- in the server's process ---


class _Handler(RequestHandler):
    """The emulator's handler, one request at a time, with faults."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    storage_of_all = Storage(use_memory_fs=True)
    answers: ClassVar[Counter[str]] = Counter()
    every = number = 0

    def __init__(self, *connection: Any) -> None:
        super().__init__(self.storage_of_all, *connection)

    def _answer(self) -> None:
        if self.path.startswith("/faults/"):
            self._switch()
            return
        fault = self._next_fault()
        size = int(self.headers.get("Content-Length") or 0)
        if fault == "cut" and size:
            self.rfile.read(size // 2)
            self._hang_up()
            return
        body = self.rfile.read(size)
        if fault == "busy":
            self._send(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
            return
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        content = self._handle(body)
        if fault in ("cut", "lost"):
            self._send(content[: len(content) // 2] if fault == "cut" else b"")
            self._hang_up()
        else:
            self._send(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _handle(self, body: bytes) -> bytes:
        """The emulator's answer, collected before it is sent, because the emulator is not thread-safe."""
        connection = self.rfile, self.wfile
        self.rfile, self.wfile = io.BytesIO(body), io.BytesIO()
        try:
            with self.lock:
                Router(self).handle(self.command)
            return self.wfile.getvalue()
        finally:
            self.rfile, self.wfile = connection

    def _next_fault(self) -> str | None:
        with self.lock:
            if not self.every:
                return None
            fault = some_faults(self.number, {}) if self.number // 20 % self.every == 0 else None
            _Handler.number += 1
            self.answers[fault or "ok"] += 1
        return fault

    def _switch(self) -> None:
        with self.lock:
            _Handler.every, _Handler.number = int(self.path.rpartition("/")[2]), 0
            content = json.dumps(self.answers).encode()
            self.answers.clear()
        self._send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))

    def _send(self, content: bytes) -> None:
        # A client closes the connection when it wants no more of an answer.
        try:
            self.wfile.write(content)
        except ConnectionError:
            self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _incomplete(response: Any, storage: Storage, upload_id: str, fallback_end: int = 0) -> None:
    """The answer to an incomplete upload; the emulator's own claims that one byte came even if none did."""
    response.status = objects.GoogleHTTPStatus.RESUME_INCOMPLETE
    received = storage.get_resumable_byte_count(upload_id)
    if received:
        response["Range"] = f"bytes=0-{received - 1}"


def main() -> None:
    objects._resumable_incomplete = _incomplete
    buckets.create_bucket(BUCKET, _Handler.storage_of_all)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
