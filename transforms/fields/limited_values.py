"""How a condition's `top` and `bins` change the values of a field; `byline.schemas.plan.FieldValues` has both.

```
top   kept a.org, b.org     host     a.org  c.org  b.org  null       a.org  null  b.org  null
bins  borders 0.2, 0.5      quality  0.1    0.2    0.9    null       0      1     2      null
```

docs/formats.md defines which values are kept and where the borders lie. Null becomes the condition's `unknown`.
"""

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_INT64 = np.iinfo(np.int64)


def keep_only(column: pa.DictionaryArray, kept: frozenset[str]) -> pa.DictionaryArray:
    """Makes all but some values null.

    Args:
        column: dictionary<int32, string> [n].

    Returns:
        The same type; the dictionary stays whole.
    """
    is_kept = pa.array([value in kept for value in column.dictionary.to_pylist()], pa.bool_())
    codes = pc.if_else(is_kept.take(column.indices), column.indices, pa.scalar(None, column.indices.type))
    return pa.DictionaryArray.from_arrays(codes, column.dictionary)


def bin_numbers(numbers: pa.Array, borders: list[float]) -> pa.DictionaryArray:
    """How many borders are at most each number, as decimal digits.

    Args:
        numbers: [n] of integers or floats; float32 is compared as the float64 of the same value.
        borders: ascending.

    Returns:
        dictionary<int32, string> [n]; null for null and NaN.
    """
    if pa.types.is_floating(numbers.type):
        values = numbers.cast(pa.float64()).fill_null(math.nan).to_numpy()
        codes, unknown = np.searchsorted(np.array(borders, np.float64), values, "right"), np.isnan(values)
    else:
        integers = numbers.cast(pa.int64()).fill_null(0).to_numpy()
        codes = np.searchsorted(_whole_borders(borders), integers, "right")
        unknown = numbers.is_null().to_numpy(zero_copy_only=False)
    texts = pa.array([str(number) for number in range(len(borders) + 1)], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=unknown), texts)


def _whole_borders(borders: list[float]) -> npt.NDArray[np.int64]:
    """The least integer that reaches each border: beyond 2^53 a comparison with floats would not be exact."""
    whole = [max(math.ceil(border), int(_INT64.min)) for border in borders]
    return np.array([border for border in whole if border <= _INT64.max], np.int64)
