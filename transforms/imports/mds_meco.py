"""MDS files with the columns of MeCo's own packer and trainer (docs/imports.md says where each is defined).

```
input_ids   ndarray of integers [L]      the tokens
mask        ndarray of integers [L]      0 where the loss does not count; without the column it counts everywhere
indices     ndarray of integers [k, 2]   first token of each segment, and the one behind its last; without the column a
                                         sample is one segment
length      an integer                   L, if the column is there
domain      str                          counted, if the column is there
```

Segments have to cover a sample without a gap: 0 to its first border, from there to the next, the last one at L.
"""

from functools import cached_property

import numpy as np

from byline.errors import BylineError
from byline.schemas.imports import ImportedFile
from byline.transforms.files import storage
from byline.transforms.imports.import_kind import Folder, ImportKind, Samples
from byline.transforms.imports.mds_index import INDEX_NAME, MdsIndex, lost_files, read_content, read_index
from byline.transforms.imports.mds_samples import MdsSamples

_COLUMNS = ("input_ids", "mask", "indices", "length", "domain")
# What MeCo publishes before it is packed has these instead of `indices`.
_UNPACKED = frozenset({"input_ids", "url", "length"})


class MdsMeco(ImportKind):
    """MeCo's packed data, and whatever else has these columns."""

    name = "mds-meco"
    line = (
        "`index.json`, and the MDS files it lists, as they are or compressed (zstd, gz, bz2, br): `input_ids`; `mask`, "
        "`indices`, `length` and `domain` where they are there | MeCo's `datatools/mds_pack_data.py`, `pack` of "
        "CodeCreator's `datatools` (ProLong), `byline export --to mds-meco` | other columns, which the import names"
    )

    def list_folder(self, location: str) -> "MdsMecoFolder":
        return MdsMecoFolder(read_index(location))


class MdsMecoFolder(Folder):
    """A folder of MDS files with these columns."""

    def __init__(self, index: MdsIndex) -> None:
        self._index = index
        self.location, self.lists_sha256 = index.folder, index.sha256
        self.files = [ImportedFile(file.raw.basename, file.samples, file.raw.bytes) for file in index.files]
        uri = storage.join(index.folder, INDEX_NAME)
        for number, file in enumerate(index.files):
            if "input_ids" not in file.names:
                raise BylineError(f"{uri}: shard {number} has no column input_ids, only {', '.join(file.names)}")
            if file.names != index.files[0].names:
                raise BylineError(
                    f"{uri}: shard {number} has the columns {', '.join(file.names)}, shard 0 "
                    f"{', '.join(index.files[0].names)}; import them as phases of their own"
                )
        names = index.files[0].names if index.files else ()
        if "indices" not in names and set(names) >= _UNPACKED:
            raise BylineError(
                f"{uri}: its samples are documents that are not packed yet ({', '.join(names)}); pack them with MeCo's "
                "datatools/mds_pack_data.py, and import what that writes"
            )
        self.left_out = [name for name in names if name not in _COLUMNS]

    def length(self) -> int:
        return int(self._first_file.arrays("input_ids", 1).shape[0, 0])

    def masks(self) -> bool:
        samples = self._first_file
        return "mask" in samples.names and bool((samples.rows("mask", self.length())[0] == 0).any())

    def lost(self) -> list[str]:
        return lost_files(self._index)

    @cached_property
    def _first_file(self) -> MdsSamples:
        number = next((number for number, file in enumerate(self.files) if file.samples), None)
        if number is None:
            raise BylineError(f"{storage.join(self.location, INDEX_NAME)}: lists no sample")
        return self._open(number)

    def _open(self, number: int) -> MdsSamples:
        file = self._index.files[number]
        uri = storage.join(self.location, file.raw.basename)
        return MdsSamples(read_content(self.location, file), file, uri)

    def read(self, number: int, length: int) -> Samples:
        samples = self._open(number)
        tokens = samples.arrays("input_ids", 1).shape[:, 0]
        if "length" in samples.names:
            said = samples.integers("length")
            samples.refuse(said != tokens, lambda n: f"length says {said[n]:,}, input_ids has {tokens[n]:,} values")
        samples.refuse(
            tokens != length,
            lambda n: (
                f"{tokens[n]:,} tokens, where the first sample of the import has {length:,}; all have to have as many"
            ),
        )
        ids = samples.rows("input_ids", length)
        mask = samples.rows("mask", length) if "mask" in samples.names else np.ones(ids.shape, np.uint8)
        samples.refuse(((mask != 0) & (mask != 1)).any(axis=1), "mask has values other than 0 and 1")
        if "indices" in samples.names:
            lengths, segments = _segments(samples, length)
        else:
            lengths, segments = np.full(samples.count, length), np.ones(samples.count, np.int64)
        domains = samples.texts("domain") if "domain" in samples.names else {}
        return Samples(samples.uri, ids, mask.astype(np.uint8, copy=False), lengths, segments, domains)


def _segments(samples: MdsSamples, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of all segments, int64 [S], and how many each sample has, int64 [n]."""
    bounds, counts = samples.pairs("indices")
    sample = np.repeat(np.arange(samples.count), counts)
    first, end = bounds[:, 0], bounds[:, 1]
    lasts = np.cumsum(counts) - 1
    due = np.empty_like(first)
    due[1:] = end[:-1]
    due[lasts - counts + 1] = 0

    def refuse(bad: np.ndarray, what: str) -> None:
        if bad.any():
            number = int(bad.argmax())
            pair = f"[{first[number]}, {end[number]}]"
            wrong = np.zeros(samples.count, bool)
            wrong[sample[number]] = True
            samples.refuse(wrong, f"its indices {what} at {pair}; they have to cover 0 to {length:,} in order")

    refuse(end <= first, "have an empty segment")
    refuse(first < due, "overlap")
    refuse(first > due, "leave a gap")
    is_last = np.zeros(len(end), bool)
    is_last[lasts] = True
    refuse((is_last & (end != length)) | (end > length), "do not end with the sample")
    return end - first, counts
