"""A folder as a bucket of S3 on loopback, in a process of its own, that answers each request after a while.

```
GET /bucket/made/00000-of-00004.arrow   Range: bytes=100-199      sleep 20 ms, then 206 and 100 bytes
HEAD /bucket/made/none.arrow                                      sleep 20 ms, then 404
```

It answers what reading needs and nothing else: HEAD and GET of an object, a range of it or all. Nobody is asked who
they are. Requests wait side by side, as in a real store; how fast it sends is up to this machine.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

BUCKET = "bucket"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@contextmanager
def loopback_store(folder: Path, latency: float) -> Iterator[dict[str, str]]:
    """Starts a store.

    Args:
        folder: what is in the bucket.
        latency: seconds before each answer.

    Yields:
        The environment in which it is read, as `s3://bucket/...`.
    """
    command = [sys.executable, "-m", "benchmarks.loopback_store", str(folder), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield {
                "AWS_ENDPOINT_URL": process.stdout.readline().strip(),
                "AWS_ACCESS_KEY_ID": "any",
                "AWS_SECRET_ACCESS_KEY": "any",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_REGION": "us-east-1",
            }
        finally:
            process.terminate()


def _handler(folder: Path, latency: float) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body of an answer are two writes; together with delayed acknowledgements that is 40 ms.
        disable_nagle_algorithm = True

        def do_HEAD(self) -> None:
            self._answer(sends=False)

        def do_GET(self) -> None:
            self._answer(sends=True)

        def _answer(self, sends: bool) -> None:
            time.sleep(latency)
            path = folder / unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
            if not path.is_file():
                self._head(404, 0, {})
                return
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                asked = _RANGE.fullmatch(self.headers.get("Range", ""))
                start = int(asked[1]) if asked else 0
                end = min(int(asked[2]) + 1, size) if asked and asked[2] else size
                content = {"Content-Range": f"bytes {start}-{end - 1}/{size}"} if asked else {}
                self._head(206 if asked else 200, end - start, {**content, "Last-Modified": formatdate(0, usegmt=True)})
                while sends and start < end:
                    start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)

        def _head(self, status: int, size: int, headers: dict[str, str]) -> None:
            self.send_response_only(status)
            for name, value in {"Content-Length": str(size), "ETag": '"made"', **headers}.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Connections that arrive at once; a client opens some dozens.
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up when they have what they want."""


def main() -> None:
    """Serves until it is ended; prints its address first."""
    parser = argparse.ArgumentParser(description="A folder as a bucket of S3 on loopback.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    server = _Server(("127.0.0.1", 0), _handler(options.folder, options.latency))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
