"""The bytes of a text that each token stands for.

```
token           "Ġfox"      "Ã"     "Ċ"     "    " (added)    "##es"     "▁fox" (not of the alphabet)
its bytes       " fox"      C3      0A      four spaces       "##es"     none
```

A byte-level tokenizer (GPT-2, GPT-NeoX, Llama 3, Qwen, ...) writes a token's bytes as characters of GPT-2's alphabet;
other tokenizers do not, so what is found here must be held against the text before it is believed. Bytes are compared
eight at once, as words of the machine: one by one takes half as long as the tokenizing.

```
text     "the fox"     word at 3   " fox\\0\\0\\0\\0"
token    "Ġf"          its word    " f\\0\\0\\0\\0\\0\\0"      the same under WORD_MASKS[2], so it stands at byte 3
```
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numba
import numpy as np

WORD = 8
# For each number of bytes the mask that leaves so many first ones of a word, uint64 [9].
WORD_MASKS = np.frombuffer(b"".join(b"\xff" * kept + bytes(WORD - kept) for kept in range(WORD + 1)), np.uint64)


class TokenBytes(NamedTuple):
    """Bytes by id.

    Attributes:
        sizes: of each token, int64 [ids]; 0 where it stands for none, or its bytes are not known.
        words: the bytes of all, each token's filled up with zeros to whole words, uint64.
        firsts: the first word of each token, int64 [ids].
    """

    sizes: np.ndarray
    words: np.ndarray
    firsts: np.ndarray


def _alphabet() -> dict[str, int]:
    """Character -> byte: printable ones stand for themselves, the others are counted from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTE_OF = _alphabet()


def token_bytes(vocabulary: Mapping[str, int], added: AbstractSet[str]) -> TokenBytes:
    """Collects the bytes of all tokens.

    Args:
        vocabulary: name -> id.
        added: names of added tokens, which stand for their names as they are.
    """
    by_id = [b""] * (max(vocabulary.values()) + 1)
    for name, number in vocabulary.items():
        by_id[number] = name.encode() if name in added else _spelled(name)
    sizes = np.array([len(each) for each in by_id], np.int64)
    filled = b"".join(each + bytes(-len(each) % WORD) for each in by_id)
    ends = np.cumsum(-(-sizes // WORD))
    return TokenBytes(sizes, np.frombuffer(filled, np.uint64), np.concatenate([[0], ends[:-1]]))


def _spelled(name: str) -> bytes:
    try:
        return bytes([_BYTE_OF[character] for character in name])
    except KeyError:
        return b""


def words_at(data: np.ndarray) -> np.ndarray:
    """The word that begins at each byte of uint8 [n], zeros behind the last: uint64 [n + 1] over one copy of it."""
    padded = np.concatenate([data, np.zeros(WORD, np.uint8)])
    return np.lib.stride_tricks.as_strided(padded[:WORD].view(np.uint64), (len(data) + 1,), (1,))


@numba.njit(cache=True, nogil=True)
def stands_at(
    words: np.ndarray, at: int, token: int, sizes: np.ndarray, token_words: np.ndarray, firsts: np.ndarray
) -> bool:
    """Whether a text (as `words_at` gives it) has a token's bytes at a position; it must be long enough for them."""
    rest, word = sizes[token], firsts[token]
    while rest > 0:
        if words[at] & WORD_MASKS[min(rest, WORD)] != token_words[word]:
            return False
        at, rest, word = at + WORD, rest - WORD, word + 1
    return True
