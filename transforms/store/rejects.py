"""The rejects of the token store: what was dropped of each chunk, and whether it is more than its source allows.

```
STORE/c4/<fingerprint>/91c3...-00000.arrow            a run
STORE/c4/<fingerprint>/rejects/91c3...-00000.feather  the rejects of its chunk (documents/rejects.py), by row
```

A chunk without rejects has no such file. It is written before the run and deleted after it; merging runs leaves it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.printable import one_line
from byline.schemas.corpora import Source
from byline.schemas.reasons import REJECT_REASONS, DropReason
from byline.schemas.store import RunInfo
from byline.transforms.documents.rejects import REJECTS
from byline.transforms.documents.values import missing_advice
from byline.transforms.files import storage
from byline.transforms.store.run_names import run_name

_FOLDER = "rejects"


def rejects_uri(folder: str, run: RunInfo) -> str:
    """Where the rejects of a chunk are.

    Args:
        folder: of the source's runs.
        run: the chunk.
    """
    name = run_name(run.source, run.path, run.chunk).removesuffix(".arrow")
    return storage.join(folder, _FOLDER, f"{name}.feather")


def write_rejects(rejects: pa.Table, uri: str) -> None:
    """Writes the rejects of a chunk, if there are any."""
    if not len(rejects):
        return
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    ordered = rejects.take(pc.sort_indices(rejects, [("row", "ascending")])).combine_chunks()
    with storage.write_file(uri) as sink, pa.ipc.new_file(sink, REJECTS, options=options) as writer:
        writer.write_table(ordered)


def read_rejects(uri: str) -> pa.Table:
    """The rejects of a chunk, by row. Raises: BylineError: the file cannot be read."""
    with storage.open_unmapped(uri) as source:
        try:
            return pa.ipc.open_file(source).read_all().cast(REJECTS)
        except (pa.ArrowException, OSError) as error:
            reason = one_line(error)
            raise BylineError(
                f"{uri}: cannot be read ({reason}); delete it, and the run of its name beside it"
            ) from None


def rejected(run: RunInfo) -> dict[str, int]:
    """Rejects of a chunk by reason, without those that are 0."""
    return {reason: count for reason, count in run.dropped.items() if reason in REJECT_REASONS and count}


@dataclass(frozen=True)
class SourceRejects:
    """The rejects of a source.

    Attributes:
        source: its name.
        records: how many were read.
        reasons: reason -> rejects.
        files: (path, rejects) of the files that have some, most first.
    """

    source: str
    records: int
    reasons: dict[str, int]
    files: list[tuple[str, int]]

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.reasons.values())


def count_rejects(runs: Iterable[RunInfo]) -> list[SourceRejects]:
    """The rejects of each source that has runs, by name."""
    records: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    files: dict[str, Counter[str]] = {}
    for run in runs:
        records[run.source] += run.rows_read
        reasons.setdefault(run.source, Counter()).update(rejected(run))
        files.setdefault(run.source, Counter()).update({run.path: sum(rejected(run).values())})
    return [
        SourceRejects(
            source,
            records[source],
            {reason: reasons[source][reason] for reason in REJECT_REASONS if reasons[source][reason]},
            sorted(((path, n) for path, n in files[source].items() if n), key=lambda item: (-item[1], item[0])),
        )
        for source in sorted(reasons)
    ]


def check_rejected(sources: Mapping[str, Source], runs: Iterable[RunInfo]) -> None:
    """Checks that no source has more rejects than its `max_rejected`.

    Raises:
        BylineError: one has.
    """
    for found in count_rejects(runs):
        allowed = sources[found.source].max_rejected
        if found.count > allowed * found.records:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.reasons.items())
            share = f"{100 * found.count / found.records:.2f} %"
            if found.reasons.get(DropReason.MISSING_TEXT.value, 0) == found.records:
                advice = f"no record has a text: {missing_advice(found.source, 'text')}"
            else:
                advice = f"see `byline rejects CONFIG --source {found.source}`, and mend the files, or raise it"
            raise BylineError(
                f"sources.{found.source}.max_rejected: {found.count:,} of {found.records:,} records were dropped "
                f"({share}: {reasons}), and {float(100 * allowed):g} % may be; {advice}"
            )


def first_rejects(
    folders: Mapping[str, str], runs: Iterable[RunInfo], reason: str | None
) -> Iterator[tuple[str, str, dict[str, object]]]:
    """(source, path, reject) of each reject, by source, path and row; a file is read when its turn comes.

    Args:
        folders: source -> folder of its runs.
        runs: of them.
        reason: the only one; None for all.
    """
    for run in runs:
        if not rejected(run) or (reason is not None and reason not in rejected(run)):
            continue
        table = read_rejects(rejects_uri(folders[run.source], run))
        for reject in table.to_pylist():
            if reason is None or reject["reason"] == reason:
                yield run.source, run.path, reject
