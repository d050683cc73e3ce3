"""Shuffle keys, orders, dropout and doc ids against literal values, worked out by hand from docs/formats.md."""

from fractions import Fraction

from tests.reference import hashing


def test_splitmix64_gives_the_published_outputs() -> None:
    # First outputs of the generator with seeds 0 and 1234567, as other implementations print them.
    assert hashing.splitmix64(0) == 0xE220A8397B1DCDAF
    assert hashing.splitmix64(1234567) == 6457827717110365317
    assert hashing.splitmix64(1234567 + 0x9E3779B97F4A7C15) == 3203168211198807973


def test_shuffle_key_hashes_the_path_and_adds_the_row() -> None:
    # First halves of MurmurHash3 x64 128, from its published text in plain Python.
    for source, path, first_half in [
        ("c4", "a/x.json.gz", 0x21FB186BCFFBD6CD),
        ("c4", "sub/é/part-00000.jsonl.zst", 0xD422CE5E830FA9A9),
    ]:
        assert hashing.shuffle_key(source, path, 0) == hashing.splitmix64(first_half)
        assert hashing.shuffle_key(source, path, 7) == hashing.splitmix64(first_half + 7)
        assert hashing.shuffle_key(source, path, 2**64 - 1) == hashing.splitmix64(first_half - 1)


def test_order_depends_on_shuffle_key_epoch_and_seed() -> None:
    orders = {hashing.order(shuffle_key, epoch, seed) for shuffle_key in (0, 1) for epoch in (0, 1) for seed in (0, 1)}
    assert len(orders) == 8
    assert hashing.order(0, 0, 0) == hashing.splitmix64(0xE220A8397B1DCDAF)


def test_dropout_drops_its_share() -> None:
    orders = [hashing.order(shuffle_key, 0, 0) for shuffle_key in range(10_000)]
    assert not any(hashing.dropped_out(order, Fraction(0)) for order in orders)
    dropped = {order for order in orders if hashing.dropped_out(order, Fraction(1, 10))}
    assert 900 < len(dropped) < 1100
    assert dropped < {order for order in orders if hashing.dropped_out(order, Fraction(1, 5))}


def test_empty_leaves_its_share_empty_whoever_is_dropped_out() -> None:
    orders = [hashing.order(shuffle_key, 0, 0) for shuffle_key in range(10_000)]
    assert not any(hashing.left_empty(order, Fraction(0)) for order in orders)
    dropped = [order for order in orders if hashing.dropped_out(order, Fraction(1, 2))]
    others = set(orders) - set(dropped)
    assert 400 < sum(hashing.left_empty(order, Fraction(1, 10)) for order in dropped) < 600
    assert 400 < sum(hashing.left_empty(order, Fraction(1, 10)) for order in others) < 600


def test_empty_compares_the_upper_53_bits() -> None:
    value = hashing.splitmix64(5 ^ 0xA24BAED4963EE407) >> 11
    assert not hashing.left_empty(5, Fraction(value, 2**53))
    assert hashing.left_empty(5, Fraction(value + 1, 2**53))


def test_dropout_compares_the_upper_53_bits() -> None:
    value = hashing.splitmix64(5 ^ 0xD1B54A32D192ED03) >> 11
    assert not hashing.dropped_out(5, Fraction(value, 2**53))
    assert hashing.dropped_out(5, Fraction(value + 1, 2**53))
    assert not hashing.dropped_out(5, Fraction(2 * value + 1, 2**54))


def test_files_are_numbered_by_source_then_path_in_bytes() -> None:
    in_order = [
        ("a", "a-b"), ("a", "a/b"), ("a", "z"), ("a", "é"), ("a", "\uff5e"), ("a", "\U0001f600"),
        ("a-b", "a"), ("b", "a"),
    ]  # fmt: skip
    numbers = hashing.file_numbers(reversed(in_order))
    assert [numbers[file] for file in in_order] == list(range(8))
    assert hashing.doc_id(3, 7) == 12884901895
