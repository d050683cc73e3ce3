"""A finished import as its checks see it: manifest, `_import.json` and list of inputs, checked against each other."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from byline import manifest as manifests
from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, read_manifest
from byline.reader import INPUTS_NAME
from byline.schemas.imports import FILE_NAME, ImportPlan, read_import
from byline.shard_files import read_arrow_file
from byline.transforms.checks.ledger import misfits
from byline.transforms.files import storage
from byline.transforms.imports.finishing import config_of
from byline.transforms.imports.importing import PACKING


@dataclass(frozen=True)
class ImportBuild:
    """A finished import, read once.

    Attributes:
        out: its folder.
        manifest, plan: of it.
        input_rows: int64 [files], records of each input file.
        domains: phase -> the domain that its samples name -> how many do, as the manifest says.
    """

    out: str
    manifest: Manifest
    plan: ImportPlan
    input_rows: np.ndarray
    domains: dict[str, dict[str, int]]

    def shards(self) -> Iterator[tuple[PhaseEntry, int]]:
        """Every shard: its phase, and its number in the phase."""
        return ((phase, number) for phase in self.manifest.phases for number in range(len(phase.shards)))


def is_import(out: str) -> bool:
    """Whether a folder has the manifest of an import.

    Raises:
        BylineError: its manifest cannot be read.
    """
    uri = storage.join(out, manifests.FILE_NAME)
    return storage.exists(uri) and read_manifest(out).is_import


def open_import(out: str) -> ImportBuild:
    """Reads an import.

    Raises:
        BylineError: there is no finished import of this version, or its lists are too damaged to check anything with.
    """
    manifest = read_manifest(out)
    damaged = misfits(manifest)
    if damaged:
        raise BylineError(f"{out}: {damaged[0]}; copy the manifest anew or import again")
    uri = storage.join(out, FILE_NAME)
    content = storage.read_bytes(uri)
    if hashlib.sha256(content).hexdigest() != manifest.plan_sha256:
        raise BylineError(f"{uri}: has another sha256 than the manifest says; copy it anew or import again")
    plan = read_import(content, uri)
    inputs = read_arrow_file(storage.join(out, INPUTS_NAME), manifest.inputs_sha256)
    domains = _domains(manifest)
    mixed = _misfits(manifest, plan, domains)
    if not inputs.equals(plan.inputs):
        mixed.append(INPUTS_NAME)
    if mixed:
        raise BylineError(f"{out}: its {mixed[0]} are not those of {FILE_NAME}; copy them anew or import again")
    return ImportBuild(out, manifest, plan, plan.inputs["rows"].to_numpy(), domains)


def _domains(manifest: Manifest) -> dict[str, dict[str, int]]:
    """What the manifest says of domains; nothing where it has another form."""
    try:
        return {one["name"]: one["domains"] for one in manifest.config["import"]["phases"]}
    except (LookupError, TypeError):
        return {}


def _misfits(manifest: Manifest, plan: ImportPlan, domains: dict[str, dict[str, int]]) -> list[str]:
    """What the manifest says otherwise than the import."""
    has_domains = domains.keys() == {phase.name for phase in plan.phases}
    paths = [shard.path for phase in manifest.phases for shard in phase.shards]
    requested = [{source: shares["requested"] for source, shares in phase.mixture.items()} for phase in manifest.phases]
    pairs: list[tuple[str, object, object]] = [
        ("phases", [phase.name for phase in manifest.phases], [phase.name for phase in plan.phases]),
        ("shards", paths, plan.shard_paths()),
        ("tokenizer", manifest.own_tokenizer, asdict(plan.tokenizer)),
        ("sequence_length", manifest.sequence_length, plan.sequence_length),
        ("ids", manifest.ids, plan.ids),
        ("packings", {phase.packing for phase in manifest.phases}, {PACKING}),
        ("sources", requested, [{phase.source: 1.0} for phase in plan.phases]),
        ("sources of the ledger", sorted(manifest.ledger["sources"]), sorted(phase.source for phase in plan.phases)),
        ("folders", manifest.config, config_of(plan, domains) if has_domains else None),
    ]
    return [f"_manifest.json's {what}" for what, said, due in pairs if said != due]
