r"""Some records of each source, tried as preparing and assembling would treat them; no run is written.

```
ok  web records                    100 of data/a.jsonl: 97 kept, 3 dropped (empty_text 3); the first has 312 tokens
ok  web url                        97 known; 'http://en.example.org/a'
-   web quality                    20 known, 77 null; '0.25'           check where sources.web takes it from, or ...
ok  web phases.main.condition      6 tokens: 'URL: en.example.org\n\n'
```

Values are shown as Python writes them, so that nothing of a corpus acts on a terminal.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from byline import salts
from byline.errors import BylineError
from byline.pipelines.console.doctor_lines import Check, State
from byline.printable import one_line
from byline.schemas.config import Config
from byline.schemas.corpora import Source
from byline.schemas.documents import ROW, BatchInfo, InputFile, info_of, with_info
from byline.schemas.field_counts import FieldCounts
from byline.schemas.planned_stage import FieldValues
from byline.schemas.reasons import DropReason
from byline.schemas.recipe import Condition, Stage
from byline.transforms.attributes.values import TYPES
from byline.transforms.corpora.first_records import check_named_fields
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.metadata import extract_metadata
from byline.transforms.corpora.reading import read_records
from byline.transforms.fields.conditioning import make_prefixes
from byline.transforms.fields.known_fields import describe, known_warnings
from byline.transforms.fields.template_fields import field_values, filled_prefixes
from byline.transforms.filters.applying import open_rules
from byline.transforms.filters.filtering import filter_documents
from byline.transforms.filters.tables import rules_of
from byline.transforms.formatters.formatting import format_batch
from byline.transforms.formatters.opening import open_formatter
from byline.transforms.scores.scoring import LABEL_PREFIX, Scorer, open_scorer, score_batch
from byline.transforms.store.field_counting import count_fields
from byline.transforms.tokens.text_tokenizer import shared_tokenizer
from byline.transforms.tokens.tokenizing import tokenize_batch

TRIED_RECORDS = 100
# So many files are opened at most until one has a record.
TRIED_FILES = 20
_SHOWN = 60


class Tried(NamedTuple):
    """Records of one source that were tried.

    Attributes:
        file: that they are of.
        documents: those that are kept, as they come into the token store.
        text: of the first of them; None where none is kept.
    """

    file: InputFile
    documents: pa.RecordBatch
    text: str | None


def try_sources(config: Config, path: str, cache_folder: str) -> Iterator[Check]:
    """Tries the first records of each source.

    Args:
        config: the recipe.
        path: of its file.
        cache_folder: for folded models.
    """
    try:
        scorers = [open_scorer(name, classifier, cache_folder) for name, classifier in config.classifiers.items()]
    except BylineError as error:
        yield Check("models", State.FAILED, one_line(error), f"correct classifiers in {path}")
        return
    yield from _unknown_labels(config, scorers, path)
    for name in config.sources:
        mend = f"correct sources.{name} in {path}"
        try:
            tried = try_source(config, name, scorers, cache_folder)
            yield _records_check(name, tried, mend)
            yield from _field_checks(config, name, tried)
            yield from _prefix_checks(config, name, tried._replace(documents=_with_attributes(config, name, tried)))
        except BylineError as error:
            yield Check(f"{name} records", State.FAILED, one_line(error), mend)
        except Exception as error:  # of a function of the user's own
            yield Check(f"{name} records", State.FAILED, f"{type(error).__name__}: {one_line(error)}", mend)


def try_source(config: Config, name: str, scorers: Sequence[Scorer], cache_folder: str) -> Tried:
    """Reads, formats, scores, filters and tokenizes the first records of a source's first file that has any.

    Raises:
        BylineError: whatever preparing would raise for them.
    """
    source = config.sources[name]
    files = list_inputs(name, source)
    check_named_fields(name, source, files)
    file, records, dropped = _first_records(name, source, files)
    batch = _as_batch(file, records, dropped)
    if source.formatter is not None:
        batch = format_batch(batch, open_formatter(name, source.formatter, source.malformed))
    batch = score_batch(extract_metadata(batch), [scorer for scorer in scorers if scorer.name not in source.score])
    batch = filter_documents(batch, open_rules(rules_of(config, name), cache_folder))
    text = batch["text"][0].as_py() if len(batch) else None
    return Tried(file, tokenize_batch(batch, shared_tokenizer(config.tokenizer)), text)


def _first_records(
    name: str, source: Source, files: Sequence[InputFile]
) -> tuple[InputFile, pa.RecordBatch, dict[str, np.ndarray]]:
    """The first file that has records, its first ones, and which of them are dropped for which reason.

    Raises:
        BylineError: none of the first files has a record, or one cannot be read.
    """
    for file in files[:TRIED_FILES]:
        for records in read_records(file, source):
            if len(records.batch):
                dropped = {DropReason.MALFORMED.value: records.malformed}
                if records.too_long is not None:
                    dropped[DropReason.TOO_LONG.value] = records.too_long
                return file, records.batch, dropped
    raise BylineError(f"sources.{name}.path: the first {len(files[:TRIED_FILES])} files have no record")


def _as_batch(file: InputFile, records: pa.RecordBatch, dropped: dict[str, np.ndarray]) -> pa.RecordBatch:
    """The first of a file's records as a document batch."""
    first = records.slice(0, TRIED_RECORDS)
    rows = pa.array(np.arange(len(first)), ROW.type)
    batch = pa.RecordBatch.from_arrays([rows, *first.columns], schema=pa.schema([ROW, *first.schema]))
    info = BatchInfo(source=file.source, path=file.path, rows_read=len(first))
    counts = {reason: int(mask[:TRIED_RECORDS].sum()) for reason, mask in dropped.items()}
    bad = np.logical_or.reduce([mask[:TRIED_RECORDS] for mask in dropped.values()])
    return with_info(batch.filter(pa.array(~bad)), info.with_dropped(counts))


def _records_check(name: str, tried: Tried, mend: str) -> Check:
    info, kept = info_of(tried.documents), len(tried.documents)
    dropped = ", ".join(f"{reason} {number:,}" for reason, number in info.dropped.items())
    told = f"{info.rows_read:,} of {tried.file.uri}: {kept:,} kept"
    told += f", {sum(info.dropped.values()):,} dropped ({dropped})" if dropped else ""
    if tried.text is None:
        return Check(f"{name} records", State.FAILED, told, mend)
    tokens = tried.documents["num_tokens"][0].as_py()
    return Check(f"{name} records", State.OK, f"{told}; the first has {tokens:,} tokens: {_shown(tried.text)}")


def _field_checks(config: Config, name: str, tried: Tried) -> Iterator[Check]:
    """One line for each field, with a value; it is minded where the recipe uses the field and few records have it."""
    counts = count_fields(tried.documents) if len(tried.documents) else {}
    for column, count in counts.items():
        # As the plan would warn of it, if all documents were like these.
        warnings = known_warnings(config, {name: {column: count}})
        advice = warnings[0].partition("; ")[2] if warnings else ""
        state = State.ABSENT if warnings else State.OK
        yield Check(f"{name} {column}", state, _described(tried.documents[column], count), advice)


def _described(values: pa.Array, count: FieldCounts) -> str:
    known = next((value for value in values.to_pylist() if value not in (None, "") and value == value), None)
    return describe(count) if known is None else f"{describe(count)}; {_shown(str(known))}"


def _with_attributes(config: Config, name: str, tried: Tried) -> pa.RecordBatch:
    """The documents with columns of attributes, which are made of prepared documents, so that none is known here."""
    documents = tried.documents
    for column, kind in config.attribute_columns_of(name).items():
        unknown = pa.nulls(len(documents), TYPES[kind])
        documents = documents.append_column(column, unknown.dictionary_encode() if kind == "string" else unknown)
    return documents


def _prefix_checks(config: Config, name: str, tried: Tried) -> Iterator[Check]:
    """One line for each template that the source's documents get, filled for the first of them."""
    for where, stage in config.located_stages():
        if stage.condition is not None and name in config.sources_of(stage) and len(tried.documents):
            yield _prefix_check(config, f"{name} {where}.condition", name, stage.condition, tried.documents)
        for field in _listed_fields(stage):
            if name in config.sources_of(stage) and len(tried.documents):
                field_values(tried.documents, name, field, salts.DEFAULT)


def _prefix_check(config: Config, label: str, name: str, condition: Condition, documents: pa.RecordBatch) -> Check:
    # The borders of bins and the commonest values are those of all documents.
    plain = condition.model_copy(update={"top": {}, "bins": {}})
    nothing = FieldValues()
    texts, index = filled_prefixes(documents, name, plain, nothing)
    tokenizer, length = shared_tokenizer(config.tokenizer), config.sequence.length
    prefixes = make_prefixes(documents, name, plain, nothing, None, tokenizer, length)
    told = f"{int(prefixes.lengths[0]):,} tokens: {_shown(texts[index[0]])}"
    if not prefixes.too_long.any():
        return Check(label, State.OK, told)
    number = int(prefixes.too_long.sum())
    return Check(
        label,
        State.ABSENT if number > len(documents) // 2 else State.OK,
        f"{told}; {number:,} of {len(documents):,} are too long, so their fields become {condition.unknown!r}",
        "a shorter template, or a longer sequence.length",
    )


def _listed_fields(stage: Stage) -> list[str]:
    return [field for step in stage.select for field in (*step.allow, *step.deny)]


def _unknown_labels(config: Config, scorers: Sequence[Scorer], path: str) -> Iterator[Check]:
    """Labels that a selection names and its classifier does not give."""
    labels = {
        scorer.name: {label.removeprefix(LABEL_PREFIX) for label in scorer.model.labels}
        for scorer in scorers
        if scorer.label is None
    }
    for where, stage in config.located_stages():
        for step in stage.select:
            for field, values in (*step.allow.items(), *step.deny.items()):
                wrong = sorted(set(values) - labels[field]) if field in labels else []
                if wrong:
                    told = f"{where}.select: classifier {field} has no label {wrong[0]!r}"
                    yield Check(f"label {field}", State.FAILED, told, f"correct it in {path}")


def _shown(text: str) -> str:
    """A text on one line, with nothing in it that a terminal would obey."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."
