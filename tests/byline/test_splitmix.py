"""SplitMix64 of whole arrays against the reference's, one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from byline.splitmix import splitmix64
from tests.reference import hashing as slow

words = st.integers(0, 2**64 - 1)
word_lists = st.lists(words | st.sampled_from([0, 1, 2**63, 2**64 - 1]), max_size=20)


def uint64(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint64)


def test_splitmix64_gives_the_published_sequence() -> None:
    # The generator's first values for the seed 1234567, of which each state is one golden ratio further.
    golden = 0x9E3779B97F4A7C15
    states = [(1234567 + n * golden) % 2**64 for n in range(3)]
    assert splitmix64(uint64(states)).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(word_lists)
def test_splitmix64_of_an_array(values: list[int]) -> None:
    assert splitmix64(uint64(values)).tolist() == [slow.splitmix64(value) for value in values]
