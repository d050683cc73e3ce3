"""A mixture from a swarm: laws that are known are recovered, and the search is held against a grid."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.transforms.weights.boosted_trees import BoostedTrees
from byline.transforms.weights.drawing import draw_mixtures
from byline.transforms.weights.log_linear import LogLinear
from byline.transforms.weights.swarm import REGRESSIONS, fit_swarm, spearman
from tests.reference.swarm import best_on_a_grid, ranks

SIZES = {"code": 1000, "math": 500, "web": 3000}
NATURAL = np.array([1000, 500, 3000]) / 4500
CONSTANTS = np.array([1.0, 1.5, 0.5])
EXPONENTS = np.array([[-2.0, 0.1, 0.3], [0.2, -1.5, 0.1], [0.1, 0.0, -1.0]])


def law(shares):
    return CONSTANTS + np.exp(np.asarray(shares) @ EXPONENTS.T)


def measured(count=24, noise=0.0):
    ratios = draw_mixtures(SIZES, count, 0)
    return ratios, law(ratios) + noise * np.random.Generator(np.random.PCG64(0)).standard_normal((count, 3))


def test_a_law_is_recovered_from_its_values():
    ratios, losses = measured()
    for metric in range(3):
        fitted = LogLinear(ratios, losses[:, metric])
        assert math.exp(fitted.parameters[0]) == pytest.approx(CONSTANTS[metric], abs=1e-4)
        assert fitted.parameters[1:] == pytest.approx(EXPONENTS[metric], abs=1e-4)
        assert fitted.predict(NATURAL[None])[0] == pytest.approx(law(NATURAL)[metric], abs=1e-6)


def test_one_wild_run_does_not_move_the_law_far():
    ratios, losses = measured()
    losses[3, 0] += 5
    assert LogLinear(ratios, losses[:, 0]).predict(NATURAL[None])[0] == pytest.approx(law(NATURAL)[0], abs=0.02)


@pytest.mark.parametrize("caps", [(1.0, 1.0, 1.0), (0.3, 1.0, 1.0), (0.25, 0.25, 0.9), (1.0, 0.2, 0.3)])
def test_the_mixture_is_the_best_of_a_grid(caps):
    ratios, losses = measured()
    fit = fit_swarm(ratios, losses, natural=NATURAL, caps=np.array(caps))
    value, best = best_on_a_grid(lambda shares: float(law(shares).mean()), 3, 100, caps)
    assert fit.weights == pytest.approx(best, abs=0.02)
    assert (fit.weights <= np.array(caps) + 1e-9).all()
    assert fit.predicted.mean() <= value + 1e-5
    assert fit.predicted == pytest.approx(law(fit.weights), abs=1e-4)
    assert fit.predicted_natural == pytest.approx(law(NATURAL), abs=1e-4)
    assert fit.correlations == pytest.approx([1, 1, 1])


def test_the_divergence_holds_the_mixture_near_the_natural_one():
    ratios, losses = measured()

    def objective(shares):
        divergence = sum(p * math.log(p / q) for p, q in zip(shares, NATURAL, strict=True) if p > 0)
        return float(law(shares).mean()) + 0.3 * divergence

    fit = fit_swarm(ratios, losses, natural=NATURAL, kl=0.3)
    assert fit.weights == pytest.approx(best_on_a_grid(objective, 3, 100, (1, 1, 1))[1], abs=0.02)
    assert fit_swarm(ratios, losses, natural=NATURAL, kl=1000).weights == pytest.approx(NATURAL, abs=1e-3)


def test_with_noise_the_runs_are_still_ranked():
    fit = fit_swarm(*measured(noise=0.02), natural=NATURAL)
    assert (fit.correlations > 0.9).all()
    assert fit.folds == 10
    assert (fit.errors < 0.06).all()


def test_noise_alone_is_not_ranked():
    ratios, losses = measured(40)
    shuffled = losses[np.random.Generator(np.random.PCG64(3)).permutation(40)]
    assert (np.abs(fit_swarm(ratios, shuffled).correlations) < 0.5).all()


def test_the_same_runs_give_the_same_mixture():
    ratios, losses = measured(12, 0.05)
    first, second = (fit_swarm(ratios, losses) for _ in range(2))
    assert first.weights.tolist() == second.weights.tolist()
    assert first.errors.tolist() == second.errors.tolist()


def test_fewer_runs_than_parameters_give_numbers():
    ratios, losses = measured(3)
    fit = fit_swarm(ratios, losses)
    assert (fit.needed, fit.folds) == (4, 3)
    assert np.isfinite(fit.weights).all()
    assert fit.weights.sum() == pytest.approx(1)


def test_losses_that_are_all_the_same_have_no_order():
    ratios, _ = measured(8)
    fit = fit_swarm(ratios, np.full((8, 1), 2.0))
    assert np.isnan(fit.correlations[0]) or abs(fit.correlations[0]) <= 1
    assert fit.predicted[0] == pytest.approx(2, abs=1e-3)


values = st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=12)


@given(values, st.data())
def test_spearman_is_the_correlation_of_ranks(first, data):
    second = data.draw(st.lists(st.integers(-3, 3).map(float), min_size=len(first), max_size=len(first)))
    expected = math.nan
    if len(set(first)) > 1 and len(set(second)) > 1:
        expected = float(np.corrcoef(ranks(first), ranks(second))[0, 1])
    assert spearman(np.array(first), np.array(second)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_mistakes():
    ratios, losses = measured(8)
    with pytest.raises(BylineError, match="regression: expected log_linear or lightgbm, found 'linear'"):
        fit_swarm(ratios, losses, regression="linear")
    with pytest.raises(BylineError, match="kl: expected a finite number from 0 on, found -1"):
        fit_swarm(ratios, losses, kl=-1)
    with pytest.raises(BylineError, match="found one run"):
        fit_swarm(ratios[:1], losses[:1])
    with pytest.raises(BylineError, match=r"may give 60\.0% of the tokens that are asked for"):
        fit_swarm(ratios, losses, caps=np.full(3, 0.2))
    assert [*REGRESSIONS] == ["log_linear", "lightgbm"]


class Stump:
    """Two values, as a tree of one split predicts them."""

    is_smooth = False

    def __init__(self, shares, losses):
        self.low = losses.min()

    @staticmethod
    def parameters_of(domains):
        return 1

    def predict(self, shares):
        return np.where(shares[:, 0] > 0.5, self.low, self.low + 1)


def test_trees_are_searched_by_candidates_alone(monkeypatch):
    monkeypatch.setitem(REGRESSIONS, "lightgbm", Stump)
    fit = fit_swarm(*measured(8), regression="lightgbm", natural=NATURAL)
    assert fit.weights[0] > 0.5
    # The mean of all that are equally good, and not the edge of a leaf.
    assert 0.55 < fit.weights[0] < 0.95


def test_without_lightgbm_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(
        BylineError, match=r"regression: lightgbm is not installed .*; pip install 'byline\[lightgbm\]'"
    ):
        fit_swarm(*measured(8), regression="lightgbm")


def test_what_lightgbm_is_asked_for(monkeypatch):
    asked = {}

    class Trees:
        def predict(self, shares, num_threads):
            return np.zeros(len(shares))

    def train(settings, data, rounds):
        asked.update(settings, rounds=rounds, runs=data)
        return Trees()

    module = SimpleNamespace(Dataset=lambda shares, losses, params: len(losses), train=train)
    monkeypatch.setitem(sys.modules, "lightgbm", module)
    ratios, losses = measured(80)
    assert BoostedTrees(ratios, losses[:, 0]).predict(ratios).tolist() == [0.0] * 80
    # RegMix's learning rate and trees; the rest keeps small swarms learnable, and the same on every machine.
    assert (asked["learning_rate"], asked["rounds"], asked["runs"]) == (0.01, 1000, 80)
    assert (asked["min_data_in_leaf"], asked["num_threads"], asked["deterministic"]) == (10, 1, True)
    for runs, leaf in ((8, 2), (24, 3), (400, 20)):
        BoostedTrees(np.ones((runs, 2)) / 2, np.ones(runs))
        assert asked["min_data_in_leaf"] == leaf
