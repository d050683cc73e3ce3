"""No text reaches a terminal with a code that the terminal would act on, however it is printed."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from byline.pipelines.cli import COMMANDS
from byline.pipelines.console import safe_console
from byline.pipelines.console.safe_console import SafeConsole

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9b31m\u202ec\x00\x7f\u2028"
ROOT = Path(safe_console.__file__).parents[1]


def _table(console: Console) -> None:
    table = Table()
    table.add_column(HOSTILE)
    table.add_row(Text(HOSTILE))
    console.print(table)


def _progress(console: Console) -> None:
    with Progress(console=console) as bars:
        bars.add_task(HOSTILE, total=1)


@pytest.mark.parametrize(
    "show",
    [
        lambda console: console.print(HOSTILE),
        lambda console: console.print(HOSTILE, markup=False, highlight=False, soft_wrap=True),
        lambda console: console.print(f"[bold]{HOSTILE}[/]"),
        lambda console: console.print(Text(HOSTILE, "bold")),
        lambda console: console.print(Text.assemble(("x", "red"), HOSTILE)),
        _table,
        _progress,
    ],
)
def test_what_is_printed(show: Callable[[Console], None]) -> None:
    plain = io.StringIO()
    show(SafeConsole(file=plain, width=200))
    assert "[2J" in plain.getvalue()
    assert plain.getvalue().replace("\n", "").isprintable()


def test_rich_may_still_style() -> None:
    coloured = io.StringIO()
    SafeConsole(file=coloured, force_terminal=True, color_system="standard").print(
        "[bold red]error[/] \x1b[2J", highlight=False
    )
    assert coloured.getvalue() == "\x1b[1;31merror\x1b[0m \\x1b[2J\n"


def test_every_command_prints_with_it() -> None:
    assert COMMANDS
    for path in [*(ROOT / "commands").glob("*.py"), *(ROOT / "jobs").glob("*.py")]:
        assert " Console(" not in path.read_text().replace("SafeConsole(", ""), path
