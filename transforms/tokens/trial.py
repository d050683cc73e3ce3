"""Tries what a tokenizer.json does with texts in a process of its own, where that cannot be known beforehand.

```
pre_tokenizer, Regex "a{1,100000}{1,100000}"      takes all memory when it is compiled
normalizer, Replace "a" by a thousand of them     four in a sequence make 10^12 characters of one
normalizer, Precompiled "BAAAAP////..."           a table in binary, read without checks
```

A regular expression, a replacement or a table that takes more than 30 s or 4 GiB for short texts, or brings the library
down, is refused. Only these parts of the file are tried, with a model of one token, and the outcome is kept beside the
token store, so that it is done once.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from byline.errors import BylineError
from byline.transforms.files.storage import exists, join, write_file
from byline.transforms.tokens.tokenizer_file import TokenizerFile, refuse

# Patterns in use take milliseconds and a few megabytes, but a machine may be busy.
_SECONDS = 30
_BYTES = 1 << 32
_TRIED: set[str] = set()
_CHILD = """
import json, sys
path, size = json.loads(sys.argv[1])
sys.path[:] = path
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))
except (ImportError, ValueError, OSError):
    pass
import tokenizers
try:
    tokenizer = tokenizers.Tokenizer.from_str(sys.stdin.read())
except Exception:
    sys.exit(0)
letters = "".join(map(chr, range(32, 127)))
for text in ("a" * 2000 + "!", "ab" * 1000 + "1", " " * 2000 + "x", "1" * 2000 + "a", "\\n" * 500 + "x", letters * 20,
             "\\u00e9\\u4e2d\\U0001f600e\\u0301" * 200, "a b\\r\\n" * 400 + "'s"):
    try:
        tokenizer.encode(text, add_special_tokens=False)
    except BaseException as error:
        print(str(error)[:200])
        sys.exit(4)
"""


def try_out(file: TokenizerFile, folder: str | None) -> None:
    """Tries a file's normalizer and pre-tokenizer, if they have something that may fail, and if not done before.

    Args:
        file: the tokenizer.
        folder: where it is kept that they were tried; None to keep it in this process alone.

    Raises:
        BylineError: they are of no use.
    """
    tried = {key: file.settings.get(key) for key in ("normalizer", "pre_tokenizer")}
    if not any(_may_fail(step) for step in _steps(tried)):
        return
    content = json.dumps(tried, sort_keys=True)
    key = hashlib.sha256(f"{version('tokenizers')} {content}".encode()).hexdigest()[:32]
    if key in _TRIED or (folder is not None and exists(join(folder, f"{key}.tried"))):
        return
    reason = _tried({"version": "1.0", "added_tokens": [], **tried, "model": {"type": "WordLevel", "vocab": {"a": 0}}})
    if reason is not None:
        refuse(file.uri, f"its normalizer or pre_tokenizer {reason}")
    _TRIED.add(key)
    if folder is not None:
        try:
            with write_file(join(folder, f"{key}.tried")) as sink:
                sink.write(b"")
        except BylineError:
            # A token store that this command may not write to; the next one tries again.
            return


def _steps(value: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings within a value, itself included."""
    if isinstance(value, Mapping):
        yield value
    if isinstance(value, (Mapping, list)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _steps(item)


def _may_fail(step: Mapping[str, Any]) -> bool:
    """Whether a step has a regular expression, a table, or replaces by something longer than a character or two."""
    replacement = step.get("content")
    is_long = isinstance(replacement, str) and len(replacement) > 2
    return "Regex" in step or "precompiled_charsmap" in step or is_long or step.get("type") == "FixedLength"


def _tried(settings: Mapping[str, Any]) -> str | None:
    """What a process that used such a tokenizer came to; None if all is well."""
    settings = {**settings, "model": {**settings["model"], "unk_token": "a"}}
    command = [sys.executable, "-I", "-c", _CHILD, json.dumps([sys.path, _BYTES])]
    try:
        done = subprocess.run(command, input=json.dumps(settings).encode(), capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"takes more than {_SECONDS} s for a few short texts"
    if done.returncode == 4:
        return f"gives up on a short text: {done.stdout.decode(errors='replace').strip()}"
    if done.returncode != 0:
        return "brings tokenizers down, or takes more than 4 GiB, for a few short texts"
    return None
