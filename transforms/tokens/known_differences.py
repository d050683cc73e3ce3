"""What comparing the two libraries found, kept beside the token store so that no worker compares them again.

```
STORE/tokenizers/5f0c...json    {"characters": [[1423, 1423], [42958, 42959]], "strings": ["<ph>"], "whole": null,
                                 "sha256": "2c4b..."}
```

The file's name is a hash of all that the outcome depends on: the tokenizer's sha256, the names that stay text, the
versions of both libraries and of the comparison. A file that is damaged is made anew.
"""

import hashlib
import json
import sys
from importlib.metadata import version
from typing import Any

import tokenizers

from byline.errors import BylineError
from byline.transforms.files.storage import join, read_bytes, write_file
from byline.transforms.tokens.code_points import of_runs, to_runs
from byline.transforms.tokens.differences import COMPARISON, Differences
from byline.transforms.tokens.tokenizer_file import TokenizerFile


def known_differences(file: TokenizerFile, reference: tokenizers.Tokenizer, folder: str | None) -> Differences:
    """The differences of the two libraries on a file, read from a folder or found by comparing, and then kept there.

    Args:
        file: the tokenizer.
        reference: made of it.
        folder: where they are kept; None to keep them nowhere.
    """
    key = _key(file)
    uri = None if folder is None else join(folder, f"{key}.json")
    kept = None if uri is None else _read(uri)
    differences = kept or _IN_PROCESS.get(key) or _compare(file, reference)
    _IN_PROCESS[key] = differences
    if uri is not None and kept is None:
        _write(uri, differences)
    return differences


# A process may use a tokenizer with several token stores.
_IN_PROCESS: dict[str, Differences] = {}


def _compare(file: TokenizerFile, reference: tokenizers.Tokenizer) -> Differences:
    # Here, where nobody has compared them: once for a tokenizer, and it takes both libraries and awkward.
    from byline.transforms.tokens.comparing import compare

    return compare(file, reference)


def _key(file: TokenizerFile) -> str:
    special = sorted(token["content"] for token in file.added if token["special"])
    depends_on = [file.sha256, special, version("gigatoken"), version("tokenizers"), sys.version_info[:2], COMPARISON]
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]


def _read(uri: str) -> Differences | None:
    """What a file says; None if it is not there, or not as it was written."""
    try:
        content = json.loads(read_bytes(uri))
        digest = content.pop("sha256")
        if digest != _digest(content):
            return None
        return Differences(of_runs(content["characters"]), tuple(content["strings"]), content["whole"])
    # Whatever is in the file, it is only a copy.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write(uri: str, differences: Differences) -> None:
    content: dict[str, Any] = {
        "characters": to_runs(differences.characters),
        "strings": list(differences.strings),
        "whole": differences.whole,
    }
    try:
        with write_file(uri) as sink:
            sink.write(json.dumps({**content, "sha256": _digest(content)}).encode())
    except BylineError:
        # Another command may read a token store that it may not write to; it compares once more.
        return


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
