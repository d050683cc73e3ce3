"""DoReMi's updates: by hand, against the slow reference, and in games of which the solution is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.transforms.weights.doremi import ETA, SMOOTHING, clipped_excess, next_weights, replay
from tests.reference import doremi as reference

LN3 = math.log(3)


def test_one_update_by_hand():
    half = np.array([0.5, 0.5])
    np.testing.assert_allclose(next_weights(half, np.array([0.0, LN3]), 1, 0), [0.25, 0.75], rtol=1e-15)
    np.testing.assert_allclose(next_weights(half, np.array([0.0, LN3]), 2, 0), [0.1, 0.9], rtol=1e-15)
    np.testing.assert_allclose(next_weights(half, np.array([0.0, LN3]), 1, 0.1), [0.275, 0.725], rtol=1e-15)
    assert reference.all_weights([[0.0, LN3]], 1, 0.1)[0] == pytest.approx([0.275, 0.725], rel=1e-15)


def test_the_paper_s_settings():
    assert (ETA, SMOOTHING) == (1.0, 1e-3)
    assert replay(np.array([[0.0, LN3]]))[0, 0] == pytest.approx(0.999 * 0.25 + 0.0005, rel=1e-15)


def test_the_result_is_the_mean_of_the_updates_without_the_initial_weights():
    path = replay(np.array([[0.0, LN3], [LN3, 0.0]]), 1, 0)
    np.testing.assert_allclose(path, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-15)
    assert reference.final_weights([[0.0, LN3], [LN3, 0.0]], 1, 0) == pytest.approx([0.375, 0.625], rel=1e-15)
    np.testing.assert_allclose(path.mean(axis=0), [0.375, 0.625], rtol=1e-15)


def test_a_difference_below_zero_is_clipped():
    loss, of_reference = np.array([[2.0, 1.0, 3.0]]), np.array([[1.5, 1.5, 3.0]])
    assert clipped_excess(loss, of_reference).tolist() == [[0.5, 0.0, 0.0]]
    # Of the tokens (1.0, 0.5) and (1.0, 2.0) the first alone counts; their means say that the proxy is the better one.
    assert reference.excess_of_tokens([(1.0, 0.5), (1.0, 2.0)]) == 0.25
    assert clipped_excess(np.array([1.0]), np.array([1.25])).tolist() == [0.0]


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=1, max_size=9))
def test_clipping_means_never_gives_more_than_clipping_tokens(tokens):
    means = np.mean(tokens, axis=0)
    assert clipped_excess(means[:1], means[1:])[0] <= reference.excess_of_tokens(tokens) + 1e-12


excesses = st.integers(1, 5).flatmap(
    lambda k: st.lists(st.lists(st.floats(0, 20), min_size=k, max_size=k), min_size=1, max_size=12)
)


@given(excesses, st.floats(0, 4), st.floats(0, 1))
def test_against_the_reference(excess, eta, smoothing):
    path = replay(np.array(excess), eta, smoothing)
    np.testing.assert_allclose(path, reference.all_weights(excess, eta, smoothing), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(
        path.mean(axis=0), reference.final_weights(excess, eta, smoothing), rtol=1e-12, atol=1e-300
    )


@given(excesses, st.floats(0, 1e3), st.floats(0, 1), st.data())
def test_weights_sum_to_one_and_are_no_smaller_than_the_smoothing_gives(excess, eta, smoothing, data):
    k = len(excess[0])
    parts = data.draw(st.lists(st.integers(0, 9), min_size=k, max_size=k).filter(any))
    path = replay(np.array(excess), eta, smoothing, np.array(parts) / sum(parts))
    np.testing.assert_allclose(path.sum(axis=1), 1, rtol=1e-12)
    assert (path >= smoothing / k).all()


@given(st.integers(1, 6), st.floats(0, 50), st.floats(0, 10))
def test_equal_excess_losses_leave_the_weights_as_they_are(k, excess, eta):
    uniform = replay(np.full((3, k), excess), eta, 0.25)
    np.testing.assert_allclose(uniform, 1 / k, rtol=1e-12)
    given_weights = np.arange(1, k + 1) / sum(range(1, k + 1))
    np.testing.assert_allclose(replay(np.full((3, k), excess), eta, 0, given_weights)[-1], given_weights, rtol=1e-12)


@given(st.floats(0, 5), st.floats(0.001, 5), st.floats(0.01, 3))
def test_a_domain_with_more_excess_loss_gains(excess, more, eta):
    first, second = replay(np.array([[excess, excess + more]]), eta)[0]
    assert first < 0.5 < second


def test_without_smoothing_a_log_counts_as_the_sum_of_its_rows():
    # alpha_T ~ alpha_0 exp(eta * sum of lambda): the order of the steps does not matter, and steps can be joined.
    excess = np.array([[0.25, 1.0, 0.5], [0.75, 0.0, 0.5], [0.5, 0.5, 2.0]])
    joined = replay(excess.sum(axis=0, keepdims=True), 0.7, 0)
    np.testing.assert_allclose(replay(excess, 0.7, 0)[-1:], joined, rtol=1e-14)
    np.testing.assert_allclose(replay(excess[::-1], 0.7, 0)[-1:], joined, rtol=1e-14)


def test_step_by_step_is_the_replay():
    excess = np.array([[0.25, 1.0, 0.5], [0.75, 0.0, 0.5], [0.5, 0.5, 2.0]])
    path = replay(excess)
    assert replay(excess[:2]).tolist() == path[:2].tolist()
    assert next_weights(path[1], excess[2]).tolist() == path[2].tolist()
    assert replay(excess[2:], initial=path[1]).tolist() == path[2:].tolist()


def test_large_exponents_neither_overflow_nor_revive_a_weight_of_zero():
    assert replay(np.array([[800.0, 0.0]]), 2, 0).tolist() == [[1.0, 0.0]]
    path = replay(np.array([[0.0, LN3, 5000.0]]), 1, 0, np.array([0.5, 0.5, 0.0]))
    np.testing.assert_allclose(path, [[0.25, 0.75, 0]], rtol=1e-15)


@pytest.mark.parametrize(
    ("eta", "smoothing", "message"),
    [
        (-1.0, 0.1, "eta: expected a finite number from 0 on, found -1.0"),
        (math.nan, 0.1, "eta: expected a finite number"),
        (1.0, 1.5, "smoothing: expected a number from 0 to 1, found 1.5"),
        (1.0, math.nan, "smoothing: expected"),
        (1e308, 0.1, "beyond a float64; take a smaller eta"),
    ],
)
def test_settings_out_of_range(eta, smoothing, message):
    with pytest.raises(BylineError, match=message):
        replay(np.array([[1.0, 20.0]]), eta, smoothing)


# ------------------------------------------------------------------------------------ games with a known solution
#
# A model divides its effort n (a point of the simplex) between domains; the excess loss of domain i is s_i * n_i ** -b.
# The game, min over n and max over alpha of sum_i alpha_i s_i n_i ** -b, is convex in n and linear in alpha. Its saddle
# has equal excess losses, so n_i ~ s_i ** (1/b), and alpha_i ~ 1 / |d excess_i / d n_i| ~ n_i: both are the same point.

SCALES = np.array([1.0, 0.5, 0.25]) / 10
POWER = 0.5
SADDLE = SCALES ** (1 / POWER) / (SCALES ** (1 / POWER)).sum()


def proxy_that_draws_by_the_weights(weights):
    return weights


def proxy_at_its_best_against_the_weights(weights):
    """The n that makes sum_i alpha_i s_i n_i ** -b smallest: n_i ~ (alpha_i s_i) ** (1 / (b + 1))."""
    effort = (weights * SCALES) ** (1 / (POWER + 1))
    return effort / effort.sum()


def played(proxy, steps, eta=ETA, smoothing=SMOOTHING):
    """Mean and last weights of a run in which the proxy and the weights answer each other."""
    weights, path = np.full(3, 1 / 3), []
    for _ in range(steps):
        weights = next_weights(weights, SCALES * proxy(weights) ** -POWER, eta, smoothing)
        path.append(weights)
    return np.mean(path, axis=0), weights


def test_the_saddle_by_hand():
    np.testing.assert_allclose(SADDLE, [16 / 21, 4 / 21, 1 / 21], rtol=1e-14)
    np.testing.assert_allclose(proxy_at_its_best_against_the_weights(SADDLE), SADDLE, rtol=1e-14)
    excess = SCALES * SADDLE**-POWER
    np.testing.assert_allclose(excess, excess[0], rtol=1e-14)


@pytest.mark.parametrize("proxy", [proxy_that_draws_by_the_weights, proxy_at_its_best_against_the_weights])
def test_the_mean_weights_converge_to_the_saddle(proxy):
    errors = [np.abs(played(proxy, steps, smoothing=0)[0] - SADDLE).max() for steps in (100, 1000, 10000)]
    # What the first steps are off is divided by T.
    assert errors[2] < 2e-3
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.05)
    assert errors[2] == pytest.approx(errors[1] / 10, rel=0.05)
    np.testing.assert_allclose(played(proxy, 1000, smoothing=0)[1], SADDLE, rtol=1e-12)


def test_smoothing_moves_the_resting_point_a_little():
    last = played(proxy_that_draws_by_the_weights, 3000)[1]
    np.testing.assert_allclose(next_weights(last, SCALES * last**-POWER), last, rtol=1e-12)
    assert 1e-3 < np.abs(last - SADDLE).max() < 0.01


def test_the_mean_weights_converge_to_the_best_use_of_tokens():
    """Excess a_i exp(-b_i n_i) falls with n_i, the share of a run's tokens drawn so far, by weights that sum to n.

    The smallest largest excess has all of them equal: n_i = (ln a_i - m) / b_i, with m such that they sum to 1.
    """
    a, b = np.array([2.0, 1.0, 1.0]), np.array([3.0, 3.0, 6.0])
    level = ((np.log(a) / b).sum() - 1) / (1 / b).sum()
    best = (np.log(a) - level) / b
    steps, drawn, weights, excess = 10000, np.zeros(3), np.full(3, 1 / 3), []
    for _ in range(steps):
        excess.append(a * np.exp(-b * drawn))
        weights = next_weights(weights, excess[-1])
        drawn += weights / steps
    np.testing.assert_allclose(replay(np.array(excess)).mean(axis=0), drawn, rtol=1e-9)
    np.testing.assert_allclose(drawn, best, atol=1e-3)
    np.testing.assert_allclose(a * np.exp(-b * drawn), math.exp(level), atol=1e-3)
    assert (a * np.exp(-b / 3)).max() > 1.8 * math.exp(level)
