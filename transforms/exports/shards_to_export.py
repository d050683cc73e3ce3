"""What an export is made from, and where it goes: the same for the driver and every worker.

```
OUT   conditioned  shard 0  1  2    cooldown  shard 0          in training order
             number      0  1  2                    3          what a work item is
```
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from byline import locations
from byline.errors import BylineError
from byline.manifest import PhaseEntry, ShardEntry
from byline.reader import Shards, open_shards
from byline.shard_files import ShardFile
from byline.transforms.exports.export_format import ShardRows, check_path
from byline.transforms.exports.export_manifest import CURRENT_NAME, WORK_FOLDER, ExportMaker
from byline.transforms.files import storage
from byline.transforms.files.local_copies import fetched


@dataclass(frozen=True)
class ExportJob:
    """What every worker must know.

    Attributes:
        out: the build.
        folder: where the export goes.
        maker: what it is made from and by.
    """

    out: str
    folder: str
    maker: ExportMaker

    @property
    def work(self) -> str:
        """The folder of what is only needed until the manifest is written."""
        return storage.join(self.folder, WORK_FOLDER)

    @property
    def current(self) -> str:
        """Where it is said whose export is being written."""
        return storage.join(self.work, CURRENT_NAME)


class ShardsToExport:
    """The shards of a build that an export has, in training order."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self._order = [
            (phase, number) for phase, count in shards.manifest.training_order(shards.branch) for number in range(count)
        ]
        for phase, _ in self._order:
            check_path(phase.name, f"{shards.directory}: phase")

    @classmethod
    def of(cls, job: ExportJob) -> "ShardsToExport":
        """Those of a job.

        Raises:
            BylineError: the build is no longer the one that the job exports.
        """
        shards = open_shards(job.out, job.maker.branch)
        if shards.manifest.sha256 != job.maker.manifest_sha256:
            raise BylineError(f"{job.out}: is no longer the build that this job exports; run the same command again")
        return cls(shards)

    def __len__(self) -> int:
        return len(self._order)

    def entry(self, number: int) -> ShardEntry:
        """Shard `number` as the build's manifest lists it."""
        phase, in_phase = self._order[number]
        return phase.shards[in_phase]

    def phase(self, number: int) -> PhaseEntry:
        """The phase of shard `number`."""
        return self._order[number][0]

    def stem(self, number: int) -> str:
        """What the files of shard `number` are named by: `conditioned/00003-of-00012`."""
        phase, in_phase = self._order[number]
        return f"{phase.name}/{in_phase:05d}-of-{len(phase.shards):05d}"

    def record_name(self, number: int) -> str:
        """The name of the record of shard `number`."""
        phase, in_phase = self._order[number]
        return f"{phase.name}-{in_phase:05d}.json"

    @contextmanager
    def rows(self, number: int) -> Iterator[ShardRows]:
        """The rows of shard `number` for the block, once its bytes are those that the manifest lists.

        An object is copied to this machine first: each of its bytes is asked for once.

        Raises:
            BylineError: they are not, or the shard cannot be read, or this machine has no room for it.
        """
        entry, phase, manifest = self.entry(number), self.phase(number), self.shards.manifest
        uri = storage.join(self.shards.directory, entry.path)
        with fetched(uri) as path:
            if storage.file_sha256(path) != entry.sha256:
                raise BylineError(f"{uri}: has another sha256 than the manifest lists; copy it anew or build again")
            file = ShardFile(uri, manifest, phase, self._order[number][1], lambda _: locations.open_file(path))
            yield ShardRows(file, uri, manifest, entry.rows, phase.name, self.stem(number))
