"""The bytes of a text that each token stands for.

```
token           "Ġfox"      "Ã"     "Ċ"     "    " (added)    "##es"     "▁fox" (not of the alphabet)
its bytes       " fox"      C3      0A      four spaces       "##es"     none
```

A byte-level tokenizer (GPT-2, GPT-NeoX, Llama 3, Qwen, ...) writes a token's bytes as characters of GPT-2's alphabet;
other tokenizers do not, so what is found here must be held against the text before it is believed.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np


class TokenBytes(NamedTuple):
    """Bytes by id; a token that stands for none, or whose bytes are not known, has none.

    Attributes:
        data: uint8, by id one after another.
        offsets: int64 [ids + 1].
    """

    data: np.ndarray
    offsets: np.ndarray


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
    return TokenBytes(np.frombuffer(b"".join(by_id), np.uint8), np.concatenate([[0], np.cumsum(sizes)]))


def _spelled(name: str) -> bytes:
    try:
        return bytes([_BYTE_OF[character] for character in name])
    except KeyError:
        return b""
