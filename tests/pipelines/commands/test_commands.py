"""The command line: every command's help, settings, and what each step writes and leaves alone."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from byline.pipelines import cli
from byline.pipelines.cli import app
from tests.support.builds import digests, manifest_of
from tests.support.corpora import Corpus, recipe, write_recipe

ROOT = Path(__file__).parents[3]
COMMANDS = ["sample", "build", "prepare", "plan", "assemble", "compact", "attribute"]
COMMANDS += ["rejects", "verify", "inspect", "prompt", "doctor", "diff", "export", "import", "lab"]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False, env={"COLUMNS": "200"})


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def path(corpus: Corpus, tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "recipe.yaml", recipe(corpus, tmp_path))


def test_the_help_names_every_command() -> None:
    done = run("--help")
    assert done.exit_code == 0
    assert sorted(re.findall(r"^  ([a-z]+)  ", done.output, re.MULTILINE)) == sorted([*COMMANDS, "weights"])


def test_the_version_is_the_installed_ones() -> None:
    done = run("--version")
    assert (done.exit_code, done.output) == (0, f"byline {version('byline')}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command(command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    usage, about, *_ = (line for line in done.output.splitlines() if line)
    assert f" {command} " in usage
    assert about.startswith("  ")
    if command in ("build", "prepare", "plan", "assemble", "compact", "attribute"):
        assert "--set" in done.output


def test_each_module_of_commands_is_in_the_table() -> None:
    modules = {path.stem for path in (ROOT / "pipelines/commands").glob("*.py")}
    assert modules == {*cli.COMMANDS, "options", "__init__"}


def test_the_help_imports_nothing_heavy() -> None:
    heavy = ("apache_beam", "numba", "pydantic", "tokenizers", "byline.schemas", "byline.transforms")
    program = f"import sys, byline.pipelines.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_a_command_the_help_is_shown() -> None:
    assert "Usage" in run().output


def test_a_wrong_option_is_told() -> None:
    done = run("build", "a.yaml", "--colour")
    assert done.exit_code == 2
    assert "No such option" in done.output


def test_the_steps_one_by_one_are_the_build(path: Path, tmp_path: Path, built: Path) -> None:
    done = run("prepare", path)
    assert done.exit_code == 0, done.output
    assert re.findall(r"^prepare   ([a-z0-9]+): ([0-9]+) files", done.output, re.MULTILINE) == [
        ("c4", "3"),
        ("dclm", "2"),
        ("mine", "3"),
        ("refinedweb", "2"),
    ]
    assert not (tmp_path / "shards").exists()
    again = run("prepare", path)
    first, *rest = again.output.splitlines()
    funnel, fields = rest[:-4], rest[-4:]
    assert first == f"prepare   nothing to do: 10 files are in {tmp_path}/store"
    sources = ["c4", "dclm", "mine", "refinedweb"]
    assert [line.split()[0] for line in funnel if line[0] != " "] == ["source", *sources]
    assert [line.partition(":")[0] for line in fields] == [f"fields of {name}" for name in sources]

    before = files(tmp_path)
    planned = run("plan", path)
    assert planned.exit_code == 0
    assert files(tmp_path) == before
    assert not (tmp_path / "shards").exists()

    assert run("assemble", path).exit_code == 0
    assert digests(tmp_path / "shards") == digests(built)
    assert f"assemble  nothing to do: {tmp_path}/shards is finished" in run("assemble", path).output


def test_plan_shows_what_goes_where(path: Path, tmp_path: Path, make_build: Callable[..., Path], built: Path) -> None:
    store = built.parent / "store"
    done = run("plan", path, "--set", f"store={store}")
    words = [line.split() for line in done.output.splitlines()]
    lines = {
        tuple(line[:2]): line[2:]
        for line in words
        if line and line[0] in ("conditioned", "cooldown") and line[1].isalnum()
    }
    shares = {line[0]: line[1:] for line in words if line and line[0] in ("c4", "dclm", "mine", "refinedweb")}
    assert "conditioned" in done.output
    assert set(shares) == {"dclm", "mine", "refinedweb"}
    drawn = manifest_of(built)["ledger"]["phases"]["conditioned"]["sources"]["c4"]
    assert lines["conditioned", "c4"][:2] == [f"{drawn['documents']:,}", f"{drawn['tokens']:,}"]
    assert "unused of c4 (selection): " in done.output
    assert not (tmp_path / "shards").exists()
    assert files(store) == files(store)


def test_a_finished_output_is_left_as_it_is_by_plan(path: Path, built: Path) -> None:
    before = files(built)
    done = run("plan", path, "--set", f"store={built.parent / 'store'}", "--set", f"output={built}", "--set", "seed=7")
    assert done.exit_code == 0
    assert files(built) == before


def test_settings_are_yaml_and_apply_in_order(path: Path, built: Path, tmp_path: Path) -> None:
    sets = [
        f"store={built.parent / 'store'}",
        f"output={tmp_path / 'other'}",
        "seed=1",
        "seed=2",
        "phases.cooldown.select=null",
        "phases.0.condition.template='{host}: '",
        "mixture={c4: 0.5, mine: 0.5}",
        "tokens=5K",
    ]
    done = run("build", path, *[word for value in sets for word in ("--set", value)])
    assert done.exit_code == 0, done.output
    config = manifest_of(tmp_path / "other")["config"]
    assert (config["seed"], config["tokens"], config["mixture"]["weights"]) == (2, 5000, {"c4": 0.5, "mine": 0.5})
    assert config["phases"][1]["select"] == []
    assert config["phases"][0]["condition"]["template"] == "{host}: "


def test_build_says_what_it_did_in_a_pipe(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "byline.pipelines.cli", "build", str(path), "--workers", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    steps = [line.split()[0] for line in done.stdout.splitlines() if re.match(r"prepare|plan |assemble", line)]
    assert steps == ["prepare"] * 5 + ["plan", "assemble"]
    # Lines with all fields of a source, and warnings, are the longest; a pipe breaks none.
    assert max(map(len, done.stdout.splitlines())) <= 400 + len(str(tmp_path))


def test_verify_says_what_it_checked(built: Path) -> None:
    done = run("verify", built, "--documents", "20")
    assert done.exit_code == 0
    assert [line[:18].split(None, 1) for line in done.output.splitlines()[:7]] == [
        ["ok", "runs        "],
        ["ok", "files       "],
        ["ok", "rows        "],
        ["ok", "ledger      "],
        ["ok", "phases      "],
        ["ok", "token store "],
        ["ok", "raw corpus  "],
    ]
    sampled = int(re.search(r"([0-9]+) sampled segments", done.output)[1])
    assert 5 <= sampled <= 60


def test_verify_takes_a_tokenizer_that_was_moved(built: Path, corpus: Corpus, tmp_path: Path) -> None:
    moved = tmp_path / "t.json"
    moved.write_bytes(corpus.tokenizer.read_bytes())
    assert run("verify", built, "--tokenizer", moved).exit_code == 0


def test_inspect_and_prompt_of_a_build(built: Path) -> None:
    shown = run("inspect", built, "--row", "0")
    assert shown.exit_code == 0
    assert "⟦⟨<|endoftext|>⟩URL: " in shown.output
    cooldown = run("inspect", built, "--phase", "cooldown")
    assert "⟦" not in cooldown.output.split("\n", 3)[3]
    prompt = run("prompt", built, "host=en.wikipedia.org", "The river")
    assert prompt.exit_code == 0
    assert "URL: en.wikipedia.org" in prompt.output


def test_doctor_finds_nothing_wrong_with_the_recipe(path: Path) -> None:
    done = run("doctor", path)
    assert done.exit_code == 0, done.output


def test_a_configuration_may_extend_another(path: Path, built: Path, tmp_path: Path) -> None:
    child: dict[str, Any] = {"extends": "recipe.yaml", "output": str(tmp_path / "child"), "seed": 5}
    (tmp_path / "child.yaml").write_text(json.dumps({**child, "store": str(built.parent / "store")}))
    done = run("plan", tmp_path / "child.yaml")
    assert done.exit_code == 0
    assert re.search(r"^conditioned +1[34][0-9] +[89],[0-9]{3} ", done.output, re.MULTILINE)
