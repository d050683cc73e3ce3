"""The characters about which gigatoken and `tokenizers` differ.

```
every character    " Ⓐ aⒶA Ⓐ's1Ⓐ1 ..."      with a vocabulary that shows every border that a pre-tokenizer makes
```

A vocabulary hides most borders: "aⒶ" is the same ids with and without a border before Ⓐ if no token joins the two. So
characters are compared with the file's normalizer and pre-tokenizer and another vocabulary, which has a token for every
two bytes on the two sides of a character. Characters that Unicode keeps as they are (private ones, unassigned planes,
Han, Hangul, Tangut) are compared thirty-two at a time; all others one by one, in more contexts.

The outcome for a byte-level tokenizer depends on nothing but its normalizer, its pre-tokenizer and the versions of the
two libraries. So `compared_characters.json` has it for the tokenizers in use; any other is compared.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from itertools import chain
from typing import Any

import tokenizers

from byline.printable import one_line
from byline.transforms.tokens.code_points import of_runs
from byline.transforms.tokens.composing_characters import composing_differently
from byline.transforms.tokens.differences import COMPARISON
from byline.transforms.tokens.fast_tokenizer import Fast, fast_tokenizer_of, has_normalizer, is_byte_level
from byline.transforms.tokens.reference_tokenizer import encode, tokenizer_of
from byline.transforms.tokens.token_bytes import ALPHABET
from byline.transforms.tokens.tokenizer_file import TokenizerFile

SHIPPED = "compared_characters.json"
_RUN = 32
# What Unicode will hardly change, so few contexts do: Han, Hangul, private characters, Tangut, planes above the first
# without the tags and variation selectors of plane 14.
_STABLE = (
    (0x3400, 0x4DB0),
    (0x4E00, 0x9FA0),
    (0xAC00, 0xD7A0),
    (0xE000, 0xF900),
    (0x17000, 0x18D80),
    (0x20000, 0xE0000),
    (0xE0200, 0x110000),
)


class GivesUpError(Exception):
    """A library gives up on a text of the comparison."""


@dataclass(frozen=True)
class Pair:
    """The two tokenizers."""

    fast: Fast
    reference: tokenizers.Tokenizer

    def differ(self, texts: Sequence[str]) -> Iterator[int]:
        """Numbers of the texts of which the two give other ids.

        Raises:
            GivesUpError: one of them gives none.
        """
        try:
            fast = self.fast.encode_batch_list(list(texts), parallel=False)
            expected = encode("a tokenizer that is compared", self.reference, texts)
        except (KeyboardInterrupt, SystemExit):
            raise
        # Among others a panic of pyo3, which is no Exception.
        except BaseException as error:
            raise GivesUpError(one_line(error, 200)) from None
        return (at for at, (ids, other) in enumerate(zip(fast, expected, strict=True)) if ids != other)


def differing_characters(file: TokenizerFile, pair: Pair) -> Iterable[int]:
    """Code points about which the two differ.

    Args:
        file: a tokenizer.
        pair: made of it.

    Raises:
        GivesUpError: see `Pair`.
    """
    return _of_splitting(splitting_of(file.settings)) if is_byte_level(file) else _all_differing(pair)


def splitting_of(settings: Mapping[str, Any]) -> str:
    """What a text is split by, as JSON."""
    return json.dumps({key: settings.get(key) for key in ("normalizer", "pre_tokenizer")}, sort_keys=True)


def shipped_key(splitting: str) -> str:
    """Of what `compared_characters.json` has for a byte-level tokenizer, with the installed libraries."""
    depends_on = [splitting, version("gigatoken"), version("tokenizers"), COMPARISON]
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()


@lru_cache(maxsize=8)
def _of_splitting(splitting: str) -> tuple[int, ...]:
    runs = shipped().get(shipped_key(splitting))
    return compare_splitting(splitting) if runs is None else of_runs(runs)


def shipped() -> dict[str, list[list[int]]]:
    """`shipped_key` -> code points as `code_points` has them."""
    content: dict[str, list[list[int]]] = json.loads((files("byline.transforms.tokens") / SHIPPED).read_bytes())
    return content


def compare_splitting(splitting: str) -> tuple[int, ...]:
    """The code points about which byte-level tokenizers with a splitting differ, ascending; takes some seconds."""
    settings = {"version": "1.0", **json.loads(splitting), "added_tokens": [], "model": _telling_model()}
    fast = fast_tokenizer_of(settings)
    assert not isinstance(fast, str), fast
    points = _all_differing(Pair(fast, tokenizer_of("a tokenizer for comparing", settings)))
    return tuple(sorted({*points, *(composing_differently() if has_normalizer(settings) else ())}))


def _all_differing(pair: Pair) -> list[int]:
    stable = {point for low, high in _STABLE for point in range(low, high)}
    others = {*range(1, 0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200)} - stable
    points = list(_differing(pair, sorted(others), _one_by_one))
    # If they differ about a character of ASCII, the others do not matter.
    if points and min(points) < 128:
        return points
    return [*points, *_differing(pair, sorted(stable), _by_runs)]


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
    # Of those above nothing is assigned, and nothing but private characters will be.
    return "".join(f" {run}'s1{run}!" if ord(run[0]) < 0x40000 else f" {run}'s" for run in runs)


def _differing(pair: Pair, points: Sequence[int], make: Callable[[Sequence[int]], str]) -> Iterator[int]:
    """Of the code points those whose text differs, and all of several whose text differs only together."""
    size = 16 if make is _one_by_one else 4 * _RUN
    blocks = [points[at : at + size] for at in range(0, len(points), size)]
    for step in range(0, len(blocks), 1024):
        compared = blocks[step : step + 1024]
        for number in pair.differ([make(block) for block in compared]):
            differing = _differing_of_block(pair, compared[number], make)
            yield from differing
            if min(differing) < 128:
                return


def _differing_of_block(pair: Pair, block: Sequence[int], make: Callable[[Sequence[int]], str]) -> list[int]:
    """Those of a block that differs: the ones that do so alone, and the rest if it still does without these."""
    alone = [block[at] for at in pair.differ([_one_by_one([point]) for point in block])]
    rest = [point for point in block if point not in alone]
    return alone + rest if not alone or (rest and any(True for _ in pair.differ([make(rest)]))) else alone
