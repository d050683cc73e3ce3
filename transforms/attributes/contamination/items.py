"""Evaluation files -> the texts of their items.

```
gsm8k/test.jsonl   {"question": "Natalia sold ...", "answer": "48/2 = 24 ..."}    text  Natalia sold ... 48/2 = 24 ...
arc/test.parquet   question "Which ...", choices {text: [mud, air]}               text  Which ... mud air
```

A record is an item. Its fields are joined with a space, so that n-grams go from a question into its answer, and short
answers count with their questions. Files are read here record by record: evaluation sets are small.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from byline.errors import BylineError
from byline.schemas.attribute_kinds.contamination import EvaluationSet
from byline.schemas.corpora import expanded
from byline.schemas.documents import InputFile
from byline.schemas.field_paths import readings_of
from byline.transforms.corpora.decompressing import line_bounds, read_blocks
from byline.transforms.corpora.json_values import load, values_in
from byline.transforms.corpora.listing import list_matches
from byline.transforms.corpora.signatures import is_parquet
from byline.transforms.files import storage

_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Items:
    """The items of all sets, set after set by name, file after file, record after record.

    Attributes:
        names: of the sets, sorted.
        texts: large_string [items] without nulls.
        sets: int64 [items], the number of each item's set.
        paths: of the files.
        files: int64 [items], the number of each item's file.
        records: int64 [items], the number of its record in the file, from 0.
    """

    names: list[str]
    texts: pa.Array
    sets: np.ndarray
    paths: list[str]
    files: np.ndarray
    records: np.ndarray

    def name_of(self, item: int) -> str:
        """Where an item is, for people."""
        return f"{self.names[self.sets[item]]}: {self.paths[self.files[item]]}, record {self.records[item]}"


def read_items(where: str, sets: Mapping[str, EvaluationSet]) -> Items:
    """Reads the items of all sets.

    Args:
        where: the key of the configuration that has them, for messages.
        sets: by name.

    Raises:
        BylineError: a pattern matches no file, a file cannot be read, or no record of a file has a field.
    """
    names, texts, paths = sorted(sets), list[str](), list[str]()
    set_numbers, files, records = list[int](), list[int](), list[int]()
    for number, name in enumerate(names):
        for file in list_evaluation_files(where, name, sets[name]):
            of_file = list(_texts_of(f"{where}.{name}.fields", file, sets[name].fields))
            texts += of_file
            set_numbers += [number] * len(of_file)
            files += [len(paths)] * len(of_file)
            records += range(len(of_file))
            paths.append(file.uri)
    by_set, by_file, by_record = (np.array(values, np.int64) for values in (set_numbers, files, records))
    return Items(names, pa.array(texts, pa.large_string()), by_set, paths, by_file, by_record)


def list_evaluation_files(where: str, name: str, evaluation: EvaluationSet) -> list[InputFile]:
    """The files of a set. Raises: BylineError: there are none."""
    return list_matches(f"{where}.{name}.path", expanded(evaluation.path))


def _texts_of(where: str, file: InputFile, fields: list[str]) -> Iterator[str]:
    """The text of each item of a file. Raises: BylineError: no item has a text in one of the fields."""
    missing, first = dict.fromkeys(fields), None
    for record in _records(file.uri):
        first = record if first is None else first
        texts = {field: _text_at(record, field) for field in fields}
        for field in [name for name in missing if texts[name]]:
            del missing[field]
        yield " ".join(text for text in texts.values() if text)
    if missing:
        names = ", ".join(first) if isinstance(first, Mapping) else f"no object, but {type(first).__name__}"
        raise BylineError(
            f"{where}: {next(iter(missing))!r} has no text in any record of {file.uri}; the first has: {names}"
        )


def _records(uri: str) -> Iterator[Any]:
    """The records of a file as values of Python."""
    if is_parquet(uri):
        with storage.open_unmapped(uri) as handle:
            try:
                for batch in pq.ParquetFile(handle).iter_batches():
                    yield from batch.to_pylist()
            except pa.ArrowException as error:
                raise BylineError(f"{uri}: {' '.join(str(error).split())}") from None
        return
    for offset, block in read_blocks(uri, _BLOCK_BYTES):
        for begin, end in line_bounds(block).tolist():
            try:
                yield load(block[begin:end])
            except orjson.JSONDecodeError as error:
                raise BylineError(f"{uri}: byte {offset + begin}: {error}; expected one JSON object a line") from None


def _text_at(record: Any, field: str) -> str:
    """What stands at a path, as text; empty if nothing does."""
    values = (value for parts in readings_of(field) for value in values_in(record, parts))
    return next((text for value in values if (text := _as_text(value))), "")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(filter(None, map(_as_text, value)))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""
