"""The bytes of a text that each token stands for.

```
token           "Ġfox"      "Ã"     "Ċ"     "    " (added)    "##es"     "▁fox" (not of the alphabet)
its bytes       " fox"      C3      0A      four spaces       "##es"     none
```

A byte-level tokenizer (GPT-2, GPT-NeoX, Llama 3, Qwen, ...) writes a token's bytes as characters of GPT-2's alphabet;
other tokenizers do not, so the bytes given here must be checked against the text. Bytes are compared eight at a time,
as machine words: one by one, the comparison would take half as long as the tokenizing.

```
text     "the fox"     word at 3   " fox\\0\\0\\0\\0"
token    "Ġf"          its word    " f\\0\\0\\0\\0\\0\\0"      equal under WORD_MASKS[2], so the token is at byte 3
```
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numba
import numpy as np

WORD = 8
# WORD_MASKS[n] keeps the first n bytes of a word; uint64 [9].
WORD_MASKS = np.frombuffer(b"".join(b"\xff" * kept + bytes(WORD - kept) for kept in range(WORD + 1)), np.uint64)


class TokenBytes(NamedTuple):
    """Bytes by id.

    Attributes:
        sizes: bytes of each token, int64 [ids]; 0 if it stands for none, or its bytes are not known.
        words: the bytes of all tokens, each padded with zeros to whole words, uint64.
        firsts: the first word of each token, int64 [ids].
    """

    sizes: np.ndarray
    words: np.ndarray
    firsts: np.ndarray


def _alphabet() -> dict[str, int]:
    """Character -> byte: printable bytes stand for themselves, the others are numbered from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + number): byte for number, byte in enumerate(others)}


# Character -> byte.
ALPHABET = _alphabet()


def token_bytes(vocabulary: Mapping[str, int], added: AbstractSet[str]) -> TokenBytes:
    """Collects the bytes of all tokens.

    Args:
        vocabulary: name -> id.
        added: names of added tokens, which stand for the bytes of their names.
    """
    by_id = [b""] * (max(vocabulary.values()) + 1)
    for name, number in vocabulary.items():
        by_id[number] = name.encode() if name in added else alphabet_bytes(name)
    sizes = np.array([len(spelling) for spelling in by_id], np.int64)
    padded = b"".join(spelling + bytes(-len(spelling) % WORD) for spelling in by_id)
    ends = np.cumsum(-(-sizes // WORD))
    return TokenBytes(sizes, np.frombuffer(padded, np.uint64), np.concatenate([[0], ends[:-1]]))


def alphabet_bytes(name: str) -> bytes:
    """The bytes that a name in GPT-2's alphabet stands for; none if it has other characters."""
    try:
        return bytes([ALPHABET[character] for character in name])
    except KeyError:
        return b""


def spelled_bytes(ids: np.ndarray, tokens: TokenBytes) -> bytes | None:
    """The bytes of some tokens in a row (ids: any integers [n]); None if those of one of them are not known."""
    if (ids < 0).any() or (ids >= len(tokens.sizes)).any() or not tokens.sizes[ids].all():
        return None
    words = tokens.words.tobytes()
    starts = tokens.firsts[ids] * WORD
    return b"".join(words[start : start + size] for start, size in zip(starts, tokens.sizes[ids], strict=True))


def words_at(data: np.ndarray) -> np.ndarray:
    """The word that begins at each byte of uint8 [n], padded with zeros: uint64 [n + 1], a view of a copy."""
    padded = np.concatenate([data, np.zeros(WORD, np.uint8)])
    return np.lib.stride_tricks.as_strided(padded[:WORD].view(np.uint64), (len(data) + 1,), (1,))


@numba.njit(cache=True, nogil=True)
def stands_at(
    words: np.ndarray, start: int, token: int, sizes: np.ndarray, token_words: np.ndarray, firsts: np.ndarray
) -> bool:
    """Whether a text (from `words_at`) has a token's bytes from `start` on; it must be long enough."""
    position, remaining, word = start, sizes[token], firsts[token]
    while remaining > 0:
        if words[position] & WORD_MASKS[min(remaining, WORD)] != token_words[word]:
            return False
        position, remaining, word = position + WORD, remaining - WORD, word + 1
    return True
