"""Reads raw corpora one record at a time, as docs/formats.md (Documents) defines rows and drops.

```
data/c4/x.json.gz       {"text": "Hello", "url": "http://a.org"}       row 0    kept
                        (a blank line)                                          no row
                        {"url": "http://b.org"}                        row 1    missing_text
                        {"text": " \\n"}                                row 2    empty_text
                        {"text": 5}                                    row 3    malformed
```

`formatted` gives a formatter's output for a record, and `made_documents` the records of a made source, both as defined
in docs/formatters.md.
"""

import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import zstandard

from byline.schemas.corpora import Arithmetic, Source
from tests.reference import hashing

# A formatted document: its text, its loss spans, its special spans.
Formatted = tuple[str | None, list[int] | None, list[int] | None]

FIELDS = {
    "dclm": {"text": "text", "url": "url"},
    "c4": {"text": "text", "url": "url"},
    "refinedweb": {"text": "content", "url": "url"},
    "jsonl": {"text": "text", "url": "url"},
    "parquet": {"text": "text", "url": "url"},
    "arithmetic": {},
}
PARQUET = ("refinedweb", "parquet")
JSON_SPACE = b" \t\r\n"


@dataclass(frozen=True)
class RawDocument:
    """One record of an input file.

    Attributes:
        path: relative to the source's root, `/` between parts.
        row: number of the record in its file, from 0.
        text, url: None where null or absent.
        record: the whole record; None if it does not have the layout's form.
    """

    source: str
    path: str
    row: int
    text: str | None
    url: str | None
    record: dict[str, Any] | None


def read_documents(
    source: str, layout: str, files: Iterable[tuple[str, str | Path]], fields: dict[str, str] | None = None
) -> Iterator[RawDocument]:
    """Reads every record of a source, malformed and empty ones included.

    Args:
        layout: a key of `FIELDS`.
        files: (relative path, absolute path).
        fields: the fields of `text` and `url`, if not those of the layout; a dot goes into a struct. With `messages`,
            `question` or `answer` among them, no text is read.
    """
    all_fields = {**FIELDS[layout], **(fields or {})}
    for path, file in files:
        records = _parquet_records(file) if layout in PARQUET else _json_records(file)
        for row, record in enumerate(records):
            yield _document(source, path, row, record, all_fields)


def drop_reason(document: RawDocument, tokens: list[int] | None = None) -> str | None:
    """Why a document does not reach the token store; None if it does. `no_tokens` needs `tokens`."""
    if document.record is None:
        return "malformed"
    if document.text is None:
        return "missing_text"
    if document.text.strip() == "":
        return "empty_text"
    if tokens is not None and not tokens:
        return "no_tokens"
    return None


def _document(source: str, path: str, row: int, record: Any, fields: dict[str, str]) -> RawDocument:
    has_text = not {"messages", "question", "answer"} & set(fields)
    try:
        text = _string_at(record, fields["text"]) if has_text else None
        url = _string_at(record, fields["url"])
    except ValueError:
        return RawDocument(source, path, row, None, None, None)
    return RawDocument(source, path, row, text, url, record)


def _string_at(record: Any, field: str) -> str | None:
    """The string at `a.b.c`, or None; ValueError if the record, a struct on the way or the value has another type."""
    return _string(field, value_at(record, field))


def value_at(record: Any, field: str) -> Any:
    """The value at `a.b.c`, None if it is absent; ValueError if something on the way is not a struct."""
    value = record
    for name in field.split("."):
        if not isinstance(value, dict):
            raise ValueError(f"{field}: not a struct")
        value = value.get(name)
        if value is None:
            return None
    return value


def _string(field: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{field}: not a string")
    value.encode()  # half a surrogate pair is not text: it raises UnicodeEncodeError, a ValueError
    return value


def _parquet_records(file: str | Path) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=256):
        yield from batch.to_pylist()


def _json_records(file: str | Path) -> Iterator[Any]:
    with open(file, "rb") as raw:
        for line in _decompressed(raw, str(file)):
            if line.strip(JSON_SPACE):
                yield _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode(), parse_constant=_refuse)
    except ValueError:
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _decompressed(raw: BinaryIO, name: str) -> Iterable[bytes]:
    """The lines of a file, each with its line break."""
    if name.endswith(".gz"):
        return gzip.open(raw)
    if name.endswith(".zst"):
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    return raw


# ----------------------------------------------------------------------------------------------------- formatters

FIM_KEYS = (0x8EBC6AF09C88C6E3, 0x589965CC75374CC3, 0x1D8E4E27C47D124F, 0xEB44ACCAB455D165)
TRAINED = ("assistant", "gpt")
ROLES = {"system": "System", "user": "User", "human": "User", "assistant": "Assistant", "gpt": "Assistant"}


def formatted(raw: RawDocument, settings: Source) -> Formatted:
    """The output of a source's formatter (one of Byline's own) for a record; no text if the record is malformed."""
    if settings.format == "arithmetic":
        return _additions(raw, settings.made)
    if settings.formatter is None:
        return raw.text, None, None
    formatters = {"chat": _chat, "qa": _question_answer, "fim": _fill_in_the_middle}
    if raw.record is None:
        return None, None, None
    try:
        return formatters[settings.formatter.name](raw, settings.fields, **settings.formatter.options)
    except ValueError:
        return None, None, None


def loss_weights(raw: RawDocument, settings: Source) -> list[float] | None:
    """The weight of each loss span that `formatted` gives a record; None where its formatter weighs nothing."""
    options = {} if settings.formatter is None else settings.formatter.options
    weights = options.get("weights")
    if weights is None and "last_weight" not in options:
        return None
    if settings.formatter.name == "qa":
        return ([weights["question"]] if "question" in weights else []) + [weights.get("answer", 1.0)]
    roles = [_first(message, "role", "from") for message in value_at(raw.record, settings.fields["messages"])]
    found = [(weights or {}).get(role, 1.0) for role in roles if role in options.get("train", TRAINED)]
    return [*found[:-1], options.get("last_weight", found[-1])] if found else []


def _chat(
    raw: RawDocument,
    fields: dict[str, str],
    before: dict[str, str] | None = None,
    after: str | dict[str, str] | None = None,
    train: tuple[str, ...] = TRAINED,
    begin: str | None = None,
    end: str | None = None,
    weights: dict[str, float] | None = None,
    last_weight: float | None = None,
) -> Formatted:
    if before is None:
        before = {role: f"{name}: " if begin is None else f"{name.lower()}\n" for role, name in ROLES.items()}
    if after is None:
        after = "\n\n" if end is None else "\n"
    text, loss, special = "", [], []
    messages = value_at(raw.record, fields["messages"])
    if not isinstance(messages, list) or not messages:
        raise ValueError("no messages")
    for message in messages:
        role, content = _first(message, "role", "from"), _first(message, "content", "value")
        if role not in before or content is None:
            raise ValueError("a message without a known role or without content")
        for name, part in ((begin, ""), (None, before[role])):
            special += [len(text), len(text) + len(name)] if name is not None else []
            text += (name or "") + part
        start = len(text)
        text += content
        special += [len(text), len(text) + len(end)] if end is not None else []
        text += (end or "") + (after if isinstance(after, str) else after[role])
        loss += [start, len(text)] if role in train else []
    return text, loss, special if begin is not None or end is not None else None


def _first(message: Any, *keys: str) -> str | None:
    """The first of these fields that is present; all that are present must be strings."""
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return next((value for value in [_string(key, message.get(key)) for key in keys] if value is not None), None)


def _question_answer(
    raw: RawDocument,
    fields: dict[str, str],
    question: str = "Question: {question}\n",
    answer: str = "Answer: {answer}\n",
    weights: dict[str, float] | None = None,
) -> Formatted:
    own_question, own_answer = (_string_at(raw.record, fields[name]) for name in ("question", "answer"))
    if own_question is None or own_answer is None:
        raise ValueError("no question or no answer")
    before, after = answer.split("{answer}")
    asked = own_question.join(question.split("{question}"))
    problem = asked + before
    text = problem + own_answer + after
    first = [question.index("{question}"), len(asked)] if "question" in (weights or {}) else []
    return text, [*first, len(problem), len(text)], None


def _fill_in_the_middle(
    raw: RawDocument,
    fields: dict[str, str],
    rate: float = 0.5,
    spm_rate: float = 0.5,
    prefix: str = "<|fim_prefix|>",
    middle: str = "<|fim_middle|>",
    suffix: str = "<|fim_suffix|>",
) -> Formatted:
    text, shuffle_key = raw.text, hashing.shuffle_key(raw.source, raw.path, raw.row)
    choices = [hashing.splitmix64(shuffle_key ^ key) >> 11 for key in FIM_KEYS]
    if text is None or text.strip() == "" or choices[0] >= math.floor(Fraction(str(rate)) * 2**53):
        return text, None, None
    low, high = sorted(choice % (len(text) + 1) for choice in choices[2:])
    parts = [text[:low], text[low:high], text[high:]]
    pieces: list[tuple[str, bool]]  # with whether each is a special span
    if choices[1] < math.floor(Fraction(str(spm_rate)) * 2**53):
        pieces = [(prefix, True), (suffix, True), (parts[2], False), (middle, True), (parts[0], False)]
        pieces += [("", True), (parts[1], False)]
    else:
        pieces = [(prefix, True), (parts[0], False), (suffix, True), (parts[2], False), (middle, True)]
        pieces += [(parts[1], False)]
    joined, special = "", []
    for piece, is_special in pieces:
        special += [len(joined), len(joined) + len(piece)] if is_special else []
        joined += piece
    return joined, None, special


# ---------------------------------------------------------------------------------------------------- additions

ADDITIONS_PER_FILE = 2**20


def made_documents(source: str, path: str, settings: Arithmetic) -> Iterator[RawDocument]:
    """The records of one stretch of a source of additions; `formatted` gives their texts."""
    first, last = _numbers_of(path, settings)
    for row in range(math.ceil((last - first) / settings.per_document)):
        yield RawDocument(source, path, row, None, None, {})


def problem_of(raw: RawDocument, settings: Arithmetic) -> str | None:
    """The problem of a document of one addition; None for one of several."""
    if settings.per_document != 1:
        return None
    number = _numbers_of(raw.path, settings)[0] + raw.row
    return f"{operand(2 * number, settings)}+{operand(2 * number + 1, settings)}"


def _numbers_of(path: str, settings: Arithmetic) -> tuple[int, int]:
    """The numbers of the additions in a stretch, which holds whole documents."""
    size = max(1, ADDITIONS_PER_FILE // settings.per_document) * settings.per_document
    first = int(path.rpartition("-")[2]) * size
    return first, min(first + size, settings.examples)


def _additions(raw: RawDocument, settings: Arithmetic) -> Formatted:
    first, last = _numbers_of(raw.path, settings)
    start = first + raw.row * settings.per_document
    text, loss = "", []
    for number in range(start, min(start + settings.per_document, last)):
        if number > start:
            text += "\n"
            loss[-1] += 1
        problem, answer = addition(settings.style.value, *(operand(2 * number + side, settings) for side in (0, 1)))
        loss += [len(text) + len(problem), len(text) + len(problem) + len(answer)]
        text += problem + answer
    return text, loss, None


def operand(number: int, settings: Arithmetic) -> int:
    """One of the numbers of up to `settings.digits` digits."""
    count = 10**settings.digits
    value = hashing.splitmix64((hashing.splitmix64(settings.seed) + number) % 2**64)
    while value >= 2**64 - 2**64 % count:
        value = hashing.splitmix64(value)
    return value % count


def addition(style: str, left: int, right: int) -> tuple[str, str]:
    """The problem and the answer of one addition."""
    if style == "plain":
        return f"{left}+{right}=", f"{left + right}"
    if style == "reverse":
        return f"${left}+{right}=", f"{str(left + right)[::-1]}$"
    lines, carry, done = [], 0, ""
    above, below = str(left), str(right)
    while above or below:
        a, b = int(above[-1:] or "0"), int(below[-1:] or "0")
        total = a + b + carry
        step = f"A->{total % 10} , C->{total // 10}"
        if style == "detailed_scratchpad":
            state = f"{_digits(above)} + {_digits(below)} , A={_digits(done)} , C={carry}"
            step = f"{state} , {a}+{b}+{carry}={total} , {step}"
        lines.append(step)
        done, carry, above, below = f"{total % 10}{done}", total // 10, above[:-1], below[:-1]
    task = f"Input:\n{left}+{right}\nTarget:\n"
    if style == "simplified_scratchpad":
        return task, "\n".join(lines) + f".\n{left + right}"
    head = [f"{_digits(str(number))} has {len(str(number))} digits." for number in (left, right)]
    end = [f"[] + [] , A={_digits(done)} C={carry} , END", "</scratch>", " ".join(str(left + right))]
    return task, "\n".join(["<scratch>", *head, *lines, *end])


def _digits(digits: str) -> str:
    return f"[{','.join(digits)}]"
