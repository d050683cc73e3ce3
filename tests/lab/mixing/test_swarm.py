"""A swarm of proxies: what is trained, written and chosen, and that a finished proxy is not trained again."""

import pytest
import yaml

from byline.lab.mixing.finding import find_mixture
from tests.lab.mixing.conftest import table, told_again
from tests.support.builds import manifest_of

SOURCES = ("plain", "reverse")


def test_a_swarm_is_trained_once_and_gives_the_commands_mixture(make_ground, trained) -> None:
    ground = make_ground(method="swarm", tokens="6K", steps=10, count=4, max_epochs=4)
    mixture = find_mixture(ground)
    assert sum(mixture["weights"].values()) == pytest.approx(1)

    ratios, metrics = table(ground.folder / "proxies/ratios.csv"), table(ground.folder / "proxies/metrics.csv")
    runs = [f"run-000{number}" for number in range(4)]
    assert [row["run"] for row in ratios] == [row["run"] for row in metrics] == runs
    for shares, losses in zip(ratios, metrics, strict=True):
        measured = table(ground.folder / "runs" / shares["run"] / "metrics.csv")
        last = {
            row["source"]: float(row["value"]) for row in measured if (row["metric"], row["step"]) == ("loss", "10")
        }
        assert {name: float(losses[name]) for name in SOURCES} == pytest.approx({name: last[name] for name in SOURCES})
        drawn = manifest_of(ground.builds.out / f"builds/arm.{shares['run']}")["ledger"]["phases"]["main"]["sources"]
        tokens = [drawn[name]["tokens"] if name in drawn else 0 for name in SOURCES]
        assert tokens[0] / sum(tokens) == pytest.approx(float(shares["plain"]), abs=0.03)

    text = told_again(ground)
    assert text == (ground.folder / "mixture.yaml").read_text()
    assert yaml.safe_load(text)["weights"] == mixture["weights"]

    assert trained == [str(ground.folder / "runs" / run) for run in runs]
    (ground.folder / "runs/run-0002/finished.json").unlink()
    assert find_mixture(ground) == mixture
    assert trained[4:] == [str(ground.folder / "runs/run-0002")]


def test_losses_of_the_sources_that_count(make_ground) -> None:
    ground = make_ground(method="swarm", tokens="3K", steps=4, count=3, targets=["reverse"])
    assert find_mixture(ground) is not None
    assert list(table(ground.folder / "proxies/metrics.csv")[0]) == ["run", "name", "index", "reverse"]
