"""Fields of records in the names of the folders that their file is in, as Hive, Spark and Arrow write partitions.

```
in/language=de/day=2024%2D05%2D01/0.parquet         language   de      day   2024-05-01
in/language=__HIVE_DEFAULT_PARTITION__/0.parquet    language   null
```

A key is a field of every layout, for `url`, kept fields and scores. What a record itself has goes before it: the key
counts where the record has no value. Of a key that two folders have the inner one counts. Names and values are
percent-decoded where that gives UTF-8. A number may begin with zeros.
"""

import re
from collections.abc import Generator, Iterable, Mapping
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.addresses import is_object_address
from byline.schemas.corpora import Source
from byline.schemas.documents import CONTENTS, InputFile
from byline.schemas.field_paths import ways_of
from byline.schemas.layouts import Block, Records
from byline.schemas.patterns import head_of
from byline.transforms.corpora.returning import Returning
from byline.transforms.documents.values import converter, finite
from byline.transforms.files import storage

# What Hive writes for a partition without a value.
_NULL = "__HIVE_DEFAULT_PARTITION__"
# `month=05` is 5, though no number of JSON.
_LEADING_ZEROS = re.compile(r"^0+(?=[0-9])")


def folder_keys(file: InputFile) -> dict[str, str | None]:
    """The keys of the folders that a file is in, outside of its source's root, too."""
    below = file.path.split("/")[:-1]
    # The address of an object has what is below the root quoted.
    root = file.uri.split("/")[: -len(below) - 1]
    return keys_of([*root, *below])


def keys_of(folders: Iterable[str]) -> dict[str, str | None]:
    """The keys in names of folders, the outermost first."""
    pairs = [folder.partition("=") for folder in folders]
    values = {_decoded(key): _decoded(value) for key, equals, value in pairs if key and equals}
    return {key: None if value == _NULL else value for key, value in values.items()}


def keys_of_root(source: Source) -> dict[str, str | None]:
    """The keys of the folders before the first wildcard of a source's patterns that its fields may name; these decide
    what its records are, and are no part of any document's path."""
    paths = [*source.fields.values(), *source.score.values(), *source.kept_paths.values()]
    named = {_name_of(path) for path in paths}
    keys: dict[str, str | None] = {}
    for pattern in source.patterns:
        head = head_of(pattern)
        folder = head if is_object_address(head) else storage.resolve(head or ".")[1]
        keys.update({key: value for key, value in keys_of(folder.split("/")).items() if key in named})
    return keys


def with_folder_keys(
    blocks: Iterable[Block], file: InputFile, paths: Mapping[str, str]
) -> Generator[Records, None, str | None]:
    """Gives records the keys of their file's folders.

    Args:
        blocks: records as a layout gives them, plain pairs, too.
        file: where they come from.
        paths: column -> path of its values.

    Returns:
        What the layout returns.
    """
    keys = folder_keys(file)
    texts = {
        column: text
        for column, path in paths.items()
        if column not in CONTENTS and (text := keys.get(_name_of(path))) is not None
    }
    returning: Returning[Block, str] = Returning(blocks)
    for block in returning:
        records = Records(*block)
        yield records._replace(batch=_filled(records.batch, records.malformed, texts)) if texts else records
    return returning.value


def _name_of(path: str) -> str:
    """The path as one name; that is how it is first read."""
    names = next(ways_of(path))
    return names[0] if len(names) == 1 else ""


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode() if "%" in text else text
    except UnicodeDecodeError:
        return text


def _filled(batch: pa.RecordBatch, malformed: np.ndarray, texts: Mapping[str, str]) -> pa.RecordBatch:
    arrays = batch.columns
    for number, field in enumerate(batch.schema):
        if field.name in texts and arrays[number].null_count:
            is_empty = pc.and_(arrays[number].is_null(), pa.array(~malformed))
            arrays[number] = pc.if_else(is_empty, _as_value(texts[field.name], field), arrays[number])
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _as_value(text: str, field: pa.Field) -> pa.Scalar:
    if field.name == "url":
        return pa.scalar(text, field.type)
    is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    value = converter(field.type)(_LEADING_ZEROS.sub("", text) if is_number else text)
    if pa.types.is_floating(field.type):
        return finite(pa.array([value], pa.float64()), field.type)[0]
    return pa.scalar(value, field.type)
