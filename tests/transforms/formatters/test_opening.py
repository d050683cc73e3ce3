"""Functions of one's own as formatters: which can be called with their options, and the sha256 of their modules."""

import sys
from pathlib import Path
from typing import Any

import pytest

from byline.errors import BylineError
from byline.transforms.formatters.formatting import format_batch
from byline.transforms.formatters.opening import formatter_sha256, open_formatter
from tests.transforms.formatters.test_formatting import batch_of, settings_of


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A module of a name of its own in the current folder, as a user has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    file = tmp_path / f"module_of_{request.node.name}.py"
    file.write_text(
        "import pyarrow.compute as pc\n"
        "def upper(batch, *, end='!', start=''):\n"
        "    text = pc.binary_join_element_wise(start, pc.utf8_upper(batch['text']).cast('string'), end, '')\n"
        "    return {'text': text, 'loss_spans': [[0, 1]] * len(batch)}\n"
        "number = 3\n"
    )
    return file


def test_a_function_of_ones_own(module: Path) -> None:
    formatter = open_formatter("mine", settings_of(f"{module.stem}:upper", end="?"))
    found = format_batch(batch_of(["é"]), formatter)
    assert (found["text"].to_pylist(), found["loss_spans"].to_pylist()) == (["É?"], [[0, 1]])


def test_what_cannot_be_called(module: Path) -> None:
    def mistake(name: str, **options: Any) -> str:
        with pytest.raises(BylineError) as error:
            open_formatter("mine", settings_of(name, **options))
        return str(error.value)

    assert mistake(f"{module.stem}:upper", stop="?") == (
        f"sources.mine.formatter: {module.stem}:upper cannot be called with these options (got an unexpected keyword "
        "argument 'stop'); it takes: end, start"
    )
    assert mistake(f"{module.stem}:lower") == f"sources.mine.formatter: {module} has no function 'lower'"
    assert mistake(f"{module.stem}:number") == (
        f"sources.mine.formatter: {module.stem}:number is int, not a function or a Formatter"
    )
    assert mistake("no_such_module:f") == (
        "sources.mine.formatter: no_such_module cannot be imported (No module named 'no_such_module'); install its "
        "package, or run in the folder that holds it"
    )
    (module.parent / "broken_module_of_mine.py").write_text("def f(:\n")
    assert "sources.mine.formatter: broken_module_of_mine cannot be imported (" in mistake("broken_module_of_mine:f")
    assert "cannot be called with these options" in mistake("chat", stop="?")


def test_the_sha256_of_a_module(module: Path) -> None:
    def digest(name: str) -> str | None:
        return formatter_sha256("mine", settings_of(name))

    assert digest("chat") is None
    first = digest(f"{module.stem}:upper")
    assert first == digest(f"{module.stem}:other")
    module.write_text(module.read_text() + "\n")
    assert digest(f"{module.stem}:upper") != first
    for name in ("no_such_module:f", "no_such.module:f", "sys:f"):
        with pytest.raises(BylineError, match=r"^sources\.mine\.formatter: there is no module .*; install its package"):
            digest(name)
