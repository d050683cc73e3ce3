"""Where gigatoken's ids are not those of `tokenizers`, found by comparing the two on texts made for it.

```
every character    " Ⓐ aⒶA Ⓐ's1Ⓐ1 ..."      with a vocabulary that shows every border that a pre-tokenizer makes
every added token  "a<ph>b", " <ph> ", ...    with the tokenizer itself, as all that follow
pieces             tokens of the vocabulary, characters and white space, drawn by a hash
long words         70,000 letters, digits, spaces, ...
```

The outcome says which texts go to the reference: those with one of some characters (mostly those whose class in the two
libraries' tables of Unicode differs) or strings; or all, where something is not understood or differs otherwise.

A vocabulary hides most borders: "aⒶ" is the same ids with and without a border before Ⓐ if no token joins the two. So
characters are compared with the file's normalizer and pre-tokenizer and another vocabulary, which has a token for every
two bytes on the two sides of a character. Characters that Unicode keeps as they are (private ones, unassigned planes,
Han, Hangul, Tangut), and code points that are none to Python, are compared thirty-two at a time; all others one by one,
in more contexts.
"""

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import pyarrow as pa
import tokenizers

from byline.transforms.tokens.composing_characters import composing_differently
from byline.transforms.tokens.fast_tokenizer import (
    Fast,
    fast_tokenizer,
    fast_tokenizer_of,
    has_normalizer,
    is_byte_level,
    not_understood,
    routed_by_names,
)
from byline.transforms.tokens.reference_tokenizer import encode, tokenizer_of
from byline.transforms.tokens.text_scanner import TextScanner
from byline.transforms.tokens.token_bytes import ALPHABET
from byline.transforms.tokens.tokenizer_file import TokenizerFile

# More than these, and a text is not faster looked through than tokenized.
_MOST_STRINGS = 4096
_RUN = 32
# What Unicode will hardly change, so few contexts do: Han, Hangul, private characters, Tangut, planes above the first.
_STABLE = (
    (0x3400, 0x4DB0),
    (0x4E00, 0x9FA0),
    (0xAC00, 0xD7A0),
    (0xE000, 0xF900),
    (0x17000, 0x18D80),
    (0x20000, 0x110000),
)
_AWKWARD = (
    "Hello world, it's 1,234.5 o'clock\n\n\n  def f(x):\n\t\treturn x  \r\n",
    "e\u0301 \u00e9 \ufb01 \u212b \U0001f468\u200d\U0001f469\u200d\U0001f467 \u0e01\u0e33 \u4e2d\u6587 \u0410\u0301",
    "\u00a0\u2003x",
    " leading, trailing ",
    "      ",
    "\x00\x01\ufeff\ufffd <s> </s> [INST] <|im_start|> ▁x ##y Ġz <0x41>",
    *(character * 70_000 for character in "a1 \n.中"),
    "ab" * 40_000,
)


@dataclass(frozen=True)
class Differences:
    """Which texts go to the reference.

    Attributes:
        characters: code points.
        strings: names of added tokens.
        whole: why all texts do; None if they do not.
    """

    characters: tuple[int, ...] = ()
    strings: tuple[str, ...] = ()
    whole: str | None = None

    def scanner(self) -> TextScanner:
        return TextScanner(self.characters, self.strings)


def compare(file: TokenizerFile, reference: tokenizers.Tokenizer) -> Differences:
    """Compares the two libraries on one tokenizer file; takes some seconds."""
    reason = not_understood(file)
    if reason is not None:
        return Differences(whole=reason)
    by_names = routed_by_names(file)
    if isinstance(by_names, str):
        return Differences(whole=by_names)
    strings, characters = by_names
    fast = fast_tokenizer(file, reference.get_vocab(with_added_tokens=True), strings)
    if isinstance(fast, str):
        return Differences(whole=fast)
    points = {ord(character) for character in characters} | set(_characters(file, _Pair(fast, reference)))
    if points and min(points) < 128:
        return Differences(whole=f"the libraries differ about {chr(min(points))!r}")
    return _confirmed(file, _Pair(fast, reference), points, strings)


@dataclass(frozen=True)
class _Pair:
    """The two tokenizers."""

    fast: Fast
    reference: tokenizers.Tokenizer

    def differ(self, texts: Sequence[str]) -> Iterator[int]:
        """Numbers of the texts of which the two give other ids."""
        fast = self.fast.encode_batch_list(list(texts), parallel=False)
        expected = encode("a tokenizer that is compared", self.reference, texts)
        return (at for at, (ids, other) in enumerate(zip(fast, expected, strict=True)) if ids != other)


# ---------------------------------------------------------------------------------------------------- characters


def _characters(file: TokenizerFile, pair: _Pair) -> Iterable[int]:
    """Code points about which the two differ."""
    if is_byte_level(file):
        splitting = {key: file.settings.get(key) for key in ("normalizer", "pre_tokenizer")}
        return _byte_level_characters(json.dumps(splitting, sort_keys=True), has_normalizer(file))
    return _all_differing(pair)


@lru_cache(maxsize=8)
def _byte_level_characters(splitting: str, is_normalized: bool) -> tuple[int, ...]:
    """Those of a byte-level tokenizer, which depend on nothing but its normalizer and pre-tokenizer, given as JSON."""
    settings = {"version": "1.0", **json.loads(splitting), "added_tokens": [], "model": _telling_model()}
    fast = fast_tokenizer_of(settings)
    assert not isinstance(fast, str), fast
    points = _all_differing(_Pair(fast, tokenizer_of("a tokenizer for comparing", settings)))
    return tuple(chain(points, composing_differently() if is_normalized else ()))


def _all_differing(pair: _Pair) -> list[int]:
    stable = {point for low, high in _STABLE for point in range(low, high)}
    others = {point for point in range(1, 0x20000) if not 0xD800 <= point < 0xE000} - stable
    # Where Python knows no character, most often there is none, or a row of like ones that is new.
    late = {point for point in others if unicodedata.category(chr(point)) == "Cn"}
    points = list(_differing(pair, sorted(others - late), _one_by_one))
    # If they differ about a character of ASCII, the others do not matter.
    return points if points and points[0] < 128 else [*points, *_differing(pair, sorted(stable | late), _by_runs)]


def _telling_model() -> dict[str, object]:
    """A byte-level vocabulary with a token for every two bytes on the two sides of a border."""
    spelled = {byte: character for character, byte in ALPHABET.items()}
    plain = sorted(b" \n!'s1aAoe")
    first, last = range(0xC2, 0xF5), range(0x80, 0xC0)
    pairs = chain(
        ((a, b) for a in plain for b in first),
        ((a, b) for a in last for b in plain),
        ((a, b) for a in last for b in first),
        ((a, b) for a in plain for b in plain),
    )
    merges = [[spelled[a], spelled[b]] for a, b in pairs]
    names = [*(spelled[byte] for byte in range(256)), *(a + b for a, b in merges)]
    return {"type": "BPE", "vocab": {name: at for at, name in enumerate(names)}, "merges": merges}


def _one_by_one(points: Sequence[int]) -> str:
    """Each character beside letters of both cases, digits, punctuation, Han, white space, an apostrophe and itself."""
    return "".join(f"  {c}a{c}Aa{c}'s1{c}Aa1{c}1!{c}{c}\n{c}\n '{c}中" for c in map(chr, points))


def _by_runs(points: Sequence[int]) -> str:
    """Thirty-two characters beside one another, and beside spaces, an apostrophe, digits and punctuation."""
    runs = ("".join(map(chr, points[at : at + _RUN])) for at in range(0, len(points), _RUN))
    # Nothing is assigned above, and nothing but private characters will be.
    return "".join(f" {run}'s1{run}!" if ord(run[0]) < 0x40000 else f" {run}'s" for run in runs)


def _differing(pair: _Pair, points: Sequence[int], make: Callable[[Sequence[int]], str]) -> Iterator[int]:
    """Of the code points those whose text differs; where only that of several does, all of these."""
    size = 16 if make is _one_by_one else 4 * _RUN
    blocks = [points[at : at + size] for at in range(0, len(points), size)]
    for step in range(0, len(blocks), 1024):
        some = blocks[step : step + 1024]
        for number in pair.differ([make(block) for block in some]):
            block = some[number]
            alone = list(pair.differ([_one_by_one([point]) for point in block]))
            yield from (block[at] for at in alone) if alone else block
            if block[0] < 128:
                return


# --------------------------------------------------------------------------------------------- the tokenizer itself


def _confirmed(file: TokenizerFile, pair: _Pair, points: set[int], strings: set[str]) -> Differences:
    """The differences that are known, and those of texts without them."""
    by_name = _named_texts(file)
    names = [token["content"] for token in file.added if token["content"] and token["content"] not in strings]
    texts = [text for name in names for text in by_name(name)]
    each = len(texts) // max(len(names), 1)
    outside = _outside(texts, points, strings)
    differing = {outside[at] // each for at in pair.differ([texts[at] for at in outside])}
    strings = strings | {names[number] for number in differing}
    if len(strings) > _MOST_STRINGS:
        return Differences(whole=f"the libraries differ about {len(strings):,} added tokens")
    texts = [*_AWKWARD, *_texts_of_pieces(file)]
    outside = _outside(texts, points, strings)
    for at in pair.differ([texts[at] for at in outside]):
        return Differences(whole=f"the libraries differ about {texts[outside[at]][:40]!r}")
    return Differences(tuple(sorted(points)), tuple(sorted(strings)))


def _outside(texts: Sequence[str], points: Iterable[int], strings: Iterable[str]) -> list[int]:
    """Numbers of the texts that do not go to the reference anyway."""
    contains = TextScanner(points, strings).contains(pa.array(texts, pa.large_string()))
    return np.flatnonzero(~contains).tolist()


def _named_texts(file: TokenizerFile) -> Callable[[str], list[str]]:
    """The name of an added token, and parts of it, beside all that may matter."""
    contents = [token["content"] for token in file.added if token["content"]]
    others = dict(zip(contents, contents[1:] + contents[:1], strict=True))

    def texts(name: str) -> list[str]:
        other = others[name]
        return [
            f"{name} {name}  {name}\n{name}\n\n {name}\t{name}",
            f"a{name}b A{name}B é{name}é 中{name}中 1{name}1",
            f".{name}. _{name}_ '{name}'s \u0301{name}\u0301 \u00a0{name}\u00a0",
            f"{name}{name} {name}{other} {other}{name} {name[:-1]} {name[1:]} {name[0]}{name}{name[-1]}",
            name,
        ]

    return texts


def _texts_of_pieces(file: TokenizerFile) -> Iterator[str]:
    """Texts of tokens of the vocabulary and other characters, drawn by a hash of the file."""
    pieces = [text for text in (_spelled(file, name) for name in file.model["vocab"]) if text]
    others = [
        *" \n\t.,!?'\"()<>|0123456789aeiouAZ",
        "  ",
        "\r\n",
        "'s",
        "é",
        "中",
        "\U0001f600",
        "\u0301",
        " the",
        "'LL",
    ]
    characters = [chr(point) for point in range(0x80, 0x20000) if not 0xD800 <= point < 0xE000]
    sizes = [len(others), len(characters), len(pieces), len(pieces)]
    drawn = np.frombuffer(hashlib.shake_256(file.sha256.encode()).digest(4 * 40_000), np.uint32).tolist()
    for start in range(0, len(drawn), 20):
        yield "".join(
            (others, characters, pieces, pieces)[number % 4][number // 4 % sizes[number % 4]]
            for number in drawn[start : start + 20]
        )


def _spelled(file: TokenizerFile, name: str) -> str:
    """The text that a token stands for; empty if it is no whole characters."""
    if not is_byte_level(file):
        return name.replace("\u2581", " ")
    try:
        return bytes(ALPHABET[character] for character in name).decode()
    except (KeyError, UnicodeDecodeError):
        return ""
