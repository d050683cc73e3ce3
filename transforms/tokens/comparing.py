"""Where gigatoken's ids are not those of `tokenizers`, found by comparing the two on texts made for it.

```
every character    see `comparing_characters`
every added token  "a<ph>b", " <ph> ", ...    with the tokenizer itself, as all that follow
pieces             tokens of the vocabulary, characters and white space, drawn by a hash
long words         70,000 letters, digits, spaces, ...
```

The outcome says which texts go to the reference: those with one of some characters (mostly those whose class in the two
libraries' tables of Unicode differs) or strings; or all, where something is not understood or differs otherwise.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import tokenizers

from byline.transforms.tokens.comparing_characters import GivesUpError, Pair, differing_characters
from byline.transforms.tokens.differences import Differences
from byline.transforms.tokens.fast_tokenizer import fast_tokenizer, is_byte_level, not_understood, routed_by_names
from byline.transforms.tokens.text_scanner import TextScanner
from byline.transforms.tokens.token_bytes import alphabet_bytes
from byline.transforms.tokens.tokenizer_file import TokenizerFile

# More than these, and a text is not faster looked through than tokenized.
_MOST_STRINGS = 4096
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


def compare(file: TokenizerFile, reference: tokenizers.Tokenizer) -> Differences:
    """Compares the two libraries on one tokenizer file; may take some seconds."""
    reason = not_understood(file)
    if reason is not None:
        return Differences(whole=reason)
    by_names = routed_by_names(file)
    if isinstance(by_names, str):
        return Differences(whole=by_names)
    strings, characters = by_names
    fast = fast_tokenizer(file, reference, frozenset(strings))
    if isinstance(fast, str):
        return Differences(whole=fast)
    pair = Pair(fast, reference)
    try:
        points = {*map(ord, characters), *differing_characters(file, pair)}
        if points and min(points) < 128:
            return Differences(whole=f"the libraries differ about {chr(min(points))!r}")
        return _confirmed(file, pair, points, strings)
    except GivesUpError as error:
        return Differences(whole=f"a library gives up on a text of the comparison: {error}")


# --------------------------------------------------------------------------------------------- the tokenizer itself


def _confirmed(file: TokenizerFile, pair: Pair, points: set[int], strings: set[str]) -> Differences:
    """The differences that are known, and those of texts without them."""
    names = [token["content"] for token in file.added if token["content"] and token["content"] not in strings]
    by_name = _named_texts(names)
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


def _named_texts(names: Sequence[str]) -> Callable[[str], list[str]]:
    """The name of an added token, and parts of it, beside all that may matter, another of the names among it."""
    others = dict(zip(names, [*names[1:], *names[:1]], strict=True))

    def texts(name: str) -> list[str]:
        other = others[name]
        return [
            f"{name} {name}  {name}\n{name}\n\n {name}\t{name}",
            f"a{name}b A{name}B é{name}é 中{name}中 1{name}1",
            f".{name}. _{name}_ '{name}'s \u0301{name}\u0301 \u00a0{name}\u00a0",
            f"{name}{name} {name[:-1]} {name[1:]} {name[0]}{name}{name[-1]}",
            f"{name}{other} {other}{name}",
            name,
        ]

    return texts


def _texts_of_pieces(file: TokenizerFile) -> Iterator[str]:
    """Texts of tokens of the vocabulary and other characters, drawn by a hash of the file."""
    pieces = list(file.model["vocab"])
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
        parts = [
            (number % 4, (others, characters, pieces, pieces)[number % 4][number // 4 % sizes[number % 4]])
            for number in drawn[start : start + 20]
        ]
        yield "".join(_spelled(file, part) if kind > 1 else part for kind, part in parts)


def _spelled(file: TokenizerFile, name: str) -> str:
    """The text that a token stands for; empty if it is no whole characters."""
    if not is_byte_level(file):
        return name.replace("\u2581", " ")
    try:
        return alphabet_bytes(name).decode()
    except UnicodeDecodeError:
        return ""
