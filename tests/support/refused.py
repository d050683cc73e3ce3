"""Commands of `byline` on a machine that refuses to write: a real limit on the size of files, or no right to write.

```python
run_refused([["plan", "r.yaml"], ["build", "r.yaml"]], largest=4096)   # no file of more bytes ("File too large")
run_refused([["plan", "r.yaml"]], is_user=True)                        # root is held to permissions, too
```

A full disk differs from the limit in its message alone, and needs no mount.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 120.0
# Root writes where nobody may, by a capability; what is started without it in its bounding set never gets it.
_DROP = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if os.getuid() == 0 and libc.prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
_COMMANDS = """
import json, resource, sys
from byline.pipelines.cli import main
limit = json.loads(sys.argv[1])
if limit is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for words in json.loads(sys.argv[2]):
    sys.argv = ["byline", *words]
    status = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code or 0
    for stream in (sys.stdout, sys.stderr):
        print(f"\\n===== {status}", file=stream, flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    status: int
    out: str
    err: str


def run_refused(
    commands: Sequence[Sequence[str | Path]], *, largest: int | None = None, is_user: bool = False
) -> list[Ended]:
    """Runs commands one after another in one process of their own; standard error is without empty lines."""
    words = ["-c", _COMMANDS, json.dumps(largest), json.dumps([list(map(str, command)) for command in commands])]
    done = subprocess.run(
        [sys.executable, *(["-c", _DROP] if is_user else []), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = [_parts(text) for text in (done.stdout, done.stderr)]
    return [Ended(status, out, err) for (status, out), (_, err) in zip(*parts, strict=True)]


def _parts(text: str) -> list[tuple[int, str]]:
    found, before = [], ""
    for line in text.splitlines():
        if line.startswith("===== "):
            found.append((int(line.split()[1]), before))
            before = ""
        elif line:
            before += line + "\n"
    return found


@contextmanager
def limited(largest: int) -> Iterator[None]:
    """No file of this process gets more bytes, in the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody without special rights may write below a folder, in the block."""
    below = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in below]
    for path in below:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in zip(below, modes, strict=True):
            os.chmod(path, mode)
