"""A finished build as its checks see it: manifest, configuration, plan and list of inputs, checked against each other.

```
OUT/_manifest.json   phases, shards, ledger, configuration
OUT/_plan.ipc        what goes where                      (its sha256 is in the manifest)
OUT/_inputs.ipc      file number -> source, path, records
```
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline import manifest as manifests
from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry, read_manifest
from byline.printable import one_line
from byline.prompt import HASHED
from byline.reader import INPUTS_NAME
from byline.salts import needed_salt
from byline.schemas import plan as plans
from byline.schemas.config import Config
from byline.schemas.config_file import merge, parse_config
from byline.schemas.inputs import INPUTS_SCHEMA
from byline.template import Template
from byline.transforms.checks.ledger import misfits
from byline.transforms.checks.plan import check_plan
from byline.transforms.checks.shuffle_keys import InputNames
from byline.transforms.files import storage


@dataclass(frozen=True)
class Build:
    """A finished build, read once.

    Attributes:
        out: its folder.
        plan_rows: (phase, number of the shard) -> the plan's rows for it; a shard without documents has none.
        inputs: the input files.
        rows: int64 [files], records of each.
    """

    out: str
    manifest: Manifest
    config: Config
    plan: plans.Plan
    plan_rows: dict[tuple[str, int], pa.RecordBatch]
    inputs: InputNames
    rows: np.ndarray

    @property
    def repeated(self) -> list[str]:
        """The sources that the plan draws from in several epochs."""
        sources = self.plan.table.group_by(["source", "epoch"]).aggregate([])["source"].to_pylist()
        return sorted({source for source in sources if sources.count(source) > 1})

    def shards(self) -> Iterator[tuple[PhaseEntry, int]]:
        """Every shard: its phase, and its number in the phase."""
        return ((phase, number) for phase in self.manifest.phases for number in range(len(phase.shards)))


def open_build(out: str, tokenizer: str | None) -> Build:
    """Reads a build.

    Args:
        out: its folder.
        tokenizer: where the tokenizer.json is now; None if it is where it was.

    Raises:
        BylineError: there is no finished build of this version, or its lists are too damaged to check anything with.
    """
    manifest = read_manifest(out)
    damaged = misfits(manifest)
    if damaged:
        raise BylineError(f"{out}: {damaged[0]}; copy the manifest anew or build again")
    values = manifest.config
    if tokenizer is not None:
        values = merge(values, {"tokenizer": {"file": tokenizer}})
    config = parse_config(values, storage.join(out, manifests.FILE_NAME))
    for condition in (stage.condition for stage in config.stages if stage.condition is not None):
        if not HASHED.keys().isdisjoint(Template(condition.template).fields):
            needed_salt(condition.salt)
    uri = storage.join(out, plans.FILE_NAME)
    content = storage.read_bytes(uri)
    if hashlib.sha256(content).hexdigest() != manifest.plan_sha256:
        raise BylineError(f"{uri}: has another sha256 than the manifest says; copy it anew or build again")
    plan = plans.read_plan(content, uri)
    mixed = check_plan(manifest, config, plan)
    if mixed:
        raise BylineError(f"{out}: {mixed[0]}; copy it anew or build again")
    rows = {(batch["phase"][0].as_py(), batch["shard"][0].as_py()): batch for batch in plans.rows_by_shard(plan.table)}
    return Build(out, manifest, config, plan, rows, *_read_inputs(out, manifest.inputs_sha256))


def _read_inputs(out: str, sha256: str) -> tuple[InputNames, np.ndarray]:
    """Names and records of the input files."""
    uri = storage.join(out, INPUTS_NAME)
    content = storage.read_bytes(uri)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BylineError(f"{uri}: has another sha256 than the manifest says; copy it anew or build again")
    try:
        with pa.BufferReader(content) as source:
            table = pa.ipc.open_file(source).read_all()
            table.validate(full=True)
        if not table.schema.equals(INPUTS_SCHEMA, check_metadata=False):
            raise ValueError("its columns are not those of the contract")
        if table["file"].to_pylist() != list(range(table.num_rows)):
            raise ValueError("its files are not numbered in order")
        names = list(zip(table["source"].to_pylist(), table["path"].to_pylist(), strict=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BylineError(f"{uri}: cannot be read ({one_line(error)}); copy it anew or build again") from None
    return InputNames.of(names), table["rows"].to_numpy()
