"""Each script of examples/trainers runs on its own, a few steps of a tiny model, and so does guided generation."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainers.conftest import BUILDS, ROOT

SCRIPTS = sorted((ROOT / "examples/trainers").glob("train_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_trains(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(script), str(BUILDS / "concat")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"loss\W{1,4}\d", done.stdout + done.stderr), done.stdout


def test_guided_generation(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples/guided_generation.py"), str(BUILDS / "concat")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()[2:]] == ["scale 1.0", "scale 1.5"]
