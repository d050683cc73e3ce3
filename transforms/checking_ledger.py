"""The ledger recounted: its sums from its own lines, and its lines from the rows of the shards.

```
source   read = kept + dropped          kept = used + unused          used <= drawn over all phases
phase    tokens + prefix + special = positions + discarded            positions + padding = rows * L
rows     positions, loss tokens, documents by source = the ledger's
```
"""

from typing import Any

import numpy as np

from byline.manifest import Manifest, PhaseEntry
from schemas.ledger import DrawCounts
from transforms.checking_rows import RowCounts


def check_sources(manifest: Manifest) -> list[str]:
    """Every document that was read is kept or dropped, every kept one used or unused."""
    problems = []
    drawn = _drawn(manifest)
    for name, source in manifest.ledger["sources"].items():
        kept, used, unused = source["kept"], source["used"], source["unused"].values()
        sums = [
            ("documents read", source["read"]["documents"], kept["documents"] + sum(source["dropped"].values())),
            ("documents kept", kept["documents"], used["documents"] + sum(u["documents"] for u in unused)),
            ("tokens kept", kept["tokens"], used["tokens"] + sum(u["tokens"] for u in unused)),
        ]
        for what, said, counted in sums:
            if said != counted:
                problems.append(f"ledger, source {name}: {said:,} {what}, its parts sum to {counted:,}")
        if used["documents"] > drawn.get(name, 0):
            problems.append(
                f"ledger, source {name}: {used['documents']:,} documents used, {drawn.get(name, 0):,} drawn"
            )
    return problems


def _drawn(manifest: Manifest) -> dict[str, int]:
    total: dict[str, int] = {}
    for phase in manifest.ledger["phases"].values():
        for name, counts in phase["sources"].items():
            total[name] = total.get(name, 0) + counts["documents"]
    return total


def check_phase(manifest: Manifest, phase: PhaseEntry, shards: list[RowCounts], file_sources: np.ndarray) -> list[str]:
    """The lines of one phase against its rows.

    Args:
        manifest: of the build.
        phase: one of it.
        shards: what was counted in its shards.
        file_sources: str [files], the source of each input file.
    """
    ledger = manifest.ledger["phases"][phase.name]
    where = f"ledger, phase {phase.name}"
    problems = _check_sums(manifest, phase, shards, ledger)
    positions = sum((shard.positions for shard in shards), np.zeros(len(file_sources), np.int64))
    loss = sum((shard.loss_by_file for shard in shards), np.zeros(len(file_sources), np.int64))
    filled = max(int(positions.sum()), 1)
    for name, counts in ledger["sources"].items():
        counted = DrawCounts(**counts)
        mine = file_sources == name
        if not counted.closes():
            problems.append(
                f"{where}, source {name}: tokens, prefixes and BOS/EOS are not positions and discarded tokens"
            )
        for what, said, found in (
            ("positions", counted.positions, int(positions[mine].sum())),
            ("loss tokens", counted.loss_tokens, int(loss[mine].sum())),
        ):
            if said != found:
                problems.append(f"{where}, source {name}: {said:,} {what}, the shards have {found:,}")
        achieved = phase.mixture.get(name, {}).get("achieved")
        if achieved is None or abs(achieved - int(positions[mine].sum()) / filled) > 1e-9:
            problems.append(
                f"{where}, source {name}: the manifest's achieved share is {achieved}, not that of the shards"
            )
    return problems


def _check_sums(manifest: Manifest, phase: PhaseEntry, shards: list[RowCounts], ledger: dict[str, Any]) -> list[str]:
    rows = sum(shard.rows for shard in shards)
    documents = sum(counts["positions"] for counts in ledger["sources"].values())
    sums = [
        ("rows", phase.rows, rows),
        ("tokens", phase.tokens, rows * manifest.sequence_length),
        ("loss tokens", phase.loss_tokens, sum(shard.loss_tokens for shard in shards)),
        ("padding", ledger["padding"], sum(shard.padding for shard in shards)),
        ("positions and padding", documents + ledger["padding"], rows * manifest.sequence_length),
    ]
    return [
        f"phase {phase.name}: the manifest says {said:,} {what}, the shards have {found:,}"
        for what, said, found in sums
        if said != found
    ]


def check_disjoint(phases: dict[str, np.ndarray]) -> list[str]:
    """No document of one phase is in another.

    Args:
        phases: name -> int64, doc ids, each once, sorted.
    """
    problems = []
    names = list(phases)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            both = np.intersect1d(phases[first], phases[second], assume_unique=True)
            if len(both):
                file, row = int(both[0]) >> 32, int(both[0]) & (2**32 - 1)
                problems.append(
                    f"phases {first} and {second} share {len(both):,} documents "
                    f"(first: file {file} of inputs.arrow, row {row})"
                )
    return problems


def check_documents(
    manifest: Manifest, phase: PhaseEntry, documents: np.ndarray, file_sources: np.ndarray
) -> list[str]:
    """Every document that the ledger draws once stands in the phase's rows; only for phases within one epoch."""
    problems = []
    owners = file_sources[documents >> 32]
    for name, counts in manifest.ledger["phases"][phase.name]["sources"].items():
        found = int((owners == name).sum())
        if found != counts["documents"]:
            problems.append(
                f"ledger, phase {phase.name}, source {name}: {counts['documents']:,} documents, "
                f"the shards have {found:,}"
            )
    return problems
