"""ScoreQuality: the step of a pipeline that scores documents (`byline.transforms.scores.scoring`)."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

import apache_beam as beam
import pyarrow as pa

from byline.schemas.corpora import Classifier
from byline.schemas.documents import info_of
from byline.transforms.documents.beam_counters import count
from byline.transforms.scores.scoring import open_scorer, score_batch


class _ScoreBatches(beam.DoFn):
    def __init__(
        self, classifiers: Mapping[str, Classifier], cache_folder: str, own_scores: Mapping[str, AbstractSet[str]]
    ) -> None:
        self._classifiers, self._cache_folder, self._own_scores = classifiers, cache_folder, own_scores

    def setup(self) -> None:
        self._scorers = [open_scorer(name, item, self._cache_folder) for name, item in self._classifiers.items()]

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        started = time.monotonic()
        own_scores = self._own_scores.get(info_of(batch).source, frozenset())
        scorers = [scorer for scorer in self._scorers if scorer.name not in own_scores]
        scored = score_batch(batch, scorers)
        if scorers:
            milliseconds = round(1000 * (time.monotonic() - started))
            count({"documents_scored": len(batch), "score_milliseconds": milliseconds})
        yield scored


class ScoreQuality(beam.PTransform):
    """Document batches -> the same with the classifiers' columns.

    Args:
        classifiers: by name, as in the configuration.
        cache_folder: for folded models, a folder that every worker can reach; None for one on this machine.
        own_scores: source -> names of the scores that its files already have.
    """

    def __init__(
        self,
        classifiers: Mapping[str, Classifier],
        cache_folder: str | None = None,
        own_scores: Mapping[str, AbstractSet[str]] | None = None,
    ) -> None:
        super().__init__()
        folder = os.path.join(tempfile.gettempdir(), "byline-models") if cache_folder is None else cache_folder
        self._settings = (dict(classifiers), folder, dict(own_scores or {}))

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        return batches | "ScoreBatches" >> beam.ParDo(_ScoreBatches(*self._settings))
