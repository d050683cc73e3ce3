"""The bytes of tokens, and comparing them with a text's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from byline.transforms.tokens.token_bytes import stands_at, token_bytes, words_at
from tests.support import small

VOCABULARY = {"Ġfox": 0, "Ã": 1, "Ċ": 2, "é ": 3, "##es": 4, "▁fox": 5, "Ġ": 7, "<|endoftext|>": 8, "a" * 20: 9}


def bytes_of(token: int) -> bytes:
    by_id = token_bytes(VOCABULARY, {"é "})
    first, size = by_id.firsts[token], by_id.sizes[token]
    return by_id.words[first : first + -(-size // 8)].tobytes()[:size]


def test_bytes_of_tokens() -> None:
    expected = [b" fox", b"\xc3", b"\n", "é ".encode(), b"##es", b"", b"", b" ", b"<|endoftext|>", b"a" * 20]
    assert [bytes_of(token) for token in range(10)] == expected


def test_the_alphabet_is_that_of_tokenizers() -> None:
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    # Every byte that UTF-8 has, in some character.
    for text in (chr(point) for point in [*range(0x800), *range(0x800, 0x11000, 64), 0x1F600, 0x10FFFF]):
        if not 0xD800 <= ord(text) < 0xE000:
            ((spelled, _),) = pre.pre_tokenize_str(text)
            by_id = token_bytes({spelled: 0}, set())
            assert by_id.words.tobytes()[: by_id.sizes[0]] == text.encode()


def test_every_token_of_a_byte_level_tokenizer_stands_for_what_it_decodes_to() -> None:
    tokenizer = small.reference_tokenizer()
    by_id = token_bytes(tokenizer.get_vocab(), {small.BOS, small.PAD, "    "})
    for token in range(tokenizer.get_vocab_size()):
        first = by_id.firsts[token]
        data = by_id.words[first : first + -(-by_id.sizes[token] // 8)].tobytes()[: by_id.sizes[token]]
        assert data.decode(errors="replace") == tokenizer.decode([token], skip_special_tokens=False)


@given(st.binary(max_size=30), st.binary(max_size=20), st.integers(0, 30))
def test_stands_at(data: bytes, token: bytes, at: int) -> None:
    if at + len(token) <= len(data):
        filled = np.frombuffer(token + bytes(-len(token) % 8), np.uint64)
        words = words_at(np.frombuffer(data, np.uint8))
        sizes, firsts = np.array([len(token)]), np.array([0])
        assert stands_at(words, at, 0, sizes, filled, firsts) == (data[at : at + len(token)] == token)
        same = data[at : at + len(token)]
        filled = np.frombuffer(same + bytes(-len(same) % 8), np.uint64)
        assert stands_at(words, at, 0, sizes, filled, firsts)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9])
def test_words_at(size: int) -> None:
    data = bytes(range(1, size + 1))
    words = words_at(np.frombuffer(data, np.uint8))
    assert [word.tobytes() for word in words] == [data[at:][:8].ljust(8, b"\0") for at in range(size + 1)]
