"""The manifest: the last file that a build writes, so a directory that has one is whole.

```
manifest.json
  format "byline-shards"   version 1   sequence_length 2048   ids "int32"   plan_sha256   code_version   config {...}
  tokenizer   name  sha256  vocab_size  bos_id  eos_id  pad_id
  inputs      rows of inputs.arrow
  phases      name  template  rows  tokens  loss_tokens  mixture {source: {requested, achieved}}
              shards  path  rows  loss_tokens  bytes  sha256
  ledger      sources {...}  phases {...}             (docs/ledger.md)
```
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byline.errors import BylineError
from byline.shards import FORMAT, VERSION

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class ShardEntry:
    """One shard: its path relative to the manifest, rows, tokens that count in the loss, bytes, sha256 (hex)."""

    path: str
    rows: int
    loss_tokens: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PhaseEntry:
    """One phase, its shards in training order. `tokens` are positions: rows * sequence_length."""

    name: str
    template: str | None
    rows: int
    tokens: int
    loss_tokens: int
    mixture: dict[str, dict[str, float]]
    shards: list[ShardEntry]


@dataclass(frozen=True)
class Manifest:
    """The manifest's contents; `config`, `tokenizer` and `ledger` are plain JSON values."""

    sequence_length: int
    ids: str
    tokenizer: dict[str, Any]
    config: dict[str, Any]
    plan_sha256: str
    code_version: str
    inputs: int
    phases: list[PhaseEntry]
    ledger: dict[str, Any]


def read_manifest(directory: str | Path) -> Manifest:
    """Reads `directory/manifest.json`.

    Raises:
        BylineError: there is none (the build did not finish), or it is not one of this version.
    """
    path = Path(directory) / FILE_NAME
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BylineError(
            f"{directory}: no {FILE_NAME}, so this is no finished build; run `byline build` (again) to finish it"
        ) from None
    except (OSError, ValueError) as error:
        raise BylineError(f"{path}: cannot be read as JSON ({error}); build again or copy it anew") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT or values.get("version") != VERSION:
        raise BylineError(
            f'{path}: expected "format": "{FORMAT}" and "version": {VERSION}; this is another kind of file or version'
        )
    try:
        phases = [
            PhaseEntry(**{**phase, "shards": [ShardEntry(**shard) for shard in phase["shards"]]})
            for phase in values.pop("phases")
        ]
        del values["format"], values["version"]
        return Manifest(phases=phases, **values)
    except (KeyError, TypeError) as error:
        raise BylineError(f"{path}: a key is missing or unknown ({error}); build again or copy it anew") from None
