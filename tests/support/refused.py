"""Runs commands of `byline` where writing is refused: by a real limit on the size of files, or by permissions.

```python
run_refused([["plan", "r.yaml"], ["build", "r.yaml"]], largest=4096)   # no file of more bytes ("File too large")
run_refused([["plan", "r.yaml"]], is_user=True)                        # permissions apply to root, too
```

A full disk differs from the limit only in its message, and a limit needs no mount.
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
# Root may write anywhere because of a capability; a process started without it in its bounding set never gets it.
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
    """How a command ended: its exit status and its output."""

    status: int
    out: str
    err: str


def run_refused(
    commands: Sequence[Sequence[str | Path]], *, largest: int | None = None, is_user: bool = False
) -> list[Ended]:
    """Runs commands in order, all in one new process; returns their output without empty lines."""
    words = ["-c", _COMMANDS, json.dumps(largest), json.dumps([list(map(str, command)) for command in commands])]
    completed = subprocess.run(
        [sys.executable, *(["-c", _DROP] if is_user else []), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    parts = [_parts(text) for text in (completed.stdout, completed.stderr)]
    return [Ended(status, out, err) for (status, out), (_, err) in zip(*parts, strict=True)]


def _parts(text: str) -> list[tuple[int, str]]:
    outputs, before = [], ""
    for line in text.splitlines():
        if line.startswith("===== "):
            outputs.append((int(line.split()[1]), before))
            before = ""
        elif line:
            before += line + "\n"
    return outputs


@contextmanager
def limited(largest: int) -> Iterator[None]:
    """Limits the size of files that this process writes in the block, in bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Makes a folder and all below it read-only in the block, except for privileged processes."""
    below = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in below]
    for path in below:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in zip(below, modes, strict=True):
            os.chmod(path, mode)
