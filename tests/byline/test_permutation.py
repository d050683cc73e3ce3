"""The permutation by arithmetic: a permutation of any size, the same as a slow one written with Python's integers."""

from collections import Counter
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.permutation import MOST, mixed, permuted
from tests.reference import row_order as slow
from tests.support.thorough import examples

pytestmark = pytest.mark.filterwarnings("error")
WORD = (1 << 64) - 1
KEYS = st.integers(0, WORD)


def words(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def all_permuted(size: int, key: int) -> list[int]:
    numbers = np.arange(size, dtype=np.uint64)
    return permuted(numbers, np.full(size, size, np.uint64), np.full(size, key, np.uint64)).tolist()


def test_the_mixer_is_that_of_splitmix64():
    """The first three numbers of SplitMix64 with seed 0, as other implementations have them."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mixed(words(0, 0, 0), words(0, 1, 2)).tolist() == published


def test_literally():
    assert all_permuted(7, 0) == [4, 2, 6, 0, 3, 5, 1]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 10, 16, 17, 255, 1000])
def test_every_number_has_one_image(size):
    for key in range(5):
        assert sorted(all_permuted(size, key)) == list(range(size))


@given(st.lists(st.tuples(st.integers(0, WORD), st.integers(1, 30) | st.integers(1, MOST), KEYS), min_size=1))
@examples(100, deadline=None)
def test_as_the_slow_one_does_whatever_else_is_in_the_array(cases):
    cases = [(number % size, size, key) for number, size, key in cases]
    numbers, sizes, keys = (words(*values) for values in zip(*cases, strict=True))
    assert permuted(numbers, sizes, keys).tolist() == [slow.permuted(*case) for case in cases]


@pytest.mark.parametrize("root", [2, 3, 2**16, 2**26 + 1, 2**31 - 1])
def test_sizes_around_a_square(root):
    for size in (root**2 - 1, root**2, root**2 + 1):
        numbers = [0, size // 2, size - 1]
        found = permuted(words(*numbers), words(size, size, size), words(3, 3, 3)).tolist()
        assert found == [slow.permuted(number, size, 3) for number in numbers]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_all_permutations_of_a_few_are_as_frequent(size):
    each = 400
    count = each * factorial(size)
    keys = np.repeat(mixed(np.full(count, 9, np.uint64), np.arange(count, dtype=np.uint64)), size)
    numbers = np.tile(np.arange(size, dtype=np.uint64), count)
    images = permuted(numbers, np.full(len(keys), size, np.uint64), keys).reshape(count, size)
    seen = Counter(map(tuple, images.tolist()))
    assert len(seen) == factorial(size)
    # Five standard deviations.
    assert max(abs(times - each) for times in seen.values()) < 5 * each**0.5


def test_neighbours_are_not_neighbours_after():
    """Of random permutations of n numbers, two of n pairs of neighbours stay neighbours; here of 20,000 numbers."""
    images = np.array(all_permuted(20_000, 1), np.int64)
    assert (abs(np.diff(images)) == 1).sum() < 12
    assert abs(np.corrcoef(np.arange(20_000), images)[0, 1]) < 0.04
