from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.schemas.mixtures.blend import Blend
from byline.schemas.mixtures.reading import read_mixture
from byline.schemas.mixtures.schedules import Cosine, Linear
from byline.transforms.plans.mixing import cap_weights

F = Fraction
SIZES = {"big": 8000, "small": 1000, "tiny": 1}


def weights_of(sizes: dict[str, int] = SIZES, **settings: object) -> dict[str, Fraction]:
    ((_, weights),) = read_mixture(settings).blend(sizes).points
    return weights


def test_the_methods() -> None:
    assert weights_of(method="natural") == {"big": F(8000, 9001), "small": F(1000, 9001), "tiny": F(1, 9001)}
    assert weights_of(method="unimax", max_epochs=4) == dict.fromkeys(SIZES, F(1, 3))
    assert weights_of(method="weights", weights={"big": "0.75", "tiny": "0.25"}) == {
        "big": F(3, 4),
        "small": 0,
        "tiny": F(1, 4),
    }
    # 8000 and 1000 to the power 1/3 are 20 and 10.
    assert weights_of(method="temperature", alpha="1/3") == pytest.approx(
        {"big": 20 / 31, "small": 10 / 31, "tiny": 1 / 31}
    )
    assert weights_of(method="temperature", alpha=1) == weights_of(method="natural")
    assert weights_of(method="temperature", alpha=0) == dict.fromkeys(SIZES, F(1, 3))
    assert weights_of(method="epochs", epochs={"big": 1, "small": 2}) == {"big": F(4, 5), "small": F(1, 5), "tiny": 0}


def test_the_epochs_of_llama_give_its_shares() -> None:
    """Touvron et al. 2023, table 1: share, epochs and the sizes that follow from both."""
    table = {"commoncrawl": (67.0, 1.10), "c4": (15.0, 1.06), "github": (4.5, 0.64), "wikipedia": (4.5, 2.45)}
    sizes = {name: round(share / epochs * 10**9) for name, (share, epochs) in table.items()}
    found = weights_of(sizes, method="epochs", epochs={name: str(epochs) for name, (_, epochs) in table.items()})
    whole = sum(share for share, _ in table.values())
    assert found == pytest.approx({name: share / whole for name, (share, _) in table.items()})


def test_a_constant_blend() -> None:
    blend = Blend.constant({"a": F(3, 5), "b": F(2, 5), "c": F(0)})
    assert blend.sources == ["a", "b"]
    assert blend.given("a", F(1, 2)) == F(3, 10)
    assert blend.shares() == {"a": F(3, 5), "b": F(2, 5)}
    assert (blend.is_constant, blend.is_smooth, blend.jumps) == (True, False, [])


def test_one_source_after_the_other() -> None:
    blend = Blend.in_sequence({"text": F(3, 4), "code": F(1, 4), "none": F(0)}, ["code", "none", "text"])
    assert blend.given("code", F(1, 8)) == F(1, 8)
    assert blend.given("text", F(1, 4)) == 0
    assert blend.given("code", F(1)) == F(1, 4)
    assert blend.shares() == {"code": F(1, 4), "text": F(3, 4)}
    assert blend.jumps == [F(1, 4)]


def test_a_linear_blend_gives_the_area_under_its_stream() -> None:
    blend = Blend([(F(0), {"a": F(1)}), (F(1), {"b": F(1)})], Linear.rise)
    assert blend.given("a", F(1, 2)) == F(3, 8)
    assert blend.given("b", F(1, 2)) == F(1, 8)
    assert blend.shares() == {"a": F(1, 2), "b": F(1, 2)}
    assert blend.is_smooth


def test_a_cosine_blend_gives_the_area_under_its_curve() -> None:
    blend = Blend([(F(0), {"a": F(1)}), (F(1, 2), {"a": F(1, 2), "b": F(1, 2)}), (F(1), {"b": F(1)})], Cosine.rise)
    # The weight of b in the first half is (1 - cos(2 pi t)) / 4.
    steps = 10_000
    area = sum((1 - cos(2 * pi * (k + 0.5) / steps * 0.5)) / 4 for k in range(steps)) / steps / 2
    assert float(blend.given("b", F(1, 2))) == pytest.approx(area, abs=1e-8)
    assert blend.shares() == pytest.approx({"a": 0.5, "b": 0.5})


weights = (
    st.lists(st.integers(0, 9), min_size=3, max_size=3)
    .filter(any)
    .map(lambda stages: {name: F(stage, sum(stages)) for name, stage in zip("abc", stages, strict=True)})
)


@given(st.lists(weights, min_size=1, max_size=4), st.sampled_from([None, Linear.rise, Cosine.rise]), st.fractions(0, 1))
def test_what_sources_give_sums_to_the_progress(
    some: list[dict[str, Fraction]], rise: Callable[[Fraction], Fraction] | None, until: Fraction
) -> None:
    last = max(len(some) - 1, 1) if rise is not None else len(some)
    blend = Blend([(F(number, last), of) for number, of in enumerate(some)], rise)
    assert sum(blend.given(name, until) for name in "abc") == until
    for name in "abc":
        given_by = [blend.given(name, F(step, 16)) for step in range(17)]
        assert all(earlier <= later for earlier, later in pairwise(given_by))


def test_a_cap_gives_its_rest_to_the_others() -> None:
    equal = dict.fromkeys("abc", F(1, 3))
    assert cap_weights(equal, {"a": F(10)}, 90) == {"a": F(1, 9), "b": F(4, 9), "c": F(4, 9)}
    assert cap_weights(equal, {}, 90) == equal
    # b is pushed over its cap by what a leaves.
    assert cap_weights(equal, {"a": F(10), "b": F(35)}, 90) == {"a": F(10, 90), "b": F(35, 90), "c": F(45, 90)}
    # Nobody can take the rest: the shortage is told elsewhere.
    assert cap_weights(equal, {"a": F(1), "b": F(1), "c": F(2)}, 90) == {"a": F(1, 4), "b": F(1, 4), "c": F(1, 2)}


def unimax(sizes: dict[str, int], epochs: Fraction, budget: int) -> dict[str, Fraction]:
    """Algorithm 1 of arXiv 2304.09151, as it stands there: from the smallest to the largest."""
    left, found = F(budget), {}
    for number, name in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        equal = left / (len(sizes) - number)
        found[name] = min(equal, epochs * sizes[name])
        left -= found[name]
    return {name: stage / sum(found.values()) for name, stage in found.items()}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000), min_size=1),
    st.fractions("1/2", 5),
    st.integers(1, 3000),
)
def test_equal_weights_under_caps_are_unimax(sizes: dict[str, int], epochs: Fraction, budget: int) -> None:
    equal = weights_of(sizes, method="unimax", max_epochs=1)
    caps = {name: epochs * size for name, size in sizes.items()}
    assert cap_weights(equal, caps, budget) == unimax(sizes, epochs, budget)
