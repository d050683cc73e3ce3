"""`byline lab`: a whole study, what it writes, and that it goes on where it was stopped."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

import byline
from byline.lab.building import Builds
from byline.lab.study import read_study


def lab(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "byline.pipelines.cli", "lab", *words]
    return subprocess.run(command, capture_output=True, text=True, check=check)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_study_runs_goes_on_and_refuses_another(recipe, tmp_path):
    out = tmp_path / "out"
    lab(str(recipe), "--output", str(out), "--workers", "2")
    results = rows(out / "results.csv")
    assert {(row["arm"], row["seed"]) for row in results} == {
        (arm, seed) for arm in ("plain", "cooled", "cooled/cooldown-50", "cooled/cooldown-100") for seed in "01"
    }
    assert {row["step"] for row in results if row["arm"] == "plain"} == {"8", "16", "24"}
    assert {(row["source"], row["metric"]) for row in results} == {
        (source, metric) for source in ("addition", "all") for metric in ("loss", "accuracy", "exact")
    }
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "Additions of one digit" in page
    assert f"byline lab {recipe}" in page

    before = (out / "results.csv").read_bytes()
    # As if the machine had stopped: one training unfinished, one never begun.
    (out / "runs/plain/0.1M/seed-0/finished.json").unlink()
    shutil.rmtree(out / "runs/plain/0.1M/seed-1")
    (out / "results.csv").unlink()
    lab(str(recipe), "--output", str(out))
    assert (out / "results.csv").read_bytes() == before

    other = lab(str(recipe), "--output", str(out), "--set", "training.steps=30", check=False)
    assert other.returncode == 1
    assert "is of a study with another `training`" in other.stderr
    assert "Traceback" not in other.stderr


def test_arms_train_on_equally_many_tokens_in_equally_many_steps(recipe, tmp_path):
    study = read_study(str(recipe))
    builds = Builds(study, tmp_path / "out", Console(file=(tmp_path / "said").open("w")))
    made = {name: builds.arm(name, arm) for name, arm in study.arms.items()}
    assert all(abs(one.trained_tokens - 12_000) <= 36 for one in made.values())
    assert made["cooled"].positions > 1.2 * made["plain"].positions
    # The build is known by what it came to, and not made a second time.
    before = (tmp_path / "out/builds/cooled/_manifest.json").stat().st_mtime_ns
    assert builds.arm("cooled", study.arms["cooled"]) == made["cooled"]
    assert (tmp_path / "out/builds/cooled/_manifest.json").stat().st_mtime_ns == before


def test_what_a_build_warns_of_is_shown(recipe, tmp_path):
    study = read_study(str(recipe), overrides=["config.holdout.by=document"])
    said = io.StringIO()
    Builds(study, tmp_path / "out", Console(file=said, width=100)).arm("plain", study.arms["plain"])
    assert "warning" in said.getvalue()
    assert "400 of 400 held-out additions" in said.getvalue()
    assert "assemble" in (tmp_path / "out/builds/plain.txt").read_text()


def test_no_held_out_problem_is_trained_on(recipe, tmp_path):
    study = read_study(str(recipe))
    builds = Builds(study, tmp_path / "out", Console(file=(tmp_path / "said").open("w")))
    problems = []
    for out, branch in (
        (builds.arm("plain", study.arms["plain"]).out, None),
        (builds.evaluation("own", study.evaluations["own"], "plain", study.arms["plain"]), "holdout"),
    ):
        tokenizer = json.loads((out.parents[1] / "tokenizer.json").read_text())["model"]["vocab"]
        texts = {number: text for text, number in tokenizer.items()}
        segments = []
        for row in byline.open(out, branch=branch):
            ends = row["seq_lengths"].cumsum()
            for begin, end, doc in zip(ends - row["seq_lengths"], ends, row["doc_ids"], strict=True):
                if doc >= 0:
                    segments.append("".join(texts[one] for one in row["input_ids"][begin:end].tolist()))
        problems.append({text.split("=")[0] for text in segments})
    assert len(problems[0]) > 50
    assert len(problems[1]) > 3
    assert not problems[0] & problems[1]
