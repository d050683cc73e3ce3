"""What `byline verify` prints: one line for each kind of check, and the first problems below it.

```
ok    files        12 shards, 1.6 MB: bytes, sha256, columns
wrong rows         2 problems
      conditioned/00003-of-00012.arrow: row 17: ...
not   token store  not compared: --no-store
```
"""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from byline.transforms.checks.findings import Finding

_SHOWN = 20


def show_findings(findings: Iterable[Finding], console: Console) -> int:
    """Prints each finding as soon as it is made; returns the number of problems."""
    return sum(_show(finding, console) for finding in findings)


def _show(finding: Finding, console: Console) -> int:
    problems = finding.problems
    if not finding.is_compared:
        console.print(f"[yellow]not[/]   {finding.name:<12} {escape(finding.summary)}", highlight=False, soft_wrap=True)
        return 0
    mark = "[red]wrong[/]" if problems else "[green]ok[/]   "
    summary = f"{len(problems)} problems" if problems else finding.summary
    console.print(f"{mark} {finding.name:<12} {summary}", highlight=False, soft_wrap=True)
    for problem in problems[:_SHOWN]:
        console.print(f"      {problem}", highlight=False, markup=False, soft_wrap=True)
    if len(problems) > _SHOWN:
        console.print(f"      and {len(problems) - _SHOWN} more", highlight=False)
    return len(problems)


def show_outcome(out: str, problems: int, has_wrong_shards: bool, console: Console) -> None:
    """The last line, and what to do.

    Args:
        out: the build's folder.
        problems: how many there are.
        has_wrong_shards: whether any of them is of a shard.
        console: where to.
    """
    if not problems:
        console.print(f"[bold green]verified[/]: {escape(out)}", highlight=False)
        return
    if has_wrong_shards:
        console.print(
            "delete the shards that are wrong and run `byline build` again: they alone are written", highlight=False
        )
    console.print(f"[bold red]not verified[/]: {problems} problems in {escape(out)}", highlight=False)
