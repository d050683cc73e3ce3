"""The manifest: the last file that a build writes, so a directory that has one is complete.

```
_manifest.json
  format "byline-shards"   version 4   sequence_length 2048   ids "int32"   plan_sha256   code_version   config {...}
  loss_weight "float16", where shards have that column
  tokenizer   name  sha256  vocab_size  bos_id  eos_id  pad_id  added {name: id}  markers {name: id}
              placeholders {name: id}, where ranges of tokens are replaced
  inputs      rows of _inputs.ipc      inputs_sha256 of the file
  phases      name  template  packing  rows  tokens  mixture {source: {requested, achieved}}  labels
              loss_tokens  loss_tokens_in_rows  loss_tokens_in_segments
              shards  path  rows  bytes  sha256, and the three numbers of loss tokens
              branch  values
  ledger      sources {...}  phases {...}             (docs/ledger.md)
  digests     config  inputs  ledger  ...
```

`digests` has the sha256 of each of these keys, so an edit of any of them is found, whoever reads the manifest: of its
value as JSON with sorted keys, no spaces, and other characters than ASCII escaped.

`phases` lists the timeline in training order, then the branches, each with its own folder:

```
timeline      conditioned  shard 0  1  2  3  4    cooldown  shard 0
cooldown-50                           '-- shard 0    branch {of: cooldown, at: 0.5, phase: conditioned, shards: 3}
read for it   conditioned  shard 0  1  2             cooldown-50  shard 0
```

The last row is what a model trained on the branch reads. A holdout comes last, as a branch that leaves `at` 0, before
the first shard: it is read alone, and nothing else has its documents.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from byline import locations
from byline.errors import BUILD_ANEW, BylineError, of_version
from byline.printable import shown
from byline.shards import FORMAT, WEIGHT_TYPES

FILE_NAME = "_manifest.json"
MANIFEST_VERSION = 4


@dataclass(frozen=True)
class ShardEntry:
    """One shard.

    Attributes:
        path: relative to the manifest.
        rows: how many sequences it has.
        loss_tokens: positions whose loss counts.
        loss_tokens_in_rows: those of them that are not the first of a row, so that a token before them in the row can
            predict them.
        loss_tokens_in_segments: those that are not the first of a segment: what a model that attends within documents
            is trained on.
        bytes, sha256: of the file; hex.
    """

    path: str
    rows: int
    loss_tokens: int
    loss_tokens_in_rows: int
    loss_tokens_in_segments: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PhaseEntry:
    """One phase or branch, its shards in training order.

    Attributes:
        name: of the phase or branch, and of its folder.
        template: of its condition.
        rows, tokens: sums over its shards; tokens are positions, rows * sequence_length.
        loss_tokens, loss_tokens_in_rows, loss_tokens_in_segments: sums over its shards.
        mixture: source -> its `requested` and `achieved` shares.
        shards: in training order.
        packing: the packing policy (docs/formats.md).
        branch: None in the timeline; else `of` (the branch's name in the configuration), `at` (the share of the
            recipe's tokens before it), `phase` and `shards`: it leaves the timeline after that many shards of that
            phase.
        values: what `top` and `bins` of its condition resolved to, if it has any.
        labels: where its mixture is by a label, label -> its `requested` and `achieved` shares.
    """

    name: str
    template: str | None
    rows: int
    tokens: int
    loss_tokens: int
    loss_tokens_in_rows: int
    loss_tokens_in_segments: int
    mixture: dict[str, dict[str, float]]
    shards: list[ShardEntry]
    packing: str = "document_start"
    branch: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    labels: dict[str, dict[str, float]] | None = None

    @property
    def is_holdout(self) -> bool:
        """Whether this is what no phase and no branch reads."""
        return self.branch is not None and self.branch["at"] == 0


@dataclass(frozen=True)
class Manifest:
    """The manifest's contents; `config`, `tokenizer` and `ledger` are plain JSON values.

    `sha256` (hex) is that of its file: what names a build. `loss_weight` is the type of the column of that name in all
    shards; None, as which the file has no such key, where they have none.
    """

    sequence_length: int
    ids: str
    tokenizer: dict[str, Any]
    config: dict[str, Any]
    plan_sha256: str
    code_version: str
    inputs: int
    inputs_sha256: str
    phases: list[PhaseEntry]
    ledger: dict[str, Any]
    loss_weight: str | None = None
    sha256: str = ""

    @property
    def is_import(self) -> bool:
        """Whether its rows were packed by something else (docs/imports.md); `config` has then no recipe."""
        return "import" in self.config

    def domain_of(self, phase: str) -> str:
        """What the samples of a phase name as their domain: of an import the domain that all had, else the phase."""
        imported = self.config["import"]["phases"] if self.is_import else []
        domains = next((list(one["domains"]) for one in imported if one["name"] == phase), [])
        return domains[0] if len(domains) == 1 else phase

    @property
    def own_tokenizer(self) -> dict[str, Any]:
        """The tokenizer as plan and shards describe it: without the ids of tokens around prefixes, and placeholders."""
        return {key: value for key, value in self.tokenizer.items() if key not in ("markers", "placeholders")}

    def shard_metadata(self, phase: PhaseEntry, number: int) -> dict[str, Any]:
        """What shard `number` of a phase must say about itself (`byline.shards.shard_metadata`)."""
        return {
            "plan_sha256": self.plan_sha256,
            "phase": phase.name,
            "shard": number,
            "sequence_length": self.sequence_length,
            "template": phase.template,
            "mask_alignment": "token",
            "tokenizer": self.own_tokenizer,
            "packing": phase.packing,
            "seed": self.config.get("seed"),
            "code_version": self.code_version,
        }

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches."""
        return tuple(phase.name for phase in self.phases if phase.branch is not None and not phase.is_holdout)

    @property
    def holdout(self) -> str | None:
        """Name of what is held out, if anything is."""
        return next((phase.name for phase in self.phases if phase.is_holdout), None)

    def training_order(self, branch: str | None = None) -> list[tuple[PhaseEntry, int]]:
        """What one model reads, in training order: phases, each with the number of its shards that are read.

        Args:
            branch: the branch that the model ends on, or the holdout; None for the whole timeline.

        Raises:
            BylineError: there is no such branch.
        """
        timeline = [(phase, len(phase.shards)) for phase in self.phases if phase.branch is None]
        if branch is None:
            return timeline
        if branch not in (*self.branches, self.holdout):
            known = f"its branches are {', '.join(self.branches)}" if self.branches else "it has none"
            raise BylineError(f"no branch {branch!r}; {known}")
        last = next(phase for phase in self.phases if phase.name == branch)
        assert last.branch is not None, branch
        number = [phase.name for phase, _ in timeline].index(last.branch["phase"])
        cut = [(timeline[number][0], last.branch["shards"])] if last.branch["shards"] else []
        return [*timeline[:number], *cut, (last, len(last.shards))]


def read_manifest(directory: str | os.PathLike[str]) -> Manifest:
    """Reads `directory/_manifest.json`.

    Raises:
        BylineError: there is none (the build did not finish), or it is not a manifest of this version.
    """
    path = locations.join(locations.absolute(directory), FILE_NAME)
    try:
        content = locations.read_bytes(path)
    except FileNotFoundError:
        raise BylineError(
            f"{directory}: no {FILE_NAME}, so this is not a finished build; run `byline build` (again) to finish it"
        ) from None
    except OSError as error:
        raise BylineError(f"{path}: cannot be read as JSON ({error}); build again or copy it anew") from None
    return parse_manifest(content, path)


def parse_manifest(content: bytes, path: str) -> Manifest:
    """A manifest from its file's content; `path` is for error messages.

    Raises:
        BylineError: it is not a manifest of this version.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BylineError(f"{path}: cannot be read as JSON ({error}); build again or copy it anew") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise BylineError(f'{path}: expected "format": "{FORMAT}"; this is another kind of file')
    version = values.get("version")
    if version != MANIFEST_VERSION:
        raise BylineError(f"{path}: not a manifest {of_version(MANIFEST_VERSION, version, BUILD_ANEW)}")
    try:
        edited = _edited(values)
    except RecursionError:
        edited = "it nests too deep"
    if edited is not None:
        raise BylineError(f"{path}: {edited}; copy it anew or build again")
    try:
        phases = [PhaseEntry(**{**phase, "shards": _shard_entries(phase["shards"])}) for phase in values.pop("phases")]
        del values["format"], values["version"], values["digests"]
        manifest = Manifest(phases=phases, sha256=hashlib.sha256(content).hexdigest(), **values)
        if manifest.loss_weight not in (None, *WEIGHT_TYPES):
            known = ", ".join(WEIGHT_TYPES)
            raise ValueError(f"loss_weight {shown(manifest.loss_weight)}, where only {known} are known")
        stray_branch = _stray_branch(manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BylineError(f"{path}: a key is missing or unknown ({error}); build again or copy it anew") from None
    if stray_branch is not None:
        raise BylineError(
            f"{path}: branch {stray_branch!r} leaves no phase of the timeline; build again or copy it anew"
        )
    return manifest


def _shard_entries(shards: list[dict[str, Any]]) -> list[ShardEntry]:
    """As `ShardEntry(**values)` of each, at a tenth of its time, which is a third of opening a build of 5,000 shards.

    The entries take the dictionaries over.
    """
    fields = ShardEntry.__dataclass_fields__.keys()
    if any(set(keys) != fields for keys in set(map(tuple, shards))):
        return [ShardEntry(**values) for values in shards]  # which says what is missing or unknown
    entries = [object.__new__(ShardEntry) for _ in shards]
    for entry, values in zip(entries, shards, strict=True):
        object.__setattr__(entry, "__dict__", values)
    return entries


def digests_of(values: Mapping[str, Any]) -> dict[str, str]:
    """The `digests` of a manifest's keys: all but itself, `format` and `version`."""
    # Values from JSON nest, but never in a circle; to look for one takes a sixth of the time.
    encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)
    return {
        key: hashlib.sha256(encoder.encode(value).encode()).hexdigest()
        for key, value in sorted(values.items())
        if key not in ("format", "version", "digests")
    }


def _edited(values: Mapping[str, Any]) -> str | None:
    """Which key is not as it was written, or that one is missing or new."""
    said, digests = values.get("digests"), digests_of(values)
    if not isinstance(said, dict):
        return "it has no digests of its keys"
    for key in sorted({*said, *digests}):
        if key not in digests:
            return f"no key {key!r}, of which it has a digest"
        if key not in said:
            return f"unknown key {key!r}, of which it has no digest"
        if said[key] != digests[key]:
            return f"its {key} is not what the build wrote: it has another sha256"
    return None


def _stray_branch(manifest: Manifest) -> str | None:
    """The name of a branch that leaves the timeline at a phase or shard that does not exist."""
    shards = {phase.name: count for phase, count in manifest.training_order()}
    for phase in manifest.phases:
        if phase.branch is not None and not 0 <= phase.branch["shards"] <= shards.get(phase.branch["phase"], -1):
            return phase.name
    return None
