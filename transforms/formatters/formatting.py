"""Formatting: another text for each document before it is scored and tokenized, and which parts of it are trained.

```
sources:  chats: {format: jsonl, path: "chats/*.jsonl", fields: {messages: conversation}, formatter: chat}

row  messages                              row  text                                loss_spans   special_spans
0    [{user, "Hi"}, {assistant, "Yes."}]   0    User: Hi\\n\\nAssistant: Yes.\\n\\n     [21, 27]     null
1    null                                  (malformed: an error, or dropped and counted)
```

A formatter is a function of a batch: `formatter(batch, **options)` takes the columns that were read and gives, for
every row in order, a batch or a mapping of columns

| column | type | |
|---|---|---|
| text | string | the new text; null drops the document (`missing_text`) |
| loss_spans | list of integers | see `byline.schemas.documents`; not given: everything is trained |
| special_spans | list of integers | likewise; not given: none |
| malformed | string | why a record cannot be formatted, null where it can |

and may give back columns that it was given; those are ignored. `chat`, `qa` and `fim` come with Byline, any other
is named `package.module:function`, and imported where the work is done, from the module path or the current folder.
What it gives is checked to the last span. Batches of sources without a formatter pass as they are.
"""

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import byline.transforms.documents.coder  # noqa: F401  (registers the coder of the batches)
from byline.errors import BylineError
from byline.schemas.corpora import FORMATTERS, Formatter, Malformed, Source
from byline.schemas.documents import LOSS_SPANS, SPANS_TYPE, SPECIAL_SPANS, TEXT, info_of, with_info
from byline.schemas.reasons import DropReason
from byline.transforms.documents.counters import count
from byline.transforms.documents.text_parts import characters, flat_lists
from byline.transforms.documents.values import malformed_error
from byline.transforms.files.storage import read_bytes
from byline.transforms.formatters.chat import chat
from byline.transforms.formatters.fill_in_the_middle import fim
from byline.transforms.formatters.question_answer import qa

Function = Callable[..., "pa.RecordBatch | Mapping[str, Any]"]
_BUILT_IN: dict[str, Function] = {"chat": chat, "qa": qa, "fim": fim}
# What a formatter gives; in a batch that it gives back, other columns are those it was given.
_TYPES = {"text": TEXT.type, "loss_spans": SPANS_TYPE, "special_spans": SPANS_TYPE, "malformed": pa.string()}
_READ = ("text", "messages", "question", "answer")


@dataclass(frozen=True)
class OpenFormatter:
    """The formatter of one source, opened.

    Attributes:
        source: the source's name.
        name: the formatter's.
        function: what formatters a batch.
        options: its keyword arguments.
        malformed: what a record that cannot be formatted does.
    """

    source: str
    name: str
    function: Function
    options: dict[str, Any]
    malformed: Malformed


def open_formatter(name: str, source: Source) -> OpenFormatter | None:
    """Finds the function of a source's formatter; None for a source without one.

    Raises:
        BylineError: it cannot be imported, or does not take the options.
    """
    if source.formatter is None:
        return None
    where = f"sources.{name}.formatter"
    function = _BUILT_IN.get(source.formatter.name) or _imported(where, source.formatter)
    options = source.formatter.options
    try:
        inspect.signature(function).bind(None, **options)
    except TypeError as error:
        taken = ", ".join(list(inspect.signature(function).parameters)[1:]) or "none"
        raise BylineError(
            f"{where}: {source.formatter.name} cannot be called with these options ({error}); it takes: {taken}"
        ) from None
    return OpenFormatter(name, source.formatter.name, function, options, source.malformed)


def _imported(where: str, formatter: Formatter) -> Function:
    module_name, _, function_name = formatter.name.partition(":")
    _look_here_too()
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise BylineError(f"{where}: {module_name} cannot be imported ({error}); {_ADVICE}") from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise BylineError(f"{where}: {module.__file__} has no function {function_name!r}")
    return function


_ADVICE = "install its package, or run in the folder that holds it"


def _look_here_too() -> None:
    """An installed command does not look for modules in the current folder; a worker may already."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()


def module_sha256(source: str, formatter: Formatter) -> str | None:
    """The sha256 of the file that a function of one's own is in; None for a formatter that comes with Byline.

    Raises:
        BylineError: there is no such module, or it is no file.
    """
    if formatter.name in FORMATTERS:
        return None
    module = formatter.name.partition(":")[0]
    _look_here_too()
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
        raise BylineError(f"sources.{source}.formatter: there is no module {module}; {_ADVICE}")
    return hashlib.sha256(read_bytes(spec.origin)).hexdigest()


def format_batch(batch: pa.RecordBatch, open_formatter: OpenFormatter | None) -> pa.RecordBatch:
    """Formats the documents of a batch; without a formatter, the batch as it is.

    Returns:
        The columns that were there but `messages`, `question` and `answer`, `text` behind `row`, and behind the others
        `loss_spans` and `special_spans`.

    Raises:
        BylineError: a malformed record, or what the function gives is not what it should be.
    """
    if open_formatter is None:
        return batch
    try:
        given = open_formatter.function(batch, **open_formatter.options)
    except BylineError as error:
        raise BylineError(f"sources.{open_formatter.source}.formatter: {error}") from None
    found = _columns(batch, open_formatter, given)
    kept = [field for field in batch.schema if field.name not in ("row", *_READ)]
    fields = [batch.schema.field("row"), TEXT, *kept, LOSS_SPANS, SPECIAL_SPANS]
    columns = [found[field.name] if field.name in found else batch[field.name] for field in fields]
    formatted = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, batch.schema.metadata))
    bad = found["malformed"].is_valid()
    if not pc.any(bad).as_py():
        return formatted
    if open_formatter.malformed is Malformed.ERROR:
        first = pc.index(bad, True).as_py()
        raise malformed_error(
            *_file(batch, open_formatter), f"row {batch['row'][first]}", found["malformed"][first].as_py()
        )
    info = info_of(batch).with_dropped({DropReason.MALFORMED.value: pc.sum(bad).as_py()})
    return with_info(formatted.filter(pc.invert(bad)), info)


def _file(batch: pa.RecordBatch, open_formatter: OpenFormatter) -> tuple[str, str]:
    return info_of(batch).path, open_formatter.source


# --- what a function gives


def _columns(batch: pa.RecordBatch, open_formatter: OpenFormatter, given: Any) -> dict[str, pa.Array]:
    """The columns that a function gave, checked; those that it did not give are null."""
    where = f"sources.{open_formatter.source}.formatter: {open_formatter.name}, {info_of(batch).path}"
    if isinstance(given, pa.RecordBatch):
        given = dict(zip(given.schema.names, given.columns, strict=True))
    if not isinstance(given, Mapping) or "text" not in given:
        what = f"columns {', '.join(map(str, given))}" if isinstance(given, Mapping) else type(given).__name__
        raise BylineError(f"{where}: expected a batch or a mapping with a column `text`, found {what}")
    unknown = [name for name in given if name not in _TYPES and name not in batch.schema.names]
    if unknown:
        raise BylineError(f"{where}: gives a column {unknown[0]!r}; it may give {', '.join(_TYPES)}")
    found = {}
    for name, kind in _TYPES.items():
        values = given.get(name)
        found[name] = pa.nulls(len(batch), kind) if values is None else _cast(f"{where}: {name}", values, kind)
        if len(found[name]) != len(batch):
            raise BylineError(
                f"{where}: {name}: {len(found[name])} values for {len(batch)} rows; give one for each row, in order"
            )
    for name in ("loss_spans", "special_spans"):
        _check_spans(where, batch, name, found["text"], found[name])
    return found


def _cast(where: str, values: Any, kind: pa.DataType) -> pa.Array:
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if pa.types.is_nested(kind) and pa.types.is_nested(array.type) and array.flatten().null_count:
            raise BylineError(f"{where}: a span has a null in it")
        array = array.cast(kind)
        array.validate(full=True)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise BylineError(f"{where}: expected {kind} ({' '.join(str(error).split())})") from None
    return array


def _check_spans(where: str, batch: pa.RecordBatch, name: str, text: pa.Array, spans: pa.Array) -> None:
    """Raises for a span that is not whole, in order, apart from the one before it, and within its text."""
    positions, offsets = flat_lists(spans)
    if len(positions) == 0:
        return
    sizes, lengths = characters(text), np.diff(offsets)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    before = np.concatenate([[0], positions[:-1]])
    before[offsets[:-1][lengths > 0]] = 0
    problems = (
        (lengths[rows] % 2 == 1, "expected pairs of start and end, found an odd number"),
        (positions < before, "expected each start and end behind the one before it"),
        (positions > sizes[rows], "expected spans within the text"),
    )
    for is_bad, problem in problems:
        if is_bad.any():
            row = rows[is_bad.argmax()]
            shown = positions[offsets[row] : offsets[row + 1]][:8].tolist()
            raise BylineError(
                f"{where}, row {batch['row'][row]}: {name}: {problem}; a text of {sizes[row]} characters has {shown}"
            )


class _FormatFn(beam.DoFn):
    def __init__(self, sources: dict[str, Source]) -> None:
        self._sources = {name: source for name, source in sources.items() if source.formatter is not None}

    def setup(self) -> None:
        self._open_formatters = {name: open_formatter(name, source) for name, source in self._sources.items()}

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        open_formatter = self._open_formatters.get(info_of(batch).source)
        if open_formatter is None:
            yield batch
            return
        started = time.monotonic()
        formatted = format_batch(batch, open_formatter)
        milliseconds = round(1000 * (time.monotonic() - started))
        count({"documents_formatted": len(formatted), "format_milliseconds": milliseconds})
        yield formatted


class FormatDocuments(beam.PTransform):
    """Document batches -> the same with the texts of their sources' formatters; one batch in, one batch out.

    Args:
        sources: the configuration of every source that a batch may be of.
    """

    def __init__(self, sources: dict[str, Source]) -> None:
        super().__init__()
        self._sources = sources

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        return batches | "FormatTexts" >> beam.ParDo(_FormatFn(self._sources))
