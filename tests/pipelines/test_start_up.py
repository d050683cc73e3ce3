"""What commands import that find nothing to run: a second of start-up is all that they take."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from byline.pipelines.runners.worker import PRELOADED
from tests.support.builds import ROOT, build
from tests.support.corpora import Corpus, recipe, write_recipe

PROGRAM = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from byline.pipelines.cli import main
main()
"""
# Beam and what comes with it; what only documents that are read need.
OF_JOBS = {"apache_beam", "grpc", "google", "fasttext", "gigatoken", "tldextract", "requests"}


def imported_by(*words: str | Path) -> set[str]:
    """The modules that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def finished(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The recipe of a finished build, and its output."""
    folder = tmp_path_factory.mktemp("finished")
    values = recipe(corpus, folder)
    build(values)
    return {"RECIPE": str(write_recipe(folder / "recipe.yaml", values)), "OUT": str(values["output"])}


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "RECIPE"],
        ["plan", "RECIPE"],
        ["plan", "RECIPE", "--json"],
        ["assemble", "RECIPE"],
        ["build", "RECIPE"],
        ["attribute", "RECIPE", "--list"],
        ["diff", "RECIPE", "RECIPE"],
        ["inspect", "OUT"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_a_command_with_nothing_to_run_imports_no_beam(finished: dict[str, str], words: Sequence[str]) -> None:
    imported = imported_by(*(finished.get(word, word) for word in words))
    assert OF_JOBS & imported == set()


@pytest.mark.parametrize("words", [["inspect", "OUT"], ["--help"]], ids=" ".join)
def test_a_command_that_counts_nothing_imports_no_numba(finished: dict[str, str], words: Sequence[str]) -> None:
    imported = imported_by(*(finished.get(word, word) for word in words))
    assert {"numba", "scipy", "awkward"} & imported == set()


def test_verify_in_one_process_imports_no_beam(finished: dict[str, str]) -> None:
    assert {"apache_beam", "grpc", "google"} & imported_by("verify", finished["OUT"]) == set()


def test_a_command_with_something_to_run_imports_beam(corpus: Corpus, finished: dict[str, str], tmp_path: Path) -> None:
    """Else the tests above would pass whatever is imported."""
    values: dict[str, Any] = recipe(corpus, tmp_path)
    imported = imported_by("build", write_recipe(tmp_path / "recipe.yaml", values), "--workers", "1")
    assert {"apache_beam", "grpc", "fasttext", "gigatoken", "tldextract", "numba"} <= imported


def test_workers_import_every_step_before_there_are_any() -> None:
    """A step that a worker imports when it gets its first work is imported by each of them."""
    code = f"import importlib, json, sys; [importlib.import_module(name) for name in {PRELOADED!r}]"
    code += "; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    packages = ("attributes", "checks", "exports", "filters", "imports", "scans", "scores", "shards", "store", "tokens")
    steps = [path for package in packages for path in (ROOT / "transforms" / package).rglob("*.py")]
    names = {".".join(["byline", *path.relative_to(ROOT).with_suffix("").parts]) for path in steps}
    left_out = {name.removesuffix(".__init__") for name in names} - imported
    # What compares the two libraries, in the driver; texts of the command line.
    assert left_out == {
        f"byline.transforms.tokens.{name}"
        for name in ("comparing", "comparing_characters", "composing_characters", "build_tokenizer")
    }, left_out
