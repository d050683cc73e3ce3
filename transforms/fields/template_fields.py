r"""The values of template fields for documents of the token store, and templates filled with them.

```
template "URL: {host} ({license})\n\n", unknown "unknown"

shuffle key  host              license        index    texts
17           en.wikipedia.org  cc-by          0        0  "URL: en.wikipedia.org (cc-by)\n\n"
23           example.org       null      ->   1        1  "URL: example.org (unknown)\n\n"
31           en.wikipedia.org  cc-by          0
```

Values are dictionary-encoded: a text is made once for each distinct value, and a template is filled once for each
distinct combination of values. `byline.schemas.fields` has the table of fields, docs/metadata.md describes them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.fields import FIELDS, FieldQuestion, TemplateField
from byline.schemas.own_objects import is_own_name
from byline.schemas.planned_stage import FieldValues
from byline.schemas.recipe import Condition, Holdout, Stage
from byline.template import Template
from byline.transforms.documents.own_functions import module_sha256
from byline.transforms.fields.column_fields import column_field
from byline.transforms.fields.limited_values import bin_numbers, keep_only


def template_field(name: str) -> TemplateField:
    """The field of a name: of the table, one of the user's own, or a column of the token store.

    Raises:
        BylineError: one of the user's own cannot be imported.
    """
    return FIELDS.named("template", name) if name in FIELDS or is_own_name(name) else column_field(name)


def check_fields(config: Config) -> None:
    """Refuses fields that cannot be imported, or that need columns which a source does not have.

    Raises:
        BylineError: names the key.
    """
    for where, stage in config.located_stages():
        for name in _names_of_fields(config, stage):
            for source in config.sources_of(stage):
                if name in FIELDS or is_own_name(name):
                    _check_columns(FIELDS.named(where, name), f"{where}: field {name!r}", config, source)


def own_field_sha256s(config: Config, stage: Stage) -> dict[str, str]:
    """The SHA-256 of the file of each field of the user's own that a stage asks for, by name. Raises: BylineError."""
    return {name: module_sha256("template", name) for name in _names_of_fields(config, stage) if is_own_name(name)}


def _names_of_fields(config: Config, stage: Stage) -> list[str]:
    """What a stage's templates and lists name, what its mixture is by, and what it holds out by, sorted."""
    names = {name for step in stage.select for name in (*step.allow, *step.deny)}
    if stage.condition is not None:
        names.update(Template(stage.condition.template).fields)
    if isinstance(stage, Holdout) and stage.field is not None:
        names.add(stage.field)
    label_field = config.mixture_of(stage).label_field
    return sorted(names if label_field is None else names | {label_field})


def _check_columns(field: TemplateField, where: str, config: Config, source: str) -> None:
    columns = ["url", "host", "registered_domain", *config.numbers_of(source), *config.columns_of(source)]
    columns += config.attribute_columns_of(source)
    for column in field.columns:
        if column not in columns:
            known = ", ".join(dict.fromkeys(columns))
            raise BylineError(
                f"{where} needs a column {column!r}, which source {source!r} does not have; it has: {known}"
            )


def columns_of_fields(names: Iterable[str]) -> set[str]:
    """The store's columns that template fields are made from."""
    return {column for name in names for column in template_field(name).columns}


def field_values(batch: pa.RecordBatch, source: str, name: str, salt: str) -> pa.DictionaryArray:
    """The text of one template field for each document.

    Args:
        batch: documents of one source, n rows with columns of the token store (`byline.schemas.store`).
        source: the source's name.
        name: a field that the source has; the configuration's check saw to that.
        salt: key of the hashes.

    Returns:
        dictionary<int32, string> [n], each value once in its dictionary and none unused; null where unknown.

    Raises:
        BylineError: the batch has no such column, or a field of the user's own gives something else than texts.
    """
    field = template_field(name)
    for column in field.columns:
        if column not in batch.schema.names:
            raise BylineError(
                f"field {name!r} needs a column {column!r}, which source {source!r} does not have; it has: "
                f"{', '.join(batch.schema.names)}"
            )
    texts = field.texts(batch, FieldQuestion(source, salt))
    return texts if isinstance(texts, pa.DictionaryArray) and name in FIELDS else _checked(texts, name, batch.num_rows)


def _checked(texts: Any, name: str, rows: int) -> pa.DictionaryArray:
    """What a field gave, as `field_values` gives it."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if not isinstance(texts, pa.Array):
        raise BylineError(f"field {name!r}: expected an array of strings, found {type(texts).__name__}")
    if len(texts) != rows:
        raise BylineError(f"field {name!r}: gave {len(texts)} values for {rows} rows; give one for each row, in order")
    plain = texts.dictionary_decode() if pa.types.is_dictionary(texts.type) else texts
    if not (pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type) or pa.types.is_null(plain.type)):
        raise BylineError(f"field {name!r}: expected an array of strings, found {texts.type}")
    return plain.cast(pa.string()).dictionary_encode()


def filled_prefixes(
    batch: pa.RecordBatch, source: str, condition: Condition, values: FieldValues
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The condition's template, filled for each document.

    Args:
        batch, source: as in `field_values`.
        values: what `top` and `bins` of the condition came to.

    Returns:
        texts: the distinct filled templates, in the order of their first document.
        index: int32 [n], the text of each document.
    """
    fixed, asked = (set(settings.top) | set(settings.bins) for settings in (values, condition))
    assert fixed >= asked, f"the condition has top or bins for {sorted(asked)}, the plan for {sorted(fixed)}"
    template = Template(condition.template)
    columns = {name: _conditioned_values(batch, source, name, condition, values) for name in template.fields}
    first, group = _combinations([column.indices for column in columns.values()], batch.num_rows)
    known = {name: column.take(first).to_pylist() for name, column in columns.items()}
    filled = [template.fill({name: known[name][i] for name in known}, condition.unknown) for i in range(len(first))]
    # Two combinations can give one text: a host called "unknown" and a document without a host.
    texts = pa.array(filled, pa.string()).dictionary_encode()
    return texts.dictionary.to_pylist(), texts.indices.to_numpy()[group]


def unknown_prefix(condition: Condition) -> str:
    """The condition's template with every field unknown."""
    return Template(condition.template).fill({}, condition.unknown)


def _conditioned_values(
    batch: pa.RecordBatch, source: str, name: str, condition: Condition, values: FieldValues
) -> pa.DictionaryArray:
    """`field_values`, changed as `top` and `bins` say."""
    if name in condition.bins:
        return bin_numbers(batch.column(name), values.bins[name])
    column = field_values(batch, source, name, condition.salt)
    return keep_only(column, values.kept[name]) if name in condition.top else column


def _combinations(columns: list[pa.Array], rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers the distinct rows of several code columns in the order in which they first occur.

    Args:
        columns: int32 codes [rows], with nulls; none at all means that all rows are alike.

    Returns:
        first: int64 [groups], the first row of each group.
        group: int64 [rows], the group of each row.
    """
    group = np.zeros(rows, np.int64)
    for column in columns:
        codes = column.fill_null(-1).to_numpy().astype(np.int64) + 1
        # Numbered anew after each column, so a product stays below rows * (rows + 1).
        group = np.unique(group * (codes.max(initial=0) + 1) + codes, return_inverse=True)[1]
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[group]
