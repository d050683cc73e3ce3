"""Fields that are made of one column of the token store, value by value: each distinct value is made once.

```
column  [0.5, 0.5, null, 0.25]   distinct  0.5, 0.25   texts  "0.5", "0.25"   field  0.5  0.5  null  0.25
```
"""

from collections.abc import Callable

import pyarrow as pa

from byline.schemas.fields import FieldQuestion, TemplateField

# Distinct values of a column and the salt of hashes -> the text (string) of each, null where unknown.
TextsOfValues = Callable[[pa.Array, str], pa.Array]


def column_field(name: str) -> TemplateField:
    """A column of the token store as a field: a score, a label, a kept field, a size."""
    return one_column_field(name, f"the column `{name}`", name, lambda values, salt: plain_texts(values))


def one_column_field(name: str, doc: str, column: str, texts: TextsOfValues) -> TemplateField:
    """A field that each value of a column decides alone.

    Args:
        name: of the field.
        doc: what it is, in a line.
        column: of the token store.
        texts: called with the distinct values.
    """

    def field_texts(batch: pa.RecordBatch, question: FieldQuestion) -> pa.DictionaryArray:
        codes, distinct = _distinct(batch.column(column))
        encoded = texts(distinct, question.salt).dictionary_encode()
        return pa.DictionaryArray.from_arrays(encoded.indices.take(codes), encoded.dictionary)

    return TemplateField(name, doc, (column,), field_texts)


def plain_texts(values: pa.Array) -> pa.Array:
    """Values as text (string)."""
    if pa.types.is_floating(values.type):
        # The shortest decimal that reads back as the same float of its width; for float64 that is Python's repr.
        return pa.array([str(value) for value in values.to_numpy(zero_copy_only=False)], pa.string())
    return values.cast(pa.string())


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
