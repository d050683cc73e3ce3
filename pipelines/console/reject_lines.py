r"""What `byline rejects` shows.

```
web: 12 of 4,000 records are rejects (0.30 %): malformed 2, missing_text 10
  b.jsonl.gz    11
  a.jsonl.gz     1
web/a.jsonl.gz, row 17, byte 20481: malformed (expected a JSON object): x,y,z\x1b[2J
```
"""

from collections.abc import Sequence
from typing import Any

from byline.printable import printable
from byline.transforms.store.rejects import SourceRejects

# Files of a source.
_MOST_FILES = 20
Reject = tuple[str, str, dict[str, Any]]


def reject_lines(counts: Sequence[SourceRejects], records: Sequence[Reject]) -> list[str]:
    """The lines; nothing in them acts on a terminal."""
    lines = []
    for found in counts:
        share = 100 * found.count / max(found.records, 1)
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.reasons.items())
        line = f"{found.source}: {found.count:,} of {found.records:,} records are rejects ({share:.2f} %)"
        lines.append(f"{line}: {reasons}" if reasons else line)
        shown = found.files[:_MOST_FILES]
        width = max((len(printable(path)) for path, _ in shown), default=0)
        lines += [f"  {printable(path):<{width}}  {count:,}" for path, count in shown]
        if len(found.files) > len(shown):
            lines.append(f"  and {len(found.files) - len(shown):,} more files")
    return [*lines, *(_record_line(*record) for record in records)]


def _record_line(source: str, path: str, reject: dict[str, Any]) -> str:
    where = f"{source}/{printable(path)}, row {reject['row']}"
    if reject["offset"] is not None:
        where += f", byte {reject['offset']}"
    why = "" if reject["why"] is None else f" ({printable(reject['why'])})"
    head = "" if reject["head"] is None else f": {_as_text(reject['head'])}"
    return f"{where}: {reject['reason']}{why}{head}"


def _as_text(head: bytes) -> str:
    """The first bytes of a record as text, those that are not UTF-8 as `\\xff`."""
    return printable(head.decode(errors="backslashreplace"))


def reject_values(counts: Sequence[SourceRejects], records: Sequence[Reject]) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "sources": {
            found.source: {"records": found.records, "rejects": found.reasons, "files": dict(found.files)}
            for found in counts
        },
        "records": [
            {
                "source": source,
                "path": path,
                **reject,
                "head": None if reject["head"] is None else reject["head"].decode(errors="backslashreplace"),
            }
            for source, path, reject in records
        ],
    }
