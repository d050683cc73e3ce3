"""Characters that one library's NFC composes, or orders, and the other's does not.

```
U+16D63 U+16D67    U+16D68 with the tables of Unicode 16, two characters with older ones
U+105D2 U+0307     U+105C9 likewise
```

Unicode never adds a composition of characters that it had before. So a pair that composes is one of those of Unicode
3.2, which every Python has beside its own tables, or has a character that is newer, and that is in a block with letters
that are: then the other is in the same block, or a mark of which Unicode 3.2 has compositions.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from unicodedata import ucd_3_2_0 as unicode_3

import awkward as ak
import numpy as np
import tokenizers

from byline.transforms.tokens.fast_tokenizer import Fast, fast_tokenizer_of
from byline.transforms.tokens.token_bytes import ALPHABET

_BLOCK = 128
# How many characters are normalized as one text, each in a line.
_LINES = 256
# Where there may be marks and letters that compose: not Han, nor private characters, nor syllables of Hangul.
_POINTS = (*range(0x80, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000))


@lru_cache(maxsize=1)
def composing_differently() -> frozenset[int]:
    """Code points without which the two normalize every text alike: the greater of each pair composed otherwise."""
    points = set()
    reference = tokenizers.normalizers.NFC()
    known = _known_compositions()
    for lines in (*_in_lines(map(chr, _POINTS)), *_in_lines(known), *_in_lines(_new_compositions(known))):
        expected = reference.normalize_str("\n".join(lines)).split("\n")
        for line, one, other in zip(lines, _normalized(["\n".join(lines)])[0].split("\n"), expected, strict=True):
            if one != other:
                # The marks around the character are old.
                points.add(max(ord(character) for character in line))
    return frozenset(points)


def _in_lines(characters: Iterable[str]) -> Iterator[list[str]]:
    """Each character among marks of the lowest and the highest class, and where it may be composed over."""
    lines = [f"o{one}\u0301e\u0345{one}\u0334{one}" for one in characters]
    return (lines[at : at + _LINES] for at in range(0, len(lines), _LINES))


def _byte_tokenizer(**merged: int) -> Fast:
    """gigatoken with NFC and GPT-2's pre-tokenizer; ids are bytes, and those of pairs of bytes that are merged."""
    made = fast_tokenizer_of(
        {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            "model": {"type": "BPE", "vocab": ALPHABET | merged, "merges": [list(pair) for pair in merged]},
        }
    )
    assert not isinstance(made, str), made
    return made


@lru_cache(maxsize=1)
def _normalizer() -> Fast:
    return _byte_tokenizer()


def _normalized(texts: Sequence[str]) -> list[str]:
    """Texts as gigatoken normalizes them."""
    layout = ak.to_packed(_normalizer().encode_batch(list(texts), parallel=False)).layout
    content = np.asarray(layout.content.data).astype(np.uint8).tobytes()
    offsets = np.asarray(layout.offsets.data).tolist()
    return [content[low:high].decode() for low, high in pairwise(offsets)]


def _known_compositions() -> list[str]:
    """What the characters of Unicode 3.2 are composed of."""
    characters = (chr(point) for point in range(0x80, 0x30000) if not 0xAC00 <= point < 0xD7A4)
    return [unicode_3.normalize("NFD", one) for one in characters if unicode_3.decomposition(one)]


def _new_compositions(known: Iterable[str]) -> Iterator[str]:
    """Pairs that gigatoken composes, of a character that is newer than Unicode 3.2 and another one."""
    marks = sorted({one[-1] for one in known if len(one) > 1 and unicode_3.combining(one[-1])})
    new = [chr(point) for point in _POINTS if unicode_3.category(chr(point)) == "Cn"]
    # "'s" is two words behind a letter and three behind anything else, so only there it is merged.
    ids = _byte_tokenizer(**{"'s": 256}).encode_batch_list([f"a{character}'s" for character in new], parallel=False)
    letters = [character for character, one in zip(new, ids, strict=True) if 256 in one]
    for block in sorted({ord(character) // _BLOCK for character in letters}):
        characters = [chr(point) for point in range(block * _BLOCK, (block + 1) * _BLOCK)]
        newer = [one for one in characters if unicode_3.category(one) == "Cn"]
        with_all = [*characters, *marks]
        beside = {one: with_all if one in newer else newer for one in characters}
        texts = ["\n".join(first + second for second in seconds) for first, seconds in beside.items()]
        for text, normalized in zip(texts, _normalized(texts), strict=True):
            if len(normalized) < len(text):
                pairs = zip(text.split("\n"), normalized.split("\n"), strict=True)
                yield from (pair for pair, one in pairs if len(one) < len(pair))
