"""The values of attributes for records of a raw corpus, as the token store has them beside its runs.

```
a.jsonl, rows 3 and 7    attributes/lengths/91c3.../a-00000.arrow    row 7 long   row 3 short    ->    short  long
```
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.transforms.attributes.batch_files import plain
from byline.transforms.checks.framing import Tokens
from byline.transforms.files.storage import join
from byline.transforms.store.attribute_columns import AttributeFolders, by_folder
from byline.transforms.store.run_reading import open_run
from byline.transforms.store.store_index import read_files


@dataclass(frozen=True)
class AttributeValues:
    """The attributes that a plan names.

    Attributes:
        folders: where its columns are, beside the runs.
        run_folders: where the runs of each source are.
    """

    folders: AttributeFolders
    run_folders: Mapping[str, str]
    # (source, folder) -> path of an input file -> (file of the attribute, number of the chunk in it).
    _files: dict[tuple[str, str], dict[str, list[tuple[str, int]]]] = field(default_factory=dict, init=False)

    def columns(self, source: str, path: str, rows: Sequence[int]) -> dict[str, pa.Array]:
        """Every column of a source for these records of one of its files, in their order.

        Raises:
            BylineError: the token store has no value for one of them.
        """
        values: dict[str, pa.Array] = {}
        named = self.folders.get(source, {})
        for folder, names in by_folder(named, named).items():
            known = self._of_file(source, folder, path, names)
            numbers = {row: number for number, row in enumerate(known["row"].to_pylist())}
            missing = [row for row in rows if row not in numbers]
            if missing:
                raise BylineError(f"row {missing[0]} of {path} has no value in {folder} of source {source}")
            wanted = pa.array([numbers[row] for row in rows], pa.int64())
            values.update({name: known[name].take(wanted) for name in names})
        return values

    def _of_file(self, source: str, folder: str, path: str, names: list[str]) -> pa.RecordBatch:
        """`row` and these columns of all documents of an input file."""
        chunks = []
        for uri, number in self._listed(source, folder).get(path, []):
            batch = open_run(uri, ["row", "file", *names]).whole()
            if "file" in batch.schema.names:
                batch = batch.filter(pa.array(batch["file"].to_numpy() == number))
            columns = [plain(batch[name]) for name in ("row", *names)]
            chunks.append(pa.RecordBatch.from_arrays(columns, ["row", *names]))
        if not chunks:
            raise BylineError(f"{path} has no values in {folder} of source {source}")
        return pa.Table.from_batches(chunks).combine_chunks().to_batches()[0]

    def _listed(self, source: str, folder: str) -> dict[str, list[tuple[str, int]]]:
        if (source, folder) not in self._files:
            by_path: dict[str, list[tuple[str, int]]] = {}
            for file in read_files(join(self.run_folders[source], folder)):
                for number, chunk in enumerate(file.chunks):
                    by_path.setdefault(chunk.path, []).append((file.uri, number))
            self._files[source, folder] = by_path
        return self._files[source, folder]


def unmasked_by(ranges: Iterable[Sequence[int] | None], masks: Sequence[int]) -> list[int]:
    """A loss mask without the tokens of some ranges.

    Args:
        ranges: of each attribute that masks, ranges of tokens: start, end, start, ...; None for none.
        masks: 0 or 1 of each token.
    """
    left = np.array(masks)
    for borders in ranges:
        for start, end in zip((borders or ())[::2], (borders or ())[1::2], strict=True):
            left[start:end] = 0
    return [int(mask) for mask in left]


def replaced_by(tokens: Tokens, ranges: Iterable[tuple[Sequence[int] | None, int]]) -> Tokens:
    """Tokens with a placeholder in place of each range, masked if a token of the range is, else weighed as its first.

    Ranges that share a token are one, with the placeholder of the one that begins first; of several that begin there,
    of the longest; of equal ones, of the first given.

    Args:
        tokens: id, loss mask and loss weight of each token.
        ranges: of each column, ranges of tokens: start, end, start, ...; None for none; and the id of its placeholder.
    """
    listed = [
        (start, -end, number, id_)
        for number, (borders, id_) in enumerate(ranges)
        for start, end in zip((borders or ())[::2], (borders or ())[1::2], strict=True)
        if start < end
    ]
    left: Tokens = []
    done = 0
    for start, end, _, id_ in sorted(listed):
        masks = [mask for _, mask, _ in tokens[max(start, done) : -end]]
        if start >= done:
            left += tokens[done:start]
            left.append((id_, *tokens[start][1:]))
        if 0 in masks:
            left[-1] = (left[-1][0], 0, 0.0)
        done = max(done, -end)
    return [*left, *tokens[done:]]
