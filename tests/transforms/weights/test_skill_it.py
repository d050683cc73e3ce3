"""Skill-it's mixtures: by hand, against the slow reference, and where the best allocation is known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.transforms.weights.skill_it import ETA, WINDOW, schedule
from tests.reference import skill_it as reference

# Skill a helps b.
CHAIN = np.array([[1.0, 0.5], [0.0, 1.0]])


def softmax(*exponents):
    return [math.exp(x) / sum(map(math.exp, exponents)) for x in exponents]


def test_by_hand():
    losses = np.array([[0.5, 2.0], [0.25, 1.0]])
    never_forgets = [softmax(1.5, 1.0), softmax(3.0, 3.0), softmax(3.75, 4.0)]
    np.testing.assert_allclose(schedule(CHAIN, losses, 1, None), never_forgets, rtol=1e-14)
    one_round = [softmax(1.5, 1.0), softmax(1.5, 2.0), softmax(0.75, 1.0)]
    np.testing.assert_allclose(schedule(CHAIN, losses, 1, 1), one_round, rtol=1e-14)
    two_rounds = [softmax(1.5, 1.0), softmax(1.5, 2.0), softmax(2.25, 3.0)]
    np.testing.assert_allclose(schedule(CHAIN, losses, 1, 2), two_rounds, rtol=1e-14)
    assert schedule(CHAIN, losses, 1, 9).tolist() == schedule(CHAIN, losses, 1, 2).tolist()
    assert reference.mixtures(CHAIN.tolist(), losses.tolist(), 1, None)[2] == pytest.approx(never_forgets[2])
    assert reference.mixtures(CHAIN.tolist(), losses.tolist(), 1, 2)[2] == pytest.approx(two_rounds[2])


def test_the_paper_s_settings():
    assert (ETA, WINDOW) == (0.5, 3)
    losses = np.arange(8.0).reshape(4, 2)
    assert schedule(CHAIN, losses).tolist() == schedule(CHAIN, losses, 0.5, 3).tolist()


sizes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
windows = st.none() | st.integers(1, 12)


@given(st.data(), sizes, st.floats(0, 1), windows)
def test_against_the_reference(data, size, eta, window):
    def matrix(rows, columns, largest):
        row = st.lists(st.floats(0, largest), min_size=columns, max_size=columns)
        return data.draw(st.lists(row, min_size=rows, max_size=rows))

    trained, evaluated, rounds = size
    graph, losses = matrix(trained, evaluated, 2), matrix(rounds, evaluated, 4)
    mixtures_made = schedule(np.array(graph), np.array(losses).reshape(rounds, evaluated), eta, window)
    assert mixtures_made.shape == (rounds + 1, trained)
    np.testing.assert_allclose(mixtures_made, reference.mixtures(graph, losses, eta, window), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(mixtures_made.sum(axis=1), 1, rtol=1e-12)


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.floats(0, 9)), max_size=6), windows)
def test_without_a_learning_rate_the_mixture_stays_uniform(losses, window):
    rows = np.array(losses).reshape(-1, 3)
    np.testing.assert_allclose(schedule(np.eye(3), rows, 0, window), 1 / 3, rtol=1e-14)
    # So it does for the complete graph (section 3.3.2).
    np.testing.assert_allclose(schedule(np.ones((3, 3)), rows, 0.7, window), 1 / 3, rtol=1e-12)


@given(st.permutations([0.5, 1.0, 2.0]), windows)
def test_without_edges_the_skill_with_the_highest_loss_gains_most(losses, window):
    first, second = schedule(np.eye(3), np.array([losses]), 0.5, window)
    assert first == pytest.approx([1 / 3] * 3)
    assert np.argsort(second).tolist() == np.argsort(losses).tolist()
    assert second.max() > 1 / 3 > second.min()


@pytest.mark.parametrize("window", [None, 1, 3])
def test_a_prerequisite_of_skills_that_are_not_learned_gains(window):
    # Both are learned equally well themselves, a third is not; the first skill helps it.
    graph = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    prerequisite, other, _ = schedule(graph, np.array([[0.2, 0.2, 3.0]]), 0.5, window)[-1]
    assert prerequisite > 1.5 * other
    # Nothing is left to gain from it once that skill is learned.
    prerequisite, other, _ = schedule(graph, np.array([[0.2, 0.2, 0.0]]), 0.5, 1)[-1]
    assert prerequisite == pytest.approx(other, rel=1e-14)


def test_trained_and_evaluated_skills_may_differ():
    # Out of domain: three trained skills, two others evaluated; the second of them is not learned.
    mixtures_made = schedule(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 2.0]]), 1, 1)
    np.testing.assert_allclose(mixtures_made, [softmax(1, 1, 0), softmax(0, 2, 0)], rtol=1e-14)


def test_a_mixture_does_not_depend_on_rounds_to_come():
    losses = np.array([[0.5, 2.0], [0.25, 1.0], [4.0, 0.5], [1.0, 3.0]])
    for window in (None, 1, 2, 3):
        whole = schedule(CHAIN, losses, 0.5, window)
        for rounds in range(4):
            np.testing.assert_allclose(schedule(CHAIN, losses[:rounds], 0.5, window), whole[: rounds + 1], rtol=1e-14)


def test_large_exponents_do_not_overflow():
    assert schedule(np.eye(2), np.array([[900.0, 0.0]]), 10, 1)[-1].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("eta", "window", "message"),
    [
        (-0.1, 3, "eta: expected a finite number from 0 on, found -0.1"),
        (math.inf, 3, "eta: expected a finite number"),
        (0.5, 0, "window: expected a number of rounds from 1 on, found 0"),
        (1e308, 1, "beyond a float64; take a smaller eta"),
    ],
)
def test_settings_out_of_range(eta, window, message):
    with pytest.raises(BylineError, match=message):
        schedule(np.eye(2), np.array([[9.0, 0.0]]), eta, window)


# --------------------------------------------------------------------------- training as equation (2) models it


def trained(graph, losses, rounds, eta, window):
    """Mixtures of a run that asks before each round, and the losses before each and at the end."""
    seen, mixtures = [list(losses)], []
    for _ in range(rounds):
        observed = np.array(seen[:-1]).reshape(-1, len(losses))
        mixtures.append(schedule(graph, observed, eta, window)[-1])
        seen.append(reference.next_losses(graph.tolist(), seen[-1], mixtures[-1].tolist()))
    return np.array(mixtures), np.array(seen)


def test_one_skill_that_teaches_all_gets_all():
    # The best loss after T rounds is 2 (1 - 0.3) ** T, all of it on the first skill; uniform gives half the rate.
    graph = np.array([[0.3, 0.3], [0.0, 0.0]])
    for eta, tolerance in ((10.0, 0.2), (100.0, 1e-6)):
        mixtures, losses = trained(graph, [1.0, 1.0], 5, eta, None)
        assert losses[-1].sum() == pytest.approx(2 * 0.7**5, rel=tolerance)
        assert losses[-1].sum() < 2 * 0.85**5
        assert mixtures[-1][0] > 0.99


@pytest.mark.parametrize("rounds", [4, 6, 8])
def test_the_order_of_skills_is_the_best_of_all_orders(rounds):
    """The first skill helps both, the second itself alone but more; which is worth more depends on the losses."""
    graph = np.array([[0.5, 0.25], [0.0, 0.5]])
    orders = itertools.product([0, 1], repeat=rounds)
    best = min(np.prod([1 - graph[skill] for skill in order], axis=0).sum() for order in orders)
    uniform = ((1 - graph.mean(axis=0)) ** rounds).sum()
    mixtures, losses = trained(graph, [1.0, 1.0], rounds, 1000, 1)
    # The mixture of round 4 is the first to see losses of (1/4, 9/16), where 1/2 * 9/16 > 1/2 * 1/4 + 1/4 * 9/16.
    assert mixtures[:4].argmax(axis=1).tolist() == [0, 0, 0, 1]
    assert losses[-1].sum() == pytest.approx(best, rel=1e-4)
    for eta, window in itertools.product([0.5, 1, 10], [1, 2, 3]):
        assert best < trained(graph, [1.0, 1.0], rounds, eta, window)[1][-1].sum() < uniform


def test_shares_converge_to_the_best_allocation():
    """Two skills apart, loss L_j falls to about L_j (1 - a) ** (T share_j): the sum is least where both end equal.

    That is T (share_1 - share_2) = ln(L_1 / L_2) / -ln(1 - a).
    """
    rounds, rate, start = 1000, 0.01, [2.0, 1.0]
    best = (1 + math.log(2) / -math.log1p(-rate) / rounds) / 2
    errors = []
    for eta in (1, 10, 100, 1000):
        mixtures, losses = trained(rate * np.eye(2), start, rounds, eta, WINDOW)
        errors.append(abs(mixtures[:, 0].mean() - best))
        assert losses[-1].sum() < 3 * (1 - rate / 2) ** rounds
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6
    assert best == pytest.approx(0.5345, abs=1e-4)
    # Ends equal: neither skill can give a round to the other.
    assert losses[-1][0] == pytest.approx(losses[-1][1], rel=1e-4)
