"""Additions, as "Teaching Arithmetic to Small Transformers" (arXiv 2307.03381) writes them: a source without files.

```
style                   masked                           trained
plain                   128+367=                         495
reverse                 $128+367=                        594$
simplified_scratchpad   Input:\\n128+367\\nTarget:\\n       A->5 , C->1\\nA->9 , C->0\\nA->4 , C->0.\\n495
detailed_scratchpad     Input:\\n128+367\\nTarget:\\n       <scratch>
                                                         [1,2,8] has 3 digits.
                                                         [3,6,7] has 3 digits.
                                                         [1,2,8] + [3,6,7] , A=[] , C=0 , 8+7+0=15 , A->5 , C->1
                                                         [1,2] + [3,6] , A=[5] , C=1 , 2+6+1=9 , A->9 , C->0
                                                         [1] + [3] , A=[9,5] , C=0 , 1+3+0=4 , A->4 , C->0
                                                         [] + [] , A=[4,9,5] C=0 , END
                                                         </scratch>
                                                         4 9 5
```

A is the sum so far, C the carry. A document has `per_document` additions, a line end between them, which belongs to the
answer before it. A document of one addition has it as its `problem`, `128+367`, too: the same in every style, so that
additions can be held out by it. The operands of addition n are `uniform(2n)` and `uniform(2n + 1)`, each of the numbers
of up to `digits` digits equally often: with `limit` the largest multiple of 10^digits that is at most 2^64,

```
h = splitmix64(splitmix64(seed) + i mod 2^64);   while h >= limit: h = splitmix64(h);   uniform(i) = h mod 10^digits
```

An input file `additions-00000` is a stretch of `ADDITIONS_PER_FILE` additions, its size their number.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.corpora import Arithmetic, ArithmeticStyle, Source
from byline.schemas.documents import LOSS_SPANS, PROBLEM, SPANS_TYPE, SPECIAL_SPANS, TEXT, URL, InputFile
from byline.schemas.layouts import Layout, Records
from byline.splitmix import splitmix64
from byline.transforms.documents.text_parts import STRING, joined, regrouped, span_lists, text_buffers, texts_of

# A worker's share: some seconds of work, up to some chunks of the token store. Documents are known by it: it is fixed.
ADDITIONS_PER_FILE = 1 << 20
# Made at a time, so that the columns they are joined from stay small.
_BLOCK_ROWS = 1 << 14
_NAME = "additions-"


def list_additions(source: str, settings: Arithmetic) -> list[InputFile]:
    """The input files of a source of additions."""
    whole = _per_file(settings)
    starts = range(0, settings.examples, whole)
    return [
        InputFile(source, f"{_NAME}{number:05d}", "", min(whole, settings.examples - start))
        for number, start in enumerate(starts)
    ]


def _per_file(settings: Arithmetic) -> int:
    """Additions in a file: whole documents."""
    return max(1, ADDITIONS_PER_FILE // settings.per_document) * settings.per_document


def additions(file: InputFile, settings: Arithmetic, block_rows: int = _BLOCK_ROWS) -> Iterator[Records]:
    """Makes the documents of an input file.

    Args:
        file: of `list_additions`.
        settings: what to make.
        block_rows: about how many additions to make at once; no result depends on it.

    Yields:
        Records with the columns `text url loss_spans special_spans`, and `problem` where a document has one addition;
        none of them malformed.
    """
    begin = int(file.path.removeprefix(_NAME)) * _per_file(settings)
    step = max(1, block_rows // settings.per_document) * settings.per_document
    for start in range(0, file.size, step):
        batch = make_documents(begin + start, min(step, file.size - start), settings)
        yield Records(batch, np.zeros(len(batch), bool))


def make_documents(first: int, count: int, settings: Arithmetic) -> pa.RecordBatch:
    """The documents of additions `first` to `first + count`, the first of which begins a document."""
    left = operands(2 * np.arange(first, first + count, dtype=np.uint64), settings)
    right = operands(2 * np.arange(first, first + count, dtype=np.uint64) + np.uint64(1), settings)
    problems, answers = STYLES[settings.style](left, right)
    numbers = np.arange(count)
    documents = numbers // settings.per_document
    is_last = (numbers + 1) % settings.per_document == 0
    is_last[-1:] = True
    answers = joined(answers, pc.if_else(pa.array(is_last), pa.scalar("", STRING), pa.scalar("\n", STRING)))
    text = regrouped(joined(problems, answers), np.bincount(documents))
    columns = {
        TEXT: text,
        URL: pa.nulls(len(text), URL.type),
        LOSS_SPANS: _answer_spans(problems, answers, documents),
        SPECIAL_SPANS: pa.nulls(len(text), SPANS_TYPE),
    }
    if settings.has_problems:
        columns[PROBLEM] = joined(_decimal(left), "+", _decimal(right)).cast(PROBLEM.type)
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(list(columns)))


def _answer_spans(problems: pa.Array, answers: pa.Array, documents: np.ndarray) -> pa.Array:
    """Where the answers stand in their documents; all is ASCII, so bytes are characters."""
    before, after = np.diff(text_buffers(problems)[0]), np.diff(text_buffers(answers)[0])
    ends = np.cumsum(before + after)
    firsts = np.concatenate([[True], np.diff(documents) > 0])
    begins = (ends - before - after)[firsts][documents]
    return span_lists(documents, ends - after - begins, ends - begins, int(documents[-1]) + 1)


def operands(numbers: np.ndarray, settings: Arithmetic) -> np.ndarray:
    """The operands of these numbers (uint64): int64, below 10^digits."""
    count = 10**settings.digits
    limit = np.uint64(2**64 // count * count - 1)
    hashes = splitmix64(splitmix64(np.array([settings.seed], np.uint64)) + numbers)
    while (late := hashes > limit).any():
        hashes[late] = splitmix64(hashes[late])
    return (hashes % np.uint64(count)).astype(np.int64)


# --- the styles: two operands (int64) -> problems and answers (large_string)


def _plain(left: np.ndarray, right: np.ndarray) -> tuple[pa.Array, pa.Array]:
    return joined(_decimal(left), "+", _decimal(right), "="), _decimal(left + right)


def _reverse(left: np.ndarray, right: np.ndarray) -> tuple[pa.Array, pa.Array]:
    problems, answers = _plain(left, right)
    return joined("$", problems), joined(pc.utf8_reverse(answers), "$")


def _simplified_scratchpad(left: np.ndarray, right: np.ndarray) -> tuple[pa.Array, pa.Array]:
    steps, sums = [], left + right
    sizes = _sizes(left, right)
    for step in range(int(sizes.max(initial=0))):
        digit, carry = sums // 10**step % 10, _carry(left, right, step + 1)
        end = pc.if_else(pa.array(sizes == step + 1), pa.scalar(".\n", STRING), pa.scalar("\n", STRING))
        steps.append(_where(sizes > step, joined("A->", _decimal(digit), " , C->", _decimal(carry), end)))
    return _task(left, right), joined(*steps, _decimal(sums))


def _detailed_scratchpad(left: np.ndarray, right: np.ndarray) -> tuple[pa.Array, pa.Array]:
    sums, sizes = left + right, _sizes(left, right)
    steps = [_detailed_step(left, right, step, sizes) for step in range(int(sizes.max(initial=0)))]
    end = joined("[] + [] , A=", _low_digits(sums, sizes), " C=", _decimal(_carry(left, right, sizes)), " , END\n")
    head = joined("<scratch>\n", _counted(left), _counted(right))
    return _task(left, right), joined(head, *steps, end, "</scratch>\n", _separated(_decimal(sums), " "))


def _detailed_step(left: np.ndarray, right: np.ndarray, step: int, sizes: np.ndarray) -> pa.Array:
    """The line of one digit, empty where neither operand has as many."""
    a, b, carry = left // 10**step % 10, right // 10**step % 10, _carry(left, right, step)
    total = a + b + carry
    line = joined(
        _high_digits(left, step), " + ", _high_digits(right, step),
        " , A=", _low_digits(left + right, step), " , C=", _decimal(carry),
        " , ", _decimal(a), "+", _decimal(b), "+", _decimal(carry), "=", _decimal(total),
        " , A->", _decimal(total % 10), " , C->", _decimal(total // 10), "\n",
    )  # fmt: skip
    return _where(sizes > step, line)


STYLES: dict[ArithmeticStyle, Callable[[np.ndarray, np.ndarray], tuple[pa.Array, pa.Array]]] = {
    ArithmeticStyle.PLAIN: _plain,
    ArithmeticStyle.REVERSE: _reverse,
    ArithmeticStyle.SIMPLIFIED_SCRATCHPAD: _simplified_scratchpad,
    ArithmeticStyle.DETAILED_SCRATCHPAD: _detailed_scratchpad,
}


# --- numbers and their digits


def _task(left: np.ndarray, right: np.ndarray) -> pa.Array:
    return joined("Input:\n", _decimal(left), "+", _decimal(right), "\nTarget:\n")


def _counted(numbers: np.ndarray) -> pa.Array:
    return joined(_high_digits(numbers, 0), " has ", _decimal(_sizes(numbers)), " digits.\n")


def _where(mask: np.ndarray, texts: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), texts, pa.scalar("", STRING))


def _decimal(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers).cast(STRING)


def _sizes(*numbers: np.ndarray) -> np.ndarray:
    """Digits of the number with the most in each row; 0 has one."""
    most = np.maximum.reduce(numbers)
    return 1 + np.searchsorted(10 ** np.arange(1, 19, dtype=np.int64), most, side="right")


def _carry(left: np.ndarray, right: np.ndarray, digits: int | np.ndarray) -> np.ndarray:
    """The carry out of the lowest digits."""
    unit = np.power(np.int64(10), digits)
    return (left % unit + right % unit) // unit


def _high_digits(numbers: np.ndarray, dropped: int) -> pa.Array:
    """The list of digits without the lowest ones: `[1,2]` of 128 without one, `[]` without three."""
    texts = _separated(_decimal(numbers // 10**dropped), ",")
    return joined("[", _where(_sizes(numbers) > dropped, texts), "]")


def _low_digits(numbers: np.ndarray, kept: int | np.ndarray) -> pa.Array:
    """The list of so many of the lowest digits, zeros included: `[0,7]` of 107 for two."""
    unit = np.power(np.int64(10), kept)
    texts = pc.utf8_slice_codeunits(_decimal(unit + numbers % unit), 1)
    return joined("[", _separated(texts, ","), "]")


def _separated(texts: pa.Array, separator: str) -> pa.Array:
    """ASCII texts with a separator between their characters."""
    borders, data = text_buffers(texts)
    doubled = np.full(2 * (borders[-1] - borders[0]), ord(separator), np.uint8)
    doubled[::2] = data[borders[0] : borders[-1]]
    return pc.utf8_rtrim(texts_of(2 * (borders - borders[0]), doubled), separator)


# --- as a layout


def _list(name: str, source: Source) -> list[InputFile]:
    return list_additions(name, source.made)


def _make(file: InputFile, source: Source, schema: pa.Schema, paths: Mapping[str, str]) -> Iterator[Records]:
    return additions(file, source.made)


ARITHMETIC = Layout("arithmetic", "no files: additions, as `arithmetic` says", _make, list_files=_list, is_made=True)
