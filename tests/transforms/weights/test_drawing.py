"""Mixtures for a swarm: what they have in common, and the caps that they keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.transforms.weights.drawing import draw_mixtures, under_caps

SIZES = {"code": 1000, "math": 500, "web": 3000}


def test_the_same_seed_draws_the_same_mixtures():
    drawn = draw_mixtures(SIZES, 30, 7)
    assert drawn.tolist() == draw_mixtures(SIZES, 30, 7).tolist()
    assert drawn[:10].tolist() == draw_mixtures(SIZES, 10, 7).tolist()
    assert drawn.tolist() != draw_mixtures(SIZES, 30, 8).tolist()


def test_every_mixture_is_one_of_its_own_of_six_places():
    drawn = draw_mixtures(SIZES, 60, 0)
    assert len(set(map(tuple, drawn.tolist()))) == 60
    np.testing.assert_allclose(drawn.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(drawn, drawn.round(6), rtol=1e-12)
    assert ((drawn == 0) | (drawn >= 0.002 - 1e-6)).all()


def test_the_mean_is_the_natural_mixture():
    drawn = draw_mixtures(SIZES, 4000, 0, strengths=(20, 20), min_weight=0)
    np.testing.assert_allclose(drawn.mean(axis=0), np.array([2, 1, 6]) / 9, atol=0.01)
    # Of a Dirichlet distribution of concentration s: q (1 - q) / (s + 1).
    np.testing.assert_allclose(drawn[:, 2].var(), (2 / 3) * (1 / 3) / 21, rtol=0.1)


def test_a_larger_strength_is_nearer_to_the_natural_mixture():
    near, far = (draw_mixtures(SIZES, 50, 0, strengths=(s, s))[:, 2].std() for s in (500, 5))
    assert near < 0.05 < far


@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=6),
    st.lists(st.floats(0, 1.2), min_size=6, max_size=6),
    st.integers(0, 5),
)
def test_caps_are_kept_and_what_they_take_is_given_to_the_others(parts, limits, empty):
    weights = np.array(parts)
    if empty < len(parts) - 1:
        weights[empty] = 0
    weights /= weights.sum()
    caps = np.array(limits[: len(parts)])
    if caps.clip(0, 1).sum() < 1:
        with pytest.raises(BylineError, match=r"max_epochs: all domains together may give .*% of the tokens"):
            under_caps(weights[None], caps)
        return
    given = under_caps(np.stack([weights, weights[::-1]]), caps)
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-9)
    assert (given <= caps + 1e-12).all()
    if (weights <= caps).all():
        np.testing.assert_allclose(given[0], weights, atol=1e-12)


def test_caps_by_hand():
    # b and c share what a cannot take as 1 : 3.
    assert under_caps(np.array([[0.6, 0.1, 0.3]]), np.array([0.2, 1, 1])).tolist() == [
        pytest.approx([0.2, 0.2, 0.6]),
    ]
    # c is full then, and b takes the rest.
    assert under_caps(np.array([[0.6, 0.1, 0.3]]), np.array([0.2, 1, 0.5]))[0] == pytest.approx([0.2, 0.3, 0.5])
    # Only a domain without a share has room.
    assert under_caps(np.array([[1.0, 0.0]]), np.array([0.25, 0.75]))[0] == pytest.approx([0.25, 0.75])


def test_drawn_under_caps_even_when_written():
    caps = {"code": 1 / 3, "math": 1 / 7, "web": 0.9}
    drawn = draw_mixtures(SIZES, 40, 0, caps=caps)
    assert (drawn <= np.array([*caps.values()])).all()
    assert (drawn[:, 0] > 0.333).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": {"web": 5}}, r"found 1 domains \(web\); a mixture needs at least two sources"),
        ({"sizes": {"web": 5, "code": 0}}, "code: has no tokens, so no share"),
        ({"count": 0}, "count: expected a number of mixtures from 1 on, found 0"),
        ({"strengths": (5, 0.1)}, "strength: expected two numbers above 0, the smaller first, found 5 and 0.1"),
        ({"strengths": (0, 1)}, "strength: expected two numbers above 0"),
        ({"min_weight": 0.6}, "min_weight: expected a share from 0 to 1 / 3 domains, found 0.6"),
        ({"min_weight": -1}, "min_weight: expected a share"),
        ({"caps": {"code": 0.2, "math": 0.2, "web": 0.2}}, r"all domains together may give 60\.0% of the tokens"),
        ({"count": 9, "strengths": (1e-9, 1e-9)}, r"count: found 3 different mixtures in 1800 draws, and 9 were asked"),
    ],
)
def test_mistakes(changes, message):
    arguments = {"sizes": SIZES, "count": 3, "seed": 0, **changes}
    with pytest.raises(BylineError, match=message):
        draw_mixtures(**arguments)
