"""The manifest: the last file that a build writes, so a directory that has one is whole.

```
manifest.json
  format "byline-shards"   version 2   sequence_length 2048   ids "int32"   plan_sha256   code_version   config {...}
  tokenizer   name  sha256  vocab_size  bos_id  eos_id  pad_id  added {name: id}  markers {name: id}
  inputs      rows of inputs.arrow
  phases      name  template  packing  rows  tokens  loss_tokens  mixture {source: {requested, achieved}}
              shards  path  rows  loss_tokens  bytes  sha256
              branch  values
  ledger      sources {...}  phases {...}             (docs/ledger.md)
```

`phases` lists the timeline in training order, then the branches, each with a folder of its own:

```
timeline     conditioned  shard 0  1  2  3  4    cooldown  shard 0
cooldown-50                              '-- shard 0     branch {of: cooldown, at: 0.5, phase: conditioned, shards: 3}
its line      conditioned  shard 0  1  2,   cooldown-50  shard 0     what a model reads that is trained on the branch
```
"""

import json
import os
from dataclasses import dataclass
from typing import Any

from byline import locations
from byline.errors import BUILD_ANEW, BylineError, of_version
from byline.shards import FORMAT

FILE_NAME = "manifest.json"
MANIFEST_VERSION = 2


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
    """One phase or branch, its shards in training order.

    Attributes:
        name: of it and of its folder.
        template: of its condition.
        rows, tokens, loss_tokens: of all its shards; tokens are positions, rows * sequence_length.
        mixture: source -> shares `requested` and `achieved`.
        shards: in training order.
        packing: its policy (docs/formats.md).
        branch: None in the timeline; else `of` (the branch's name in the configuration), `at` (its share of the
            recipe's tokens), `phase` and `shards`: it leaves the timeline behind so many shards of that phase.
        values: what `top` and `bins` of its condition came to, if anything.
    """

    name: str
    template: str | None
    rows: int
    tokens: int
    loss_tokens: int
    mixture: dict[str, dict[str, float]]
    shards: list[ShardEntry]
    packing: str = "document_start"
    branch: dict[str, Any] | None = None
    values: dict[str, Any] | None = None


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

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches."""
        return tuple(phase.name for phase in self.phases if phase.branch is not None)

    def line(self, branch: str | None = None) -> list[tuple[PhaseEntry, int]]:
        """What one model reads, in training order: phases, each with how many of its shards.

        Args:
            branch: a branch, the last of what is read; None for the timeline.

        Raises:
            BylineError: there is no such branch.
        """
        main = [(phase, len(phase.shards)) for phase in self.phases if phase.branch is None]
        if branch is None:
            return main
        if branch not in self.branches:
            known = f"its branches are {', '.join(self.branches)}" if self.branches else "it has none"
            raise BylineError(f"no branch {branch!r}; {known}")
        last = next(phase for phase in self.phases if phase.name == branch)
        assert last.branch is not None, branch
        number = [phase.name for phase, _ in main].index(last.branch["phase"])
        cut = [(main[number][0], last.branch["shards"])] if last.branch["shards"] else []
        return [*main[:number], *cut, (last, len(last.shards))]


def read_manifest(directory: str | os.PathLike[str]) -> Manifest:
    """Reads `directory/manifest.json`.

    Raises:
        BylineError: there is none (the build did not finish), or it is not one of this version.
    """
    path = locations.join(locations.absolute(directory), FILE_NAME)
    try:
        content = locations.read_bytes(path)
    except FileNotFoundError:
        raise BylineError(
            f"{directory}: no {FILE_NAME}, so this is no finished build; run `byline build` (again) to finish it"
        ) from None
    except OSError as error:
        raise BylineError(f"{path}: cannot be read as JSON ({error}); build again or copy it anew") from None
    return parse_manifest(content, path)


def parse_manifest(content: bytes, path: str) -> Manifest:
    """A manifest from its file's content; `path` says in an error where it is.

    Raises:
        BylineError: it is not one of this version.
    """
    try:
        values = json.loads(content)
    except ValueError as error:
        raise BylineError(f"{path}: cannot be read as JSON ({error}); build again or copy it anew") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise BylineError(f'{path}: expected "format": "{FORMAT}"; this is another kind of file')
    version = values.get("version")
    if version != MANIFEST_VERSION:
        raise BylineError(f"{path}: not a manifest {of_version(MANIFEST_VERSION, version, BUILD_ANEW)}")
    try:
        phases = [
            PhaseEntry(**{**phase, "shards": [ShardEntry(**shard) for shard in phase["shards"]]})
            for phase in values.pop("phases")
        ]
        del values["format"], values["version"]
        manifest = Manifest(phases=phases, **values)
        stray = _stray_branch(manifest)
    except (KeyError, TypeError) as error:
        raise BylineError(f"{path}: a key is missing or unknown ({error}); build again or copy it anew") from None
    if stray is not None:
        raise BylineError(f"{path}: branch {stray!r} leaves no phase of the timeline; build again or copy it anew")
    return manifest


def _stray_branch(manifest: Manifest) -> str | None:
    """A branch that leaves the timeline where there is none."""
    shards = {phase.name: count for phase, count in manifest.line()}
    for phase in manifest.phases:
        if phase.branch is not None and not 0 <= phase.branch["shards"] <= shards.get(phase.branch["phase"], -1):
            return phase.name
    return None
