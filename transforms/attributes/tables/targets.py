"""The input files that rows of a table name, where it is joined by row.

```
table    source  path                                        input file
         web     a/0.json.gz                                 web/a/0.json.gz
         null    a/0.json.gz                                 that of the only source with such a file
         null    2023-06/0003/en_head.json.gz                web/0003/en_head.json.gz      in layout redpajama
```

In layout redpajama a path and that of an input file mean the same file if one is the end of the other, since a source
may be rooted below or above the folder that the ids are relative to.
"""

import json
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.transforms.attributes.tables.groups import Group
from byline.transforms.files import storage


class Targets:
    """The input files of an attribute, by what a table calls them.

    Attributes:
        files: (source, path, number of its group, its number in the group) of each.
        ends_count: whether a path may be the end of another.
    """

    def __init__(self, files: Iterable[tuple[str, str, int, int]], *, ends_count: bool) -> None:
        self.files = list(files)
        self.ends_count = ends_count
        self._by_name: dict[str, list[int]] = defaultdict(list)
        for number, (_, path, _, _) in enumerate(self.files):
            self._by_name[path.rpartition("/")[2]].append(number)

    @classmethod
    def of(cls, groups: Iterable[Group], *, ends_count: bool) -> "Targets":
        """Those in groups."""
        files = [
            (file.file.source, file.file.path, group.number, number)
            for group in groups
            for number, file in enumerate(group.files)
        ]
        return cls(files, ends_count=ends_count)

    def write(self, uri: str) -> None:
        """Writes them for workers."""
        with storage.write_file(uri) as sink:
            sink.write(json.dumps({"files": self.files, "ends_count": self.ends_count}).encode())

    @classmethod
    def read(cls, uri: str) -> "Targets":
        """Those that `write` wrote."""
        values = json.loads(storage.read_bytes(uri))
        files = [(source, path, group, number) for source, path, group, number in values["files"]]
        return cls(files, ends_count=values["ends_count"])

    def number_of(self, source: str | None, path: str) -> int:
        """The number of the file that a row names; -1 where there is none.

        Raises:
            BylineError: it may be one of several.
        """
        numbers = [
            number
            for number in self._by_name.get(path.rpartition("/")[2], ())
            if source in (None, self.files[number][0]) and self._is_same(path, self.files[number][1])
        ]
        if len(numbers) > 1:
            first, second = (f"{self.files[number][0]}/{self.files[number][1]}" for number in numbers[:2])
            raise BylineError(
                f"the path {path!r} may be {first} or {second}; give the table a column `source`, or let the attribute "
                "be about one of the `sources`"
            )
        return numbers[0] if numbers else -1

    def numbers_of(self, sources: pa.Array, paths: pa.Array) -> tuple[np.ndarray, dict[int, str]]:
        """The numbers of the files that rows name.

        Args:
            sources, paths: large_string [n], with nulls.

        Returns:
            int64 [n], -1 where there is none or no path; and what the table calls each file.

        Raises:
            BylineError: one may be several, or a file has two names.
        """
        names = [sources.dictionary_encode(), paths.dictionary_encode()]
        codes = [name.indices.fill_null(-1).to_numpy().astype(np.int64) for name in names]
        pairs = codes[0] * (len(names[1].dictionary) + 1) + codes[1]
        _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
        numbers, called = np.full(len(first), -1), dict[int, str]()
        for pair, row in enumerate(first.tolist()):
            path = paths[row].as_py()
            if path is None:
                continue
            numbers[pair] = number = self.number_of(sources[row].as_py(), path)
            if number >= 0 and called.setdefault(number, path) != path:
                raise self.two_names(number, called[number], path)
        return numbers[inverse], called

    def two_names(self, number: int, first: str, second: str) -> BylineError:
        """The error for a file that a table calls by two paths."""
        source, path = self.files[number][:2]
        return BylineError(f"{first!r} and {second!r} may both be {source}/{path}; name the table's files one by one")

    def _is_same(self, path: str, of_file: str) -> bool:
        if path == of_file:
            return True
        return self.ends_count and (of_file.endswith(f"/{path}") or path.endswith(f"/{of_file}"))
