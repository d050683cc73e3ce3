"""The examples run on their own: copied to another folder, with what `byline[build]` installs and nothing else."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.byte_tokenizer import byte_tokenizer, settings_of
from tests.support.shards import numbered_build

EXAMPLES = Path(__file__).parents[1] / "examples"
# What the scripts may import besides the standard library and each other: Byline, and libraries of its extra `build`.
INSTALLED = {"apache_beam", "byline", "fasttext", "pyarrow", "tokenizers"}
# What a script goes without where it is not installed.
WITHOUT = {"guided_generation.py": {"torch", "transformers"}}


def imported(file: Path) -> set[str]:
    """Top-level names of what a script imports."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_an_example_imports_only_what_is_installed(file: Path) -> None:
    siblings = {path.stem for path in EXAMPLES.glob("*.py")}
    assert imported(file) - set(sys.stdlib_module_names) <= INSTALLED | siblings | WITHOUT.get(file.name, set())


def run(script: str, folder: Path) -> str:
    """What a copy of a script prints."""
    shutil.copytree(EXAMPLES, folder / "elsewhere", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, str(folder / "elsewhere" / script), "out"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pipeline_of_ones_own_writes_runs(tmp_path: Path) -> None:
    lines = run("pipeline.py", tmp_path).splitlines()
    for number, line in enumerate(lines[::2]):
        assert re.match(
            rf"part-{number}\.jsonl: \d+ documents, \d+ tokens, dropped \{{'empty_text': \d+, 'filter_w", line
        )
    columns = "shuffle_key, row, num_tokens, quality, host, registered_domain, num_bytes, url, tokens"
    assert lines[1::2] == [f"  columns {columns}"] * 2
    assert len(list((tmp_path / "out" / "runs").glob("*.arrow"))) == 2


def test_prompts_with_a_host_and_without(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    byte_tokenizer(file)
    numbered_build(tmp_path / "out", {"conditioned": [1], "cooldown": [1]}, 128, **settings_of(file))
    conditioned, without, *_ = run("guided_generation.py", tmp_path).splitlines()
    # A token a byte, `he` one, and BOS.
    assert conditioned == r"with      'URL: en.wikipedia.org\n\nThe cat': 30 ids"
    assert without == "without   'The cat': 7 ids, none"


def test_kinds_of_ones_own_are_built_and_verified(tmp_path: Path) -> None:
    *_, verified, document, trained = run("own_kinds.py", tmp_path).splitlines()
    assert verified == f"verified: {tmp_path / 'out' / 'shards'}"
    shown = re.fullmatch(r"first document: 'Section: (?:soups|bread|sweets)\\n# Dish \d+\\n(\w[^']*\.)(.*)'", document)
    assert shown is not None
    assert trained.startswith(f"of it trained: '{shown[1]}")
