"""`byline import`: rows that something else packed, as shards."""

from typing import Annotated, Literal

import typer

from byline.pipelines.commands.options import (
    BeamOptions,
    Overwrite,
    RunnerName,
    Verbose,
    Workers,
    output_console,
    runner_settings,
)
from byline.pipelines.quick_imports import quick_imports


def import_(
    folders: Annotated[
        list[str], typer.Argument(metavar="[PHASE:]DIR...", help="folders in training order", show_default=False)
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="a folder or address for the shards", show_default=False)],
    kind: Annotated[str, typer.Option("--from", metavar="KIND", help="what the folders hold: mds-meco")],
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="FILE", help="the tokenizer.json that made the tokens")
    ] = None,
    vocabulary: Annotated[
        int | None,
        typer.Option("--vocabulary", min=1, max=1 << 31, help="how many ids there are, without a tokenizer.json"),
    ] = None,
    bos: Annotated[str | None, typer.Option("--bos", help="what segments begin with: a token, or an id")] = None,
    eos: Annotated[str | None, typer.Option("--eos", help="what they end with")] = None,
    pad: Annotated[str | None, typer.Option("--pad", help="what fills rows")] = None,
    ids: Annotated[Literal["int32", "uint16"], typer.Option("--ids", help="type of the ids in shards")] = "int32",
    sequences: Annotated[int, typer.Option(min=1, help="the most rows of a shard of several files")] = 4096,
    overwrite: Overwrite = False,
    workers: Workers = None,
    runner: RunnerName = "local",
    options: BeamOptions = None,
    verbose: Verbose = False,
) -> None:
    """Read packed rows of another pipeline, such as MeCo's own, as shards that can be verified and read."""
    with quick_imports():
        from byline import locations
        from byline.pipelines.jobs import import_ as job
        from byline.schemas.imports import NamedTokenizer
        from byline.transforms.imports.planning import AskedImport, NamedFolder

    how_to_run = runner_settings(workers, verbose, runner, options)
    named = [NamedFolder.of(word) for word in folders]
    how_to_run.check_locations([("OUT", out), *(("DIR", one.folder) for one in named)])
    # Other commands may run in another folder.
    file = None if tokenizer is None else locations.absolute(tokenizer)
    asked = AskedImport(named, NamedTokenizer(file, bos, eos, pad), vocabulary, ids, sequences)
    job.import_folders(asked, kind, out, how_to_run, output_console(), overwrite=overwrite)
