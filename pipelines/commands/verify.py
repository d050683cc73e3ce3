"""`byline verify`: recounts a finished build from its files."""

from collections.abc import Sequence
from typing import Annotated

import typer

from byline.errors import BylineError
from byline.pipelines.commands.options import (
    BeamOptions,
    OutPath,
    RunnerName,
    TokenizerFile,
    Verbose,
    Workers,
    output_console,
    runner_settings,
)
from byline.pipelines.quick_imports import quick_imports

# Of an export there are bytes to compare, here and at once.
_ALSO_OF_EXPORTS = ("out", "verbose")
# Of an import there are no documents and no token store.
_ALSO_OF_IMPORTS = (*_ALSO_OF_EXPORTS, "allow_missing", "workers", "runner", "options")


def verify(
    context: typer.Context,
    out: OutPath,
    documents: Annotated[int, typer.Option(min=0, help="documents of the raw corpora to compare token by token")] = 64,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="do not assemble every shard again from the token store")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="compare every raw file with its checksum of when it was prepared")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="exit status 0 though the store or corpora are gone (else 2)")
    ] = False,
    tokenizer: TokenizerFile = None,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Recount every invariant, checksum and line of the ledger from the files; of an export, every checksum.

    An import is compared with the folders that it was made of.

    Exit status: 0 verified, 1 something is wrong, 2 nothing is wrong but not all could be compared.
    """
    with quick_imports():
        from byline.pipelines.jobs import export, verify_import
        from byline.pipelines.jobs import verify as job
        from byline.transforms.exports.export_manifest import check_finished, is_export
        from byline.transforms.imports.import_builds import is_import

    how_to_run = runner_settings(workers, verbose, runner, options)
    how_to_run.check_locations([("OUT", out), *([("--tokenizer", tokenizer)] if tokenizer else [])])
    if is_export(out):
        _check_options(context, f"{out}: is an export", _ALSO_OF_EXPORTS, "give its folder alone")
        raise typer.Exit(export.verify_export(out, output_console()))
    check_finished(out)
    if is_import(out):
        _check_options(context, f"{out}: is an import", _ALSO_OF_IMPORTS, "leave it out")
        raise typer.Exit(verify_import.verify_import(out, how_to_run, output_console(), allow_missing=allow_missing))
    status = job.verify(
        out,
        documents,
        tokenizer,
        how_to_run,
        output_console(),
        with_store=not no_store,
        raw=raw,
        allow_missing=allow_missing,
    )
    raise typer.Exit(status)


def _check_options(context: typer.Context, what: str, used: Sequence[str], advice: str) -> None:
    """Refuses options of the command line other than those that are used, which a user would think did something."""
    needless = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in used
        and getattr(context.get_parameter_source(str(parameter.name)), "name", None) == "COMMANDLINE"
    ]
    if needless:
        raise BylineError(f"{what}, whose check takes no {', no '.join(needless)}; {advice}")
