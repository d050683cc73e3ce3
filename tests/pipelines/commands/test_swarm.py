"""`byline weights swarm`: from a token store to recipes, and from their metrics to a mixture that a recipe takes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from byline.errors import BylineError
from byline.pipelines.cli import app
from byline.schemas.config_file import load_config
from tests.support.builds import manifest_of

RECIPE = """sources:
  code: {{format: jsonl, path: code.jsonl}}
  web: {{format: jsonl, path: web.jsonl}}
tokenizer: {{file: {tokenizer}, bos: "<|endoftext|>", eos: "<|endoftext|>"}}
store: store
output: out
tokens: 400
sequence: {{length: 16, packing: best_fit}}
phases: [{{name: main, share: 1}}]
"""


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False, env={"COLUMNS": "200"})


@pytest.fixture
def here(tmp_path, monkeypatch, corpus):
    monkeypatch.chdir(tmp_path)
    for name, count in (("code", 100), ("web", 300)):
        lines = [json.dumps({"text": f"{name} the a of number {row}"}) + "\n" for row in range(count)]
        Path(f"{name}.jsonl").write_text("".join(lines))
    Path("recipe.yaml").write_text(RECIPE.format(tokenizer=corpus.tokenizer))
    assert run("prepare", "recipe.yaml", "--workers", 1).exit_code == 0
    return tmp_path


def draw(*words, folder="swarm", count=6):
    return run("weights", "swarm", "draw", "recipe.yaml", folder, "--count", count, *words)


def rows(path):
    return list(csv.DictReader(Path(path).open()))


def write_metrics(folder):
    """A law by which each domain's loss falls with its share."""
    lines = ["run,name,index,code,web"]
    for number, row in enumerate(rows(f"{folder}/ratios.csv")):
        losses = (1 + np.exp(-2 * float(row[name])) for name in ("code", "web"))
        lines.append(",".join([row["run"], row["run"], str(number), *(f"{loss:.6f}" for loss in losses)]))
    Path(folder, "metrics.csv").write_text("\n".join(lines) + "\n")


def test_a_swarm_is_drawn_built_and_fitted(here):
    done = draw("--seed", 3)
    assert done.exit_code == 0, done.output
    assert "swarm: 6 recipes of 400 positions each" in done.output
    assert sorted(path.name for path in Path("swarm").iterdir()) == [
        "priors.yaml",
        "ratios.csv",
        *(f"run-000{number}.yaml" for number in range(6)),
    ]
    priors = yaml.safe_load(Path("swarm/priors.yaml").read_text())["priors"]
    assert priors["relative_sizes"]["web"] == pytest.approx(0.75, abs=0.02)
    for row in rows("swarm/ratios.csv"):
        config = load_config(f"swarm/{row['run']}.yaml")
        shares = {name: float(row[name]) for name in ("code", "web") if float(row[name])}
        assert {name: float(share) for name, share in config.mixture.weights.items() if share} == shares
        assert (config.tokens, config.output) == (400, f"swarm/{row['run']}")

    assert run("build", "swarm/run-0001.yaml", "--workers", 1).exit_code == 0
    stage = manifest_of(Path("swarm/run-0001"))["ledger"]["phases"]["main"]
    assert set(stage["sources"]) <= {"code", "web"}

    write_metrics("swarm")
    done = run("weights", "swarm", "fit", "swarm", "--output", "mixture.yaml")
    assert done.exit_code == 0, done.output
    text = Path("mixture.yaml").read_text()
    assert text.startswith(
        "# byline weights swarm fit swarm/ratios.csv swarm/metrics.csv --regression log_linear --priors"
    )
    # Both losses weigh the same and fall alike, so half of each is best.
    weights = yaml.safe_load(text)["weights"]
    assert weights == pytest.approx({"code": 0.5, "web": 0.5}, abs=1e-3)
    assert "rank correlation, 6-fold: code " in text
    done = run("plan", "recipe.yaml", "--set", "mixture.file=mixture.yaml")
    assert done.exit_code == 0, done.output


def test_the_same_command_writes_the_same_bytes(here):
    draw("--seed", 1)
    first = {path.name: path.read_bytes() for path in Path("swarm").iterdir()}
    assert draw("--seed", 1).exit_code == 0
    assert {path.name: path.read_bytes() for path in Path("swarm").iterdir()} == first
    with pytest.raises(BylineError, match=r"swarm/ratios\.csv: is of another swarm; give another DIR"):
        draw("--seed", 2)


def test_epochs_are_capped_when_drawn_and_when_fitted(here):
    counts = lambda: yaml.safe_load(Path("swarm/priors.yaml").read_text())["priors"]["token_counts"]  # noqa: E731
    assert draw("--tokens", "2_400", count=12).exit_code == 0
    most = counts()["code"] / 2400
    assert max(float(row["code"]) for row in rows("swarm/ratios.csv")) <= most < 1
    write_metrics("swarm")
    done = run("weights", "swarm", "fit", "swarm", "--target", "code", "--max-epochs", 2, "--tokens", "10_000")
    with pytest.raises(BylineError, match=r"max_epochs: all domains together may give .*% of the tokens"):
        run("weights", "swarm", "fit", "swarm", "--max-epochs", 0.01, "--tokens", "10_000")
    with pytest.raises(BylineError, match="give --max-epochs and --tokens"):
        run("weights", "swarm", "fit", "swarm", "--max-epochs", 2)
    Path("swarm/priors.yaml").rename("counts.yaml")
    with pytest.raises(BylineError, match="needs the tokens of code, web; give --priors"):
        run("weights", "swarm", "fit", "swarm", "--max-epochs", 2, "--tokens", 99)
    again = run(
        "weights", "swarm", "fit", "swarm/ratios.csv", "swarm/metrics.csv", "--priors", "counts.yaml",
        "--target", "code", "--max-epochs", 2, "--tokens", "10_000",
    )  # fmt: skip
    for output in (done.stdout, again.stdout):
        weight = yaml.safe_load(output[output.index("weights: ") :])["weights"]["code"]
        assert weight == pytest.approx(2 * most * 2400 / 10_000, abs=2e-6)


def test_warnings_of_a_swarm_that_says_little(here):
    draw(count=2)
    write_metrics("swarm")
    done = run("weights", "swarm", "fit", "swarm")
    for said in (done.stderr, done.stdout):
        assert "warning: 2 runs are fewer than the 3 that log_linear needs for 2 domains" in said
    rows_of_noise = ["run,name,index,loss", *(f"run-{n:04},,,{2 + n * 7 % 5 / 1000}" for n in range(12))]
    draw("--strength", 1, 1, folder="noise", count=12)
    Path("noise/metrics.csv").write_text("\n".join(rows_of_noise))
    done = run("weights", "swarm", "fit", "noise")
    assert "# warning: loss: runs left out are not ranked (rank correlation " in done.stdout
    assert yaml.safe_load(done.stdout).keys() == {"weights"}


def test_mistakes_of_the_recipe(here):
    text = Path("recipe.yaml").read_text()
    Path("recipe.yaml").write_text(text.replace("tokens: 400\n", ""))
    with pytest.raises(BylineError, match=r"recipe\.yaml: tokens: proxies are compared on equally many; give --tokens"):
        draw()
    assert draw("--tokens", 300).exit_code == 0
    Path("recipe.yaml").write_text(text.replace("share: 1", "share: 1, mixture: {code: 0.5, web: 0.5}"))
    with pytest.raises(BylineError, match=r"phases\.main\.mixture: a swarm has one mixture for all phases"):
        draw()


def test_an_input_is_not_replaced(here):
    draw()
    write_metrics("swarm")
    for name in ("ratios.csv", "metrics.csv", "priors.yaml"):
        with pytest.raises(BylineError, match="would be replaced"):
            run("weights", "swarm", "fit", "swarm", "--output", f"swarm/{name}")
