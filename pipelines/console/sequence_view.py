r"""What `byline inspect` prints: one sequence as a person reads it.

```
row 5 of 12, phase conditioned, row 1 of conditioned/00001-of-00002.arrow, L = 2,048
2,048 tokens = 1,990 trained (97.2%) + 38 masked (1.9%) + 20 padding (1.0%)
⟦masked⟧ trained ⟨special⟩ ⏎ line break, \x1b other bytes

1  doc id 4294967313, dclm, shard_07.jsonl.zst row 17: tokens 0-1019 (1020), from its token 0, 9 masked
   ⟦⟨<|endoftext|>⟩URL: en.wikipedia.org⏎⏎⟧The cat sat on the mat.⏎
   It was black. [... 812 tokens ...] the end.⟨<|endoftext|>⟩
2  doc id ...
```

Prefixes are masked, with the BOS before them, and so is what a document's loss spans leave out. The tokens around a
prefix (`begin`, `end`), placeholders and those of `tokenizer.add` are shown by name, as special tokens are.

In a terminal, colours tell masked, trained, special and padding tokens apart; in a pipe, the marks above do. Text is
shown as data: characters that a terminal would act on or that are invisible appear as escapes, and so do bytes that are
not a whole character, such as half of one at the end of a cut document.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

import byline
from byline.errors import BylineError
from byline.manifest import Manifest
from byline.reader import Shards
from byline.rows import Row
from byline.shards import PADDING_DOC_ID
from byline.transforms.tokens.build_tokenizer import tokenizer_bytes

# How many tokens are shown at the start and at the end of a long run of masked or trained ones.
HEAD, TAIL = 120, 60
STYLES = {"masked": "yellow", "trained": "green", "special": "bold cyan", "padding": "dim", "border": "bold"}


@dataclass(frozen=True)
class Vocabulary:
    """What each id stands for.

    Attributes:
        bytes_of: id -> its bytes.
        name_of: id -> name of a special token; None for any other.
    """

    bytes_of: Callable[[int], bytes]
    name_of: Callable[[int], str | None]


def show_sequence(
    out: str,
    row: int = 0,
    phase: str | None = None,
    tokenizer: str | None = None,
    console: Console | None = None,
    full: bool = False,
) -> None:
    """Shows one sequence.

    Args:
        out: the build's directory.
        row: its number in the phase, or in the timeline; negative from the end.
        phase: name of a phase or branch; None for the whole timeline.
        tokenizer: the build's tokenizer.json; None for where it was. If it is no longer there, ids are shown.
        console: where to; marks instead of colours if it has none.
        full: shows every token.

    Raises:
        BylineError: no such build, row or phase; or `tokenizer` is not the build's.
    """
    console = Console() if console is None else console
    shards = _rows_of(out, phase)
    if not -len(shards) <= row < len(shards):
        where = out if phase is None else f"phase {phase!r} of {out}"
        raise BylineError(f"{where} has {len(shards):,} rows; there is no row {row}")
    vocabulary, note = _find_vocabulary(shards.manifest, tokenizer)
    plain = console.color_system is None or console.no_color
    for line in [*note, *_header(shards, row, plain), *_segments(shards, shards[row], vocabulary, plain, full)]:
        console.print(line, soft_wrap=True)


def _rows_of(out: str, phase: str | None) -> Shards:
    shards = byline.open(out)
    if phase is not None and phase in (*shards.branches, shards.holdout):
        shards = byline.open(out, branch=phase)
    return shards if phase is None else shards.phase(phase)


def _find_vocabulary(manifest: Manifest, file: str | None) -> tuple[Vocabulary, list[Text]]:
    """The build's vocabulary, or ids with a note that says why."""
    try:
        return vocabulary_of(json.loads(tokenizer_bytes(manifest, file)), manifest), []
    except BylineError as error:
        if file is not None:
            raise
        return ids_alone(manifest), [Text(f"ids alone: {visible(str(error))}")]


def _header(shards: Shards, row: int, plain: bool) -> Iterator[Text]:
    sequence, length = shards[row], shards.sequence_length
    entry, inside = shards.shard_of(row)
    padding = int(sequence["seq_lengths"][sequence["doc_ids"] == PADDING_DOC_ID].sum())
    trained = int(sequence["loss_mask"].sum())
    phase = sequence["phase"]
    if phase in shards.branches:
        phase += f" (a branch behind {shards.branch_row(phase):,} rows of the timeline)"
    elif phase == shards.holdout:
        phase += " (held out)"
    where = f"row {row % len(shards)} of {len(shards)}, phase {phase}, row {inside} of {visible(entry.path)}"
    yield Text(f"{where}, L = {length:,}")
    parts = {"trained": trained, "masked": length - trained - padding, "padding": padding}
    counts = " + ".join(f"{count:,} {name} ({count / length:.1%})" for name, count in parts.items())
    yield Text(f"{length:,} tokens = {counts}")
    yield _legend(plain)
    yield Text()


def _legend(plain: bool) -> Text:
    if plain:
        return Text(r"⟦masked⟧ trained ⟨special⟩ ⏎ line break, \x1b other bytes")
    return Text.assemble(
        *[part for name in ("masked", "trained", "special") for part in ((name, STYLES[name]), " ")],
        r"⏎ line break, \x1b other bytes",
    )


def _segments(shards: Shards, row: Row, vocabulary: Vocabulary, plain: bool, full: bool) -> Iterator[Text]:
    """For each segment its border, and what it says."""
    ends = np.cumsum(row["seq_lengths"])
    columns = zip(ends - row["seq_lengths"], ends, row["doc_ids"], row["doc_offsets"], strict=True)
    for number, (start, end, doc_id, offset) in enumerate(columns, 1):
        location = f"tokens {start}-{end - 1} ({end - start})"
        if doc_id == PADDING_DOC_ID:
            yield Text(f"{number}  padding: {location}", STYLES["padding"])
            continue
        source, path, line = shards.origin(doc_id)
        masked = int((row["loss_mask"][start:end] == 0).sum())
        yield Text(
            f"{number}  doc id {doc_id}, {source}, {visible(path)} row {line}: {location}, from its token {offset}, "
            f"{masked} masked{_weight(row, start, end)}",
            STYLES["border"],
        )
        yield show_tokens(row["input_ids"][start:end], row["loss_mask"][start:end], vocabulary, plain, full)


def _weight(row: Row, start: int, end: int) -> str:
    """The loss weight of a segment, where the build has weights; the least and the most where they differ in it."""
    if "loss_weight" not in row:
        return ""
    weights = row["loss_weight"][start:end][row["loss_mask"][start:end] != 0]
    least, most = (0.0, 0.0) if len(weights) == 0 else (float(weights.min()), float(weights.max()))
    return f", weight {most:g}" if least == most else f", weights {least:g} to {most:g}"


def show_tokens(ids: np.ndarray, mask: np.ndarray, vocabulary: Vocabulary, plain: bool, full: bool) -> Text:
    """The tokens of one segment, each run of masked or trained ones in its colour or, if plain, with its marks.

    Args:
        ids: int [n]. mask: uint8 [n].
    """
    shown = Text("   ")
    for trained, run in groupby(zip(ids.tolist(), mask.tolist(), strict=True), key=lambda pair: pair[1]):
        style = "trained" if trained else "masked"
        run_ids = [token for token, _ in run]
        opening, closing = ("⟦", "⟧") if plain and not trained else ("", "")
        shown.append(opening)
        for name, text in _pieces(run_ids, vocabulary, full):
            if name == "special":
                shown.append(f"⟨{text}⟩" if plain else text, STYLES["special"])
            elif name == "gap":
                shown.append(text, STYLES["padding"])
            else:
                shown.append(_broken(text) if trained else text, STYLES[style])
        shown.append(closing)
    return shown


def _pieces(ids: list[int], vocabulary: Vocabulary, full: bool) -> Iterator[tuple[str, str]]:
    """Texts, special tokens and the gap of one run, in order: (`text`, `special` or `gap`, what to show)."""
    head, tail = _cut(ids, vocabulary, full)
    yield from _texts(ids[:head], vocabulary)
    if head < tail:
        yield "gap", f" [... {tail - head:,} tokens ...] "
    yield from _texts(ids[tail:], vocabulary)


def _texts(ids: list[int], vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    # Bytes are joined before they are decoded, as a character may be several tokens.
    for name, run in groupby(ids, key=vocabulary.name_of):
        if name is None:
            yield "text", visible(b"".join(map(vocabulary.bytes_of, run)).decode(errors="backslashreplace"))
        else:
            yield from (("special", visible(name)) for _ in run)


def _cut(ids: list[int], vocabulary: Vocabulary, full: bool) -> tuple[int, int]:
    """Where the gap of a run begins and ends; it does not cut a character that is several tokens."""
    if full or len(ids) <= HEAD + TAIL:
        return len(ids), len(ids)
    head, tail = HEAD, len(ids) - TAIL
    while head < tail and _continues(vocabulary.bytes_of(ids[head])):
        head += 1
    while tail > head and _continues(vocabulary.bytes_of(ids[tail])):
        tail -= 1
    return head, tail


def _continues(token: bytes) -> bool:
    """Whether the token begins inside a character of UTF-8."""
    return bool(token) and token[0] & 0xC0 == 0x80


def visible(text: str) -> str:
    """The text on one line, with what a terminal would act on, or an eye not see, as escapes."""
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return "⏎" if character == "\n" else character.encode("unicode_escape").decode()


def _broken(text: str) -> str:
    """The text with a new line behind each run of line breaks."""
    return re.sub("⏎(?=[^⏎])", "⏎\n   ", text)


def ids_alone(manifest: Manifest) -> Vocabulary:
    """Every id as its number, with a space before it."""
    keys = ("bos_id", "eos_id", "pad_id")
    tokens = {manifest.tokenizer[key] for key in keys}
    names = {token: "/".join(key[:-3] for key in keys if manifest.tokenizer[key] == token) for token in tokens}
    return Vocabulary(lambda token: f" {token}".encode(), {**names, **_named_by_recipe(manifest)}.get)


def _named_by_recipe(manifest: Manifest) -> dict[int, str]:
    """Names of the tokens around prefixes, of placeholders, and of those that `tokenizer.add` adds to the file's."""
    known = [manifest.tokenizer.get(key, {}) for key in ("added", "markers", "placeholders")]
    return {token: name for names in known for name, token in names.items()}


def vocabulary_of(settings: dict[str, Any], manifest: Manifest) -> Vocabulary:
    """The vocabulary of a `tokenizer.json`.

    The bytes of a token follow from its decoder: a byte-level one writes each byte as a printable character; any other
    writes text, with `▁` for a space and `<0x0A>` for a byte.
    """
    model = settings["model"]["vocab"]
    pairs = model.items() if isinstance(model, dict) else ((piece, number) for number, (piece, _) in enumerate(model))
    to_bytes = _from_byte_level if "ByteLevel" in json.dumps(settings["decoder"]) else _from_text
    pieces = {number: piece for piece, number in pairs}
    named = _named_by_recipe(manifest)
    added = {**{token["id"]: token["content"] for token in settings.get("added_tokens", ())}, **named}
    used = {*(manifest.tokenizer[key] for key in ("bos_id", "eos_id", "pad_id")), *named}
    special = {token["id"] for token in settings.get("added_tokens", ()) if token["special"]}

    def bytes_of(token: int) -> bytes:
        return added[token].encode() if token in added else to_bytes(pieces.get(token, ""))

    def name_of(token: int) -> str | None:
        if token in special or token in used:
            return added.get(token, pieces.get(token))
        return None if token in added or token in pieces else f"id {token}"

    return Vocabulary(bytes_of, name_of)


def _from_text(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes.fromhex(piece[3:5])
    return piece.replace("▁", " ").encode()


def _from_byte_level(piece: str) -> bytes:
    return b"".join(_BYTES.get(character, character.encode()) for character in piece)


def _byte_level_alphabet() -> dict[str, bytes]:
    """GPT-2's printable character for each byte: itself where that can be seen, else one from U+0100 on, in order."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): bytes([byte]) for byte in seen} | {chr(0x100 + n): bytes([byte]) for n, byte in enumerate(rest)}


_BYTES = _byte_level_alphabet()
