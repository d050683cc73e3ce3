"""Duplicates, slowly: normal forms by Python's own strings, n-grams as tuples, all pairs.

```
normal_form("Café, no. 12!", "simplified")     "cafe no 0"
shingles("to be or not", 2, "words")           {("to", "be"), ("be", "or"), ("or", "not")}
jaccard({1, 2, 5, 9}, {2, 5, 7})               2/5
```

Written from docs/duplicates.md. `Kind` is a line of its table of presets.
"""

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from tests.reference.hashing import splitmix64

MODULUS = 2**64
FORMS = ("exact", "text", "simplified")


class Kind(NamedTuple):
    bands: int
    rows: int
    size: int
    unit: str
    form: str


KINDS = {
    "fineweb": Kind(14, 8, 5, "words", "simplified"),
    "nemo": Kind(20, 13, 24, "characters", "exact"),
    "strict": Kind(26, 11, 5, "words", "text"),
}


def is_accent(character: str) -> bool:
    return "\u0300" <= character <= "\u036f"


@cache
def plain(character: str) -> str:
    """What a character of a text becomes, before white space is squeezed."""
    old = unicodedata.ucd_3_2_0
    category = old.category(character)
    if character.isspace():
        return " "
    if is_accent(character):
        return ""
    if ord(character) > 0xFFFF or category == "Cn":
        return character
    if category[0] in "PS" or category in ("Cc", "Cf", "Zs"):
        return ""
    lower = character.lower()
    bare = "".join(one for one in old.normalize("NFD", lower) if not is_accent(one))
    return bare if len(bare) == 1 else lower if len(lower) == 1 else character


def is_digit(character: str) -> bool:
    return ord(character) <= 0xFFFF and unicodedata.ucd_3_2_0.category(character) == "Nd"


def normal_form(text: str, form: str) -> str:
    if form == "exact":
        return text
    words = "".join(map(plain, text)).split()
    joined = " ".join(words)
    if form == "text":
        return joined
    return re.sub("0+", "0", "".join("0" if is_digit(character) else character for character in joined))


def identity(text: str, form: str) -> tuple[str, bool]:
    """Equal for texts that are the same."""
    normal = normal_form(text, form)
    return (normal, True) if normal else (text, False)


def ngrams(text: str, size: int, unit: str) -> list[tuple[str, ...]]:
    """All n-grams in their order; a shorter text is one."""
    units = text.split(" ") if unit == "words" else list(text)
    if not text:
        return []
    return [tuple(units[at : at + size]) for at in range(max(len(units) - size + 1, 1))]


def jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> Fraction:
    together = len(one | other)
    return Fraction(len(one & other), together) if together else Fraction(0)


def unit_hash(unit: str, kind: str) -> int:
    if kind == "characters":
        return splitmix64(ord(unit))
    value, spelling = 0, unit.encode()
    for at in range(0, len(spelling), 8):
        value = splitmix64(value ^ int.from_bytes(spelling[at : at + 8], "little"))
    return value


def shingle_hash(ngram: tuple[str, ...], kind: str) -> int:
    total = 0
    for unit in ngram:
        total = (total * 0x9FB21C651E98DF25 + unit_hash(unit, kind)) % MODULUS
    return splitmix64(total)


def signature(hashes: set[int], size: int) -> list[int]:
    """Turn after turn, until no slot is empty."""
    slots: list[int | None] = [None] * size
    turn = 0
    while None in slots:
        for hashed in hashes:
            x = hashed if turn == 0 else splitmix64((hashed + turn * 0x9E3779B97F4A7C15) % MODULUS)
            slot = (x >> 32) * size >> 32 if turn < size else turn - size
            value = (turn << 32) + x % 2**32
            kept = slots[slot]
            slots[slot] = value if kept is None else min(kept, value)
        turn += 1
    return [value for value in slots if value is not None]


def bands(text: str, kind: Kind) -> list[int]:
    """The hashes of a text's bands; the text is in its normal form. None for one without n-grams."""
    hashes = {shingle_hash(ngram, kind.unit) for ngram in ngrams(text, kind.size, kind.unit)}
    if not hashes:
        return []
    values = signature(hashes, kind.bands * kind.rows)
    out = []
    for band in range(kind.bands):
        hashed = splitmix64(band)
        for value in values[band * kind.rows : (band + 1) * kind.rows]:
            hashed = splitmix64(hashed ^ value)
        out.append(hashed)
    return out


def similar_pairs(texts: Sequence[str], kind: Kind, form: str, similarity: Fraction) -> set[tuple[int, int]]:
    """All pairs (higher, lower) of texts that are so similar."""
    used = max(form, kind.form, key=FORMS.index)
    sets = [set(ngrams(normal_form(text, used), kind.size, kind.unit)) for text in texts]
    return {
        (one, other)
        for one in range(len(texts))
        for other in range(one)
        if sets[one] and sets[other] and jaccard(sets[one], sets[other]) >= similarity
    }


def kept_instead(texts: Sequence[str], form: str, kind: Kind | None, similarity: Fraction) -> list[int]:
    """For each text, in order of rank, the one that is kept instead; itself for one that is kept."""
    firsts: dict[tuple[str, bool], int] = {}
    for number, text in enumerate(texts):
        firsts.setdefault(identity(text, form), number)
    instead = {number: number for number in firsts.values()}
    if kind is not None:
        similar = similar_pairs(texts, kind, form, similarity)
        members: dict[int, list[int]] = {}
        used = max(form, kind.form, key=FORMS.index)
        for number in instead:
            for band in bands(normal_form(texts[number], used), kind):
                members.setdefault(band, []).append(number)
        candidates = {(number, group[0]) for group in members.values() for number in group[1:]}
        for number in instead:
            kept = [lower for one, lower in sorted(candidates & similar) if one == number and instead[lower] == lower]
            instead[number] = kept[0] if kept else number
    return [instead[firsts[identity(text, form)]] for text in texts]
