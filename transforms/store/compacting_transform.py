"""MergeRuns: the step of a pipeline that merges runs (`byline.transforms.store.compacting`)."""

from collections.abc import Iterator

import apache_beam as beam

from byline.errors import BylineError
from byline.transforms.files.storage import exists
from byline.transforms.store.compacting import MergeGroup, merge_runs


class _MergeFn(beam.DoFn):
    def process(self, line: str) -> Iterator[str]:
        group = MergeGroup.from_json(line)
        if not exists(group.target):
            try:
                merge_runs(group.uris, group.target)
            except (BylineError, OSError):
                # Another worker has merged the same group, and its inputs are already deleted.
                if not exists(group.target):
                    raise
        yield group.target


class MergeRuns(beam.PTransform):
    """Groups as lines of JSON (`MergeGroup`) -> paths of their merged runs, once these exist."""

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | "MergeGroup" >> beam.ParDo(_MergeFn())
