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

and may give back columns that it was given, which are ignored. `chat`, `qa` and `fim` come with Byline
(`byline.schemas.formatters`). Any other, a function or a `Formatter`, is named `package.module:object`, and imported
where the work is done, from the module path or the current folder. All that it gives is checked, to the last span.
Batches of sources without a formatter pass as they are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.corpora import Malformed
from byline.schemas.documents import (
    CONTENTS,
    LOSS_SPANS,
    LOSS_WEIGHTS,
    RECORD_FIELDS,
    ROW,
    SPANS_TYPE,
    SPECIAL_SPANS,
    TEXT,
    WEIGHTS_TYPE,
    info_of,
    with_columns,
    with_info,
)
from byline.schemas.loss_weights import LARGEST, SMALLEST
from byline.schemas.reasons import DropReason
from byline.transforms.documents.rejects import REJECT_HEAD_BYTES, reject_batch, with_rejects
from byline.transforms.documents.text_parts import characters, flat_lists, list_lengths
from byline.transforms.documents.values import malformed_error
from byline.transforms.formatters.opening import OpenFormatter
from byline.transforms.formatters.part_weights import RANGE

STEP = "FormatDocuments"
# What a formatter gives; in a batch that it gives back, other columns are those it was given.
_TYPES = {
    "text": TEXT.type,
    "loss_spans": SPANS_TYPE,
    "loss_weights": WEIGHTS_TYPE,
    "special_spans": SPANS_TYPE,
    "malformed": pa.string(),
}


def format_batch(batch: pa.RecordBatch, opened: OpenFormatter) -> pa.RecordBatch:
    """Makes the texts of a batch anew.

    Args:
        batch: with `row` and what the formatter reads.
        opened: of the batch's source.

    Returns:
        The columns that were there but those of `CONTENTS`, the new `text` behind `row`, and behind the others
        `loss_spans` and `special_spans`, and of a formatter that weighs `loss_weights`.

    Raises:
        BylineError: a column is missing, a record is malformed, or what the function gives is not what it should be.
    """
    batch = with_columns(batch, STEP, ROW, *(RECORD_FIELDS[name].column for name in opened.formatter.reads))
    try:
        given = opened.formatter.function(batch, **opened.options)
    except BylineError as error:
        raise BylineError(f"sources.{opened.source}.formatter: {error}") from None
    columns = _columns(batch, opened, given)
    kept = [field for field in batch.schema if field.name != "row" and field.name not in CONTENTS]
    fields = [batch.schema.field("row"), TEXT, *kept, LOSS_SPANS, SPECIAL_SPANS]
    fields += [LOSS_WEIGHTS] if opened.weighs else []
    arrays = [columns[field.name] if field.name in columns else batch[field.name] for field in fields]
    formatted = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, batch.schema.metadata))
    bad = columns["malformed"].is_valid()
    if not pc.any(bad).as_py():
        return formatted
    if opened.malformed is Malformed.ERROR:
        first = pc.index(bad, True).as_py()
        raise malformed_error(
            info_of(batch).path, opened.source, f"row {batch['row'][first]}", columns["malformed"][first].as_py()
        )
    info = info_of(batch).with_dropped({DropReason.MALFORMED.value: pc.sum(bad).as_py()})
    rejects = _rejects(batch.filter(bad), columns["malformed"].filter(bad), opened)
    return with_info(with_rejects(formatted.filter(pc.invert(bad)), [rejects]), info)


def _rejects(records: pa.RecordBatch, why: pa.Array, opened: OpenFormatter) -> pa.RecordBatch:
    """Records that cannot be formatted, with the head of what the formatter reads of each, as JSON."""
    read = records.select(opened.formatter.reads)
    heads = [orjson.dumps(record)[:REJECT_HEAD_BYTES] for record in read.to_pylist()]
    reasons = [DropReason.MALFORMED.value] * len(records)
    return reject_batch(reasons, records["row"], whys=why, heads=pa.array(heads, pa.binary()))


# --- what a function gives


def _columns(batch: pa.RecordBatch, opened: OpenFormatter, given: Any) -> dict[str, pa.Array]:
    """The columns that a function gave, checked; those that it did not give are null."""
    where = f"sources.{opened.source}.formatter: {opened.formatter.name}"
    if info_of(batch).path:
        where += f", {info_of(batch).path}"
    if isinstance(given, pa.RecordBatch):
        given = dict(zip(given.schema.names, given.columns, strict=True))
    if not isinstance(given, Mapping) or "text" not in given:
        what = f"columns {', '.join(map(str, given))}" if isinstance(given, Mapping) else type(given).__name__
        raise BylineError(f"{where}: expected a batch or a mapping with a column `text`, found {what}")
    unknown = [name for name in given if name not in _TYPES and name not in batch.schema.names]
    if unknown:
        raise BylineError(f"{where}: gives a column {unknown[0]!r}; it may give {', '.join(_TYPES)}")
    columns = {}
    for name, kind in _TYPES.items():
        values = given.get(name)
        columns[name] = pa.nulls(len(batch), kind) if values is None else _cast(f"{where}: {name}", values, kind)
        if len(columns[name]) != len(batch):
            raise BylineError(
                f"{where}: {name}: {len(columns[name])} values for {len(batch)} rows; give one for each row, in order"
            )
    for name in ("loss_spans", "special_spans"):
        _check_spans(where, batch, name, columns["text"], columns[name])
    if not opened.weighs and given.get("loss_weights") is not None:
        raise BylineError(f"{where}: gives loss_weights, which only a Formatter(..., weighs=True) may give; name one")
    _check_weights(where, batch, columns["loss_spans"], columns["loss_weights"])
    return columns


def _cast(where: str, values: Any, kind: pa.DataType) -> pa.Array:
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if pa.types.is_nested(kind) and pa.types.is_nested(array.type) and array.flatten().null_count:
            raise BylineError(f"{where}: {'a span' if kind == SPANS_TYPE else 'a list'} has a null in it")
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


def _check_weights(where: str, batch: pa.RecordBatch, spans: pa.Array, weights: pa.Array) -> None:
    """Raises for weights that are not one for each loss span (without spans, one), or out of range."""
    due = np.where(spans.is_valid().to_numpy(zero_copy_only=False), list_lengths(spans) // 2, 1)
    counts = list_lengths(weights)
    uneven = weights.is_valid().to_numpy(zero_copy_only=False) & (counts != due)
    if uneven.any():
        row = uneven.argmax()
        raise BylineError(
            f"{where}, row {batch['row'][row]}: loss_weights: expected {due[row]}, one for each loss span, or for all "
            f"of a text without spans; found {counts[row]}"
        )
    values = weights.flatten().to_numpy()
    bad = ~((values >= SMALLEST) & (values <= LARGEST))
    if bad.any():
        row = np.repeat(np.arange(len(counts)), counts)[bad.argmax()]
        raise BylineError(
            f"{where}, row {batch['row'][row]}: loss_weights: expected {RANGE}, found {values[bad.argmax()]:g}; leave "
            "what is not to count out of loss_spans"
        )
