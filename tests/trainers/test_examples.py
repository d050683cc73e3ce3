"""Each script of examples/trainers trains a tiny model a few steps, and so does guided generation."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainers.conftest import BUILDS, ROOT

SCRIPTS = sorted((ROOT / "examples/trainers").glob("train_*.py"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs a script on a build, in this process, which has imported the trainers; returns what it printed."""

    def in_this_process(script: Path) -> str:
        monkeypatch.setattr(sys, "argv", [str(script), str(BUILDS / "concat")])
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(script), run_name="__main__")
        return "".join(capfd.readouterr())

    yield in_this_process
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_trains(run, script: Path) -> None:
    assert re.search(r"loss\W{1,4}\d", run(script))


def test_an_example_runs_on_its_own(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples/trainers/train_torch.py"), str(BUILDS / "concat")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"loss\W{1,4}\d", done.stdout), done.stdout


def test_guided_generation(run) -> None:
    printed = run(ROOT / "examples/guided_generation.py")
    assert re.findall(r"^scale [\d.]+", printed, re.MULTILINE) == ["scale 1.0", "scale 1.5"]
