"""`byline sample`: a small corpus to try Byline with."""

from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.progress import Progress, TaskID

from byline.errors import BylineError
from byline.pipelines.commands.options import error_console


def sample(
    directory: Annotated[str, typer.Argument(metavar="DIR", show_default=False)],
    megabytes: Annotated[float | None, typer.Option(help="MB of text  [default: 12]")] = None,
) -> None:
    """Write a small corpus in the three published layouts, with a tokenizer and a quality classifier."""
    from byline import locations
    from byline.addresses import is_object_address
    from byline.transforms.corpora.made.sample_writing import write_sample

    locations.check(directory)
    if is_object_address(directory):
        raise BylineError(f"{directory}: a sample is written to a folder of this machine; give its path")
    with Progress(console=error_console(), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: float) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=1.0)
            bars.update(tasks[step], completed=done)

        report = write_sample(Path(directory), megabytes, show)
    for name, layout in report.layouts.items():
        typer.echo(
            f"{name}: {len(layout.files)} files, {layout.records} documents, {decimal(layout.text_bytes)} of text"
        )
    typer.echo(f"{report.tokenizer}, {report.classifier}; {report.hosts} hosts")
