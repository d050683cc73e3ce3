"""The samples of one MDS file as arrays, all at once.

```
file     n uint32 | offsets uint32 [n + 1] | columns as JSON | sample 0 | sample 1 | ...
sample   a size (uint32) for each column without a fixed one | its columns, one after another

ndarray          [type: 1] [dimensions << 2 | width: 1] [shape] values       type and shape are said where the encoding
ndarray:uint32   [dimensions << 2 | width: 1] [shape] values                 does not; a number of the shape has
ndarray:uint32:6 values                                                      1 << width bytes
```

Nothing is trusted: every offset, size and shape is compared with the bytes that there are before it is used, for all
samples at once, and the first sample that is wrong is named. No value is ever unpickled.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from byline.errors import BylineError
from byline.printable import shown
from byline.transforms.imports.import_kind import refuse_sample
from byline.transforms.imports.mds_index import INDEX_NAME, MdsColumn, MdsFile

# How `ndarray` numbers the types of its values.
_TYPES = {8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 32: "uint32", 33: "int32", 64: "uint64", 65: "int64"}
# Of integers; `int` is an int64.
_SCALARS = {name: name for name in _TYPES.values()} | {"int": "int64"}
_WIDTHS = (1, 2, 4, 8)
_DAMAGED = "copy the file anew"


@dataclass(frozen=True)
class Arrays:
    """The arrays of a column: `shape` int64 [n, dimensions], and where the values of each begin, int64 [n]."""

    dtype: np.dtype
    shape: np.ndarray
    starts: np.ndarray


class MdsSamples:
    """The samples of one file.

    Args:
        data: the file's bytes, uint8.
        file: what the index says of it.
        uri: of the file, for messages.

    Raises:
        BylineError: the file is damaged, or has other columns than the index says.
    """

    def __init__(self, data: np.ndarray, file: MdsFile, uri: str) -> None:
        self.data, self.uri, self.count = data, uri, file.samples
        self._columns = {column.name: column for column in file.columns}
        self._ranges = self._split(self._offsets(file), file)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._columns)

    def refuse(self, bad: np.ndarray, what: str | Callable[[int], str]) -> None:
        """Raises the error of the first sample for which `bad` (bool [n]) is true, if there is any."""
        refuse_sample(self.uri, bad, what)

    def _offsets(self, file: MdsFile) -> np.ndarray:
        """int64 [n + 1], where samples begin, and where the last one ends."""
        size, head = len(self.data), 4 * (file.samples + 2)
        count = int(self.data[:4].view("<u4")[0]) if size >= 4 else None
        if count != file.samples:
            said = "no number of samples" if count is None else f"{count:,} samples"
            raise BylineError(f"{self.uri}: has {said}, {INDEX_NAME} says {file.samples:,}; {_DAMAGED}")
        if size < head:
            raise BylineError(f"{self.uri}: {size:,} bytes, too few for {count:,} samples; {_DAMAGED}")
        offsets = self.data[4:head].view("<u4").astype(np.int64)
        wrong = offsets[0] < head or offsets[-1] != size or (np.diff(offsets) < 0).any()
        if wrong:
            raise BylineError(
                f"{self.uri}: its offsets of samples do not ascend from {head:,} to its {size:,} bytes; {_DAMAGED}"
            )
        self._check_columns(bytes(self.data[head : offsets[0]]), file)
        return offsets

    def _check_columns(self, content: bytes, file: MdsFile) -> None:
        """Whether the file says of its columns what the index does."""
        try:
            said = json.loads(content)
            pairs = list(zip(said["column_names"], said["column_encodings"], strict=True))
        except (ValueError, LookupError, TypeError, RecursionError):
            raise BylineError(f"{self.uri}: says nothing of its columns behind its offsets; {_DAMAGED}") from None
        listed = [(column.name, column.encoding) for column in file.columns]
        if pairs != listed:
            raise BylineError(
                f"{self.uri}: has the columns {shown(pairs)}, {INDEX_NAME} says {shown(listed)}; copy both anew"
            )

    def _split(self, offsets: np.ndarray, file: MdsFile) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Name -> where the column of each sample begins and how many bytes it has, int64 [n] both."""
        sized = [column for column in file.columns if column.size is None]
        begins, sizes = offsets[:-1], np.diff(offsets)
        self.refuse(sizes < 4 * len(sized), f"it ends within the sizes of its columns; {_DAMAGED}")
        said = self._unsigned(begins, np.full(len(begins), len(sized)), 4).reshape(len(begins), len(sized))
        at, ranges, number = begins + 4 * len(sized), {}, 0
        for column in file.columns:
            if column.size is None:
                width, number = said[:, number], number + 1
            else:
                width = np.full(len(begins), column.size, np.int64)
            ranges[column.name] = (at, width)
            at = at + width
        self.refuse(
            at != offsets[1:],
            lambda n: f"its columns have {at[n] - begins[n]:,} bytes, it has {sizes[n]:,}; {_DAMAGED}",
        )
        return ranges

    def _unsigned(self, starts: np.ndarray, counts: np.ndarray, width: int) -> np.ndarray:
        """Little-endian numbers of `width` bytes as int64, `counts` of them from each of `starts` on, all in a row."""
        firsts = np.cumsum(counts) - counts
        at = np.repeat(starts - width * firsts, counts) + width * np.arange(int(counts.sum()), dtype=np.int64)
        values = self.data[at[:, None] + np.arange(width)]
        return np.ascontiguousarray(values).view(f"<u{width}").reshape(-1).astype(np.int64)

    # ------------------------------------------------------------------------------------------------ columns

    def integers(self, name: str) -> np.ndarray:
        """A column of integers, one a sample: int64 [n].

        Raises:
            BylineError: it is of another encoding.
        """
        column = self._columns[name]
        dtype = np.dtype(_SCALARS.get(column.encoding, "int64")).newbyteorder("<")
        if column.encoding not in _SCALARS or column.size != dtype.itemsize:
            raise BylineError(self._wrong(column, "an integer"))
        starts, _ = self._ranges[name]
        return self._copied(starts, dtype.itemsize).view(dtype).reshape(-1).astype(np.int64)

    def texts(self, name: str) -> dict[str, int]:
        """The texts of a column -> how many samples have each.

        Raises:
            BylineError: it is of another encoding, or not UTF-8.
        """
        column = self._columns[name]
        if column.encoding != "str":
            raise BylineError(self._wrong(column, "str"))
        starts, sizes = self._ranges[name]
        counts = Counter[str]()
        for size in np.unique(sizes).tolist():
            own = starts[sizes == size]
            rows = self._copied(own, size)
            # Nearly always one text for a whole file.
            values, numbers = np.unique(rows, axis=0, return_counts=True) if size else (rows[:1], [len(own)])
            for value, number in zip(values, numbers, strict=True):
                try:
                    text = value.tobytes().decode()
                except UnicodeDecodeError as error:
                    raise BylineError(f"{self.uri}: a {name} that is not UTF-8 ({error.reason}); {_DAMAGED}") from None
                counts[text] += int(number)
        return counts

    def rows(self, name: str, length: int) -> np.ndarray:
        """A column of arrays of one dimension, all of the same length: [n, length], of their type.

        Raises:
            BylineError: it is of another encoding, or an array has another length.
        """
        arrays = self.arrays(name, 1)
        lengths = arrays.shape[:, 0]
        self.refuse(lengths != length, lambda n: f"{name} has {lengths[n]:,} values, not {length:,}")
        return self._copied(arrays.starts, length * arrays.dtype.itemsize).view(arrays.dtype)

    def pairs(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A column of arrays [k, 2]: all pairs, int64 [S, 2], and how many a sample has, int64 [n].

        Raises:
            BylineError: it is of another encoding or shape.
        """
        arrays = self.arrays(name, 2)
        self.refuse(arrays.shape[:, 1] != 2, lambda n: f"{name} has the shape {arrays.shape[n].tolist()}, not [n, 2]")
        counts = arrays.shape[:, 0]
        values = self._unsigned(arrays.starts, 2 * counts, arrays.dtype.itemsize)
        return values.reshape(-1, 2), counts

    def arrays(self, name: str, dimensions: int) -> Arrays:
        """Where the arrays of a column are.

        Raises:
            BylineError: it is of another encoding, or its arrays of integers have other dimensions.
        """
        column = self._columns[name]
        kind, _, rest = column.encoding.partition(":")
        type_name, _, shape_text = rest.partition(":")
        if kind != "ndarray" or (type_name and type_name not in _TYPES.values()):
            raise BylineError(self._wrong(column, "ndarray, an array of integers"))
        at, sizes = self._ranges[name]
        ends = at + sizes
        if not type_name:
            type_name, at = self._type_of(name, at, ends), at + 1
        if shape_text:
            shape = np.tile(self._fixed_shape(column, shape_text), (self.count, 1))
        else:
            shape, at = self._shapes(name, at, ends, dimensions)
        if shape.shape[1] != dimensions:
            raise BylineError(self._wrong(column, f"an array of dimension {dimensions}"))
        dtype = np.dtype(type_name).newbyteorder("<")
        # As floats, since the product of numbers that somebody made up may not fit into an integer.
        fits = (shape > 0).all(axis=1) & (shape.astype(np.float64).prod(axis=1) <= len(self.data))
        needed = np.where(fits, np.where(fits[:, None], shape, 0).prod(axis=1) * dtype.itemsize, -1)
        self.refuse(
            needed != ends - at,
            lambda n: f"{name} of shape {shape[n].tolist()} has {ends[n] - at[n]:,} bytes of {dtype.name}; {_DAMAGED}",
        )
        return Arrays(dtype, shape, at)

    def _type_of(self, name: str, at: np.ndarray, ends: np.ndarray) -> str:
        self.refuse(at >= ends, f"{name} is empty; {_DAMAGED}")
        codes = self.data[at]
        if len(codes) == 0:
            return "uint32"
        self.refuse(
            codes != codes[0], lambda n: f"{name} is of type {codes[n]}, that of sample 0 of {codes[0]}; pack it anew"
        )
        code = int(codes[0])
        self.refuse(codes != code if code in _TYPES else codes == code, f"{name} is of type {code}, not of integers")
        return _TYPES[code]

    def _shapes(self, name: str, at: np.ndarray, ends: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
        """The shapes that stand before the values, int64 [n, dimensions], and where these begin."""
        self.refuse(at >= ends, f"{name} is empty; {_DAMAGED}")
        heads = self.data[at].astype(np.int64)
        self.refuse(
            heads >> 2 != dimensions,
            lambda n: f"{name} has {heads[n] >> 2} dimensions, not {dimensions}; it is no MeCo data",
        )
        widths, at = 1 << (heads & 3), at + 1
        self.refuse(ends - at < dimensions * widths, f"{name} ends within its shape; {_DAMAGED}")
        shape = np.zeros((self.count, dimensions), np.int64)
        for width in _WIDTHS:
            of_width = np.flatnonzero(widths == width)
            counts = np.full(len(of_width), dimensions)
            shape[of_width] = self._unsigned(at[of_width], counts, width).reshape(-1, dimensions)
        return shape, at + dimensions * widths

    def _fixed_shape(self, column: MdsColumn, text: str) -> np.ndarray:
        try:
            return np.array([int(number) for number in text.split(",")], np.int64)
        except (ValueError, OverflowError):
            raise BylineError(self._wrong(column, "ndarray:TYPE:SHAPE")) from None

    def _copied(self, starts: np.ndarray, width: int) -> np.ndarray:
        """uint8 [len(starts), width]."""
        copied = np.empty((len(starts), width), np.uint8)
        _copy_ranges(self.data, starts, copied)
        return copied

    def _wrong(self, column: MdsColumn, expected: str) -> str:
        pickled = " (Byline reads no pickles)" if column.encoding.startswith("pkl") else ""
        return f"{self.uri}: {column.name} is {shown(column.encoding, 60)}{pickled}, expected {expected}"


@numba.njit(cache=True, nogil=True)
def _copy_ranges(data: np.ndarray, starts: np.ndarray, copied: np.ndarray) -> None:
    """Copies as many bytes as a row of `copied` has from each of `starts` on.

    Args:
        data: uint8; all ranges lie in it.
        starts: int64 [n].
        copied: uint8 [n, width], changed.
    """
    width = copied.shape[1]
    for n in range(len(starts)):
        copied[n] = data[starts[n] : starts[n] + width]
