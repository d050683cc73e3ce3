"""The command line: which commands there are, and what becomes of a mistake or an interrupt.

```
byline sample DIR               byline verify OUT
byline build CONFIG             byline inspect OUT [--row N]
byline prepare CONFIG           byline prompt OUT host=example.org TEXT
byline plan CONFIG              byline doctor [CONFIG]
byline assemble CONFIG          byline weights doremi|skillit TABLE
byline diff A.yaml B.yaml       byline compact CONFIG
byline rejects CONFIG           byline export OUT --to FORMAT DIR
byline import DIR OUT --from KIND   byline lab RECIPE [--small]
```

A command is a module of `byline.pipelines.commands` with a function, or an app with commands of its own, that bears its
name (and `_` behind it where Python has a use for the word); a mistake is one line on standard error.
"""

import importlib
import importlib.metadata
import logging
import sys
import traceback
from types import TracebackType
from typing import Annotated

from byline.errors import BylineError
from byline.pipelines.runners import interrupts
from byline.printable import printable, shortened

try:
    import typer
    from rich.markup import escape
except ModuleNotFoundError as missing:
    sys.exit(f"byline: {missing.name} is not installed; in a clone: pip install '.[build]'")

# In the order of `byline --help`.
COMMANDS = (
    "sample",
    "build",
    "prepare",
    "plan",
    "diff",
    "assemble",
    "compact",
    "attribute",
    "verify",
    "export",
    "import_",
    "inspect",
    "prompt",
    "rejects",
    "doctor",
    "weights",
    "lab",
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"byline {importlib.metadata.version('byline')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="the version, and nothing else")
    ] = False,
) -> None:
    pass


def make_app() -> typer.Typer:
    """The application with every command."""
    made = typer.Typer(
        help="Pre-tokenized training data for metadata-conditioned pre-training, exact to the token.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        callback=_options,
    )
    for name in COMMANDS:
        command = getattr(importlib.import_module(f"byline.pipelines.commands.{name}"), name)
        if isinstance(command, typer.Typer):
            made.add_typer(command, name=name)
        else:
            made.command(name.rstrip("_"))(command)
    return made


app = make_app()


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of Byline's own, whose message may hold a name from anywhere."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace)), keep="\n"))


def main() -> None:
    """Runs a command; a user's mistake ends it with one line and exit status 1."""
    # Beam warns, when it is imported, about parts that only other runners need.
    logging.getLogger().setLevel(logging.INFO if "--verbose" in sys.argv else logging.CRITICAL)
    interrupts.watch()
    sys.excepthook = _show_traceback
    try:
        app()
    except BaseException as error:
        # Before anything else: an interrupt comes out of Beam as an error, and of typer as an exit.
        if interrupts.is_stopped():
            if "--verbose" in sys.argv:
                _show_traceback(type(error), error, error.__traceback__)
            interrupts.end_process()
        if not isinstance(error, BylineError) or "--verbose" in sys.argv:
            raise
        from byline.pipelines.commands.options import error_console

        message = shortened(str(error))
        error_console().print(f"[bold red]error[/] {escape(message)}", soft_wrap=True, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
