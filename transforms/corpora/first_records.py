"""The first records of a source, read before anything is prepared: are the fields there that it names?

```
fields: {url: link}, score: {quality: q}

first records       {"text": "...", "url": "http://a.org", "q": null}
fields.url          an error: none has `link`; did you mean url?
score.quality       fine: they have `q`, though none has a value; the share is counted when they are prepared
```

A file may lack what others of its source have, so some of them are tried, and a field is missing where none has it.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from byline.errors import BylineError
from byline.printable import shown
from byline.schemas.corpora import Malformed, Source
from byline.schemas.documents import CONTENTS, URL, InputFile
from byline.schemas.field_paths import as_path, ways_of
from byline.transforms.corpora.folder_keys import folder_keys
from byline.transforms.corpora.reading import read_records, wanted_columns
from byline.transforms.corpora.record_names import has_name
from byline.transforms.documents.values import converter

# Files of a source that are tried: with the field in one of a hundred files, a user may still have meant it.
TRIED_FILES = 16
_NAMES_SHOWN = 12
_SHOWN = 60


def first_records(file: InputFile, source: Source) -> pa.RecordBatch | None:
    """The first records of a file, as many as its layout reads at once, without the malformed ones.

    Returns:
        The columns of `wanted_columns`; None where the file has no record, or cannot be read: preparing says why.
    """
    lenient = source.model_copy(update={"malformed": Malformed.DROP})
    try:
        read = next(iter(read_records(file, lenient)), None)
    except BylineError:
        return None
    return None if read is None else read.batch.filter(pa.array(~read.malformed))


def named_columns(source: Source) -> dict[str, str]:
    """The columns whose field a source names itself, other than those of its text -> the key that does."""
    named: dict[str, str] = {name: f"fields.{name}" for name in source.fields if name not in CONTENTS}
    named.update({name: f"score.{name}" for name in source.score})
    return {**named, **{name: f"keep.{name}" for name in source.keep}}


def check_named_fields(name: str, source: Source, files: Sequence[InputFile]) -> bool:
    """Looks for the fields that a source names, and for its URLs.

    Args:
        name: of the source.
        source: its settings.
        files: of the source.

    Returns:
        Whether records have URLs, as far as can be told.

    Raises:
        BylineError: none of the first records has a field that it names, or a value of it that can be used.
    """
    if source.is_made:
        return False
    missing = {URL.name: "fields.url", **named_columns(source)}
    schema, paths = wanted_columns(source)
    tried, names = [], dict[str, Any]()
    for file in _spread(files):
        # Of far fewer records than are read at once.
        names_of_file = _names_of(file, source)
        missing = {
            column: key
            for column, key in missing.items()
            if not _leads_to_value(paths[column], schema.field(column), names_of_file)
        }
        if not missing:
            return True
        records = first_records(file, source)
        if records is None or not len(records):
            continue
        tried.append(file)
        names.update({name: value for name, value in names_of_file.items() if names.get(name) is None})
        missing = {column: key for column, key in missing.items() if records[column].null_count == len(records)}
        if not missing:
            return True
    if not tried or source.layout.names is None:
        return True
    for column, key in missing.items():
        if column in named_columns(source):
            _check_field(f"{tried[0].uri}: sources.{name}.{key}", paths[column], names)
    return URL.name not in missing or has_name(paths[URL.name], names)


def _leads_to_value(path: str, field: pa.Field, names: dict[str, Any]) -> bool:
    """Whether a path leads to a value that a column can have."""
    values = [names.get(as_path(*way)) for way in ways_of(path)]
    if field.name == URL.name:
        return any(isinstance(value, str) for value in values)
    convert = converter(field.type)
    return any(convert(value) is not None for value in values)


def _spread(files: Sequence[InputFile]) -> list[InputFile]:
    """The first file, and others at equal distances behind it."""
    step = -(-len(files) // TRIED_FILES)
    return list(files[:: max(step, 1)])


def _names_of(file: InputFile, source: Source) -> dict[str, Any]:
    """Name in a record of a file -> the first value of it that is not null; none where the file cannot be read."""
    if source.layout.names is None:
        return {}
    try:
        return {**folder_keys(file), **source.layout.names(file)}
    except BylineError:
        return {}


def _check_field(where: str, path: str, names: dict[str, Any]) -> None:
    if not has_name(path, names):
        raise BylineError(f"{where}: none of the first records has the field {path!r}; {nearest(path, names)}")
    values = [names[as_path(*way)] for way in ways_of(path) if names.get(as_path(*way)) is not None]
    if values:
        raise BylineError(
            f"{where}: none of the first records has a value in the field {path!r} that can be used; "
            f"one is {shown(values[0], _SHOWN)}"
        )


def nearest(path: str, names: Iterable[str]) -> str:
    """Names that are like a path, or where none is, all of them, as the end of a message."""
    names = list(names)
    near = difflib.get_close_matches(path, names, n=3, cutoff=0.5)
    # `link` for `meta.link`.
    near += [name for name in names if name.rpartition(".")[2] == path.rpartition(".")[2] and name not in near]
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near[:3])}?"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"the fields there are {', '.join(map(repr, names[:_NAMES_SHOWN]))}{more}" if names else "they have no field"
