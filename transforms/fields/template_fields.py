r"""The values of template fields for documents of the token store, and templates filled with them.

```
template "URL: {host} ({license})\n\n", unknown "unknown"

shuffle key  host              license         index    texts
17     en.wikipedia.org  cc-by           0        0  "URL: en.wikipedia.org (cc-by)\n\n"
23     example.org       null       ->   1        1  "URL: example.org (unknown)\n\n"
31     en.wikipedia.org  cc-by           0
```

Values are dictionary-encoded: a text is made once for each distinct value, and a template is filled once for each
distinct combination of values. docs/metadata.md describes the fields.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from byline.prompt import metadata_hash
from byline.schemas.plan import FieldValues
from byline.schemas.recipe import Condition
from byline.template import Template
from byline.transforms.corpora.urls import parse_paths
from byline.transforms.fields.field_values import bin_numbers, keep_only

# Fields that are made from a column of another name.
MADE_FROM = {"suffix": "registered_domain", "path": "url", "host_hash": "host", "url_hash": "url"}


def columns_of_fields(names: Iterable[str]) -> set[str]:
    """The store's columns that template fields are made from."""
    # `source` is the one field that is no column.
    return {MADE_FROM.get(name, name) for name in names if name != "source"}


def field_values(batch: pa.RecordBatch, source: str, name: str, salt: str) -> pa.DictionaryArray:
    """The text of one template field for each document.

    Args:
        batch: documents of one source, n rows with columns of the token store (`byline.schemas.store`).
        source: the source's name.
        name: a field that the source has; the configuration's check saw to that.
        salt: key of the hashes.

    Returns:
        dictionary<int32, string> [n], each value once in its dictionary and none unused; null where unknown.
    """
    if name == "source":
        return pa.DictionaryArray.from_arrays(np.zeros(batch.num_rows, np.int32), pa.array([source], pa.string()))
    column = MADE_FROM.get(name, name)
    found = batch.schema.names
    assert column in found, f"field {name!r} needs a column {column!r}; the batch of {source!r} has {', '.join(found)}"
    codes, distinct = _distinct(batch.column(column))
    texts = _texts(name, distinct, salt).dictionary_encode()
    return pa.DictionaryArray.from_arrays(texts.indices.take(codes), texts.dictionary)


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
    fixed, asked = (set(of.top) | set(of.bins) for of in (values, condition))
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


def _distinct(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Splits a column into int32 codes (null for null) and the distinct values that occur."""
    if pa.types.is_dictionary(array.type):
        # A batch of a run carries the whole run's dictionary: only the values that the batch uses are worth a text.
        used = array.indices.dictionary_encode()
        return used.indices, array.dictionary.take(used.dictionary)
    if pa.types.is_floating(array.type):
        # By their bits, since 0.0 equals -0.0 but is another text.
        bits = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64()).dictionary_encode()
        return bits.indices, bits.dictionary.view(array.type)
    encoded = array.dictionary_encode()
    return encoded.indices, encoded.dictionary


def _texts(name: str, values: pa.Array, salt: str) -> pa.Array:
    """The text (string) of each distinct value of the column that field `name` is made from."""
    if name == "suffix":
        return pa.array([domain and domain.partition(".")[2] for domain in values.to_pylist()], pa.string())
    if name == "path":
        return parse_paths(values).cast(pa.string())
    if name in ("host_hash", "url_hash"):
        return pa.array(_hashes(values.to_pylist(), salt), pa.string())
    if pa.types.is_floating(values.type):
        # The shortest decimal that reads back as the same float of its width; for float64 that is Python's repr.
        return pa.array([str(value) for value in values.to_numpy(zero_copy_only=False)], pa.string())
    texts = values.cast(pa.string())
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts) if name == "url" else texts


def _hashes(values: list[str | None], salt: str) -> list[str | None]:
    """The salted hash of each value; None for None and for an empty text."""
    return [metadata_hash(value, salt) if value else None for value in values]


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
