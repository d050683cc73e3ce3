"""What `byline verify` prints: one line for each kind of check, and the first problems below it.

```
ok    files        12 shards, 1.6 MB: bytes, sha256, columns
wrong rows         2 problems
      conditioned/00003-of-00012.arrow: row 17: ...
not   token store  not compared: --no-store
```
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape

from byline.transforms.checks.findings import Extent, Finding

_SHOWN = 20
# Exit statuses: all was compared and is right; something is wrong; nothing is wrong, but not all could be compared.
VERIFIED, WRONG, NOT_ALL_COMPARED = 0, 1, 2


def show_findings(findings: Iterable[Finding], console: Console) -> list[Finding]:
    """Prints each finding as soon as it is made; returns them."""
    shown = []
    for finding in findings:
        _show(finding, console)
        shown.append(finding)
    return shown


def _show(finding: Finding, console: Console) -> None:
    problems = finding.problems
    if finding.extent is not Extent.COMPARED:
        console.print(f"[yellow]not[/]   {finding.name:<12} {escape(finding.summary)}", highlight=False, soft_wrap=True)
        return
    mark = "[red]wrong[/]" if problems else "[green]ok[/]   "
    summary = f"{len(problems)} problems" if problems else finding.summary
    console.print(f"{mark} {finding.name:<12} {summary}", highlight=False, soft_wrap=True)
    for problem in problems[:_SHOWN]:
        console.print(f"      {problem}", highlight=False, markup=False, soft_wrap=True)
    if len(problems) > _SHOWN:
        console.print(f"      and {len(problems) - _SHOWN} more", highlight=False)


def show_outcome(
    out: str,
    findings: Sequence[Finding],
    has_wrong_shards: bool,
    console: Console,
    *,
    allow_missing: bool,
    command: str = "byline build",
) -> int:
    """The last line, and what to do.

    Args:
        out: the build's folder.
        findings: all of them.
        has_wrong_shards: whether a shard has a problem.
        console: where to.
        allow_missing: whether what could not be compared counts as verified.
        command: what writes shards that are gone.

    Returns:
        The exit status.
    """
    problems = sum(len(finding.problems) for finding in findings)
    missing = ", ".join(dict.fromkeys(finding.name for finding in findings if finding.extent is Extent.MISSING))
    if not problems and missing and not allow_missing:
        console.print(
            f"[bold yellow]not all compared[/]: {escape(out)}: nothing is wrong, but of {missing} not all could be "
            "compared; bring it back, or give --allow-missing",
            highlight=False,
            soft_wrap=True,
        )
        return NOT_ALL_COMPARED
    if not problems:
        but_for = f" (not all compared: {missing})" if missing else ""
        console.print(f"[bold green]verified[/]: {escape(out)}{but_for}", highlight=False, soft_wrap=True)
        return VERIFIED
    if has_wrong_shards:
        console.print(
            f"delete the shards that are wrong and run `{command}` again: they alone are written", highlight=False
        )
    console.print(f"[bold red]not verified[/]: {problems} problems in {escape(out)}", highlight=False)
    return WRONG
