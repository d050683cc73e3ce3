"""Quality scores and labels: one or two columns for each classifier.

```
classifiers                                         columns added
quality: {model: q.bin, label: __label__hq}         quality      float32, the probability of __label__hq
topic:   {model: t.bin}                             topic        dictionary<int32, string>, the likeliest label
                                                    topic_score  float32, its probability

text              quality   topic     topic_score
"How to ..."      0.913     "cooking" 0.55            labels lose the prefix `__label__`
""                0.208     "news"    0.31            an empty text is scored as an empty line
null              null      null      null            likewise for a text in which the model knows nothing at all
```

Of equally likely labels the first in the model's order is taken. A classifier is skipped for a source whose files have
a score of the same name: the column exists already. `fasttext_folding` says what a probability means.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.corpora import Classifier
from byline.schemas.documents import LABEL_TYPE, SCORE_TYPE, TEXT, info_of, with_columns
from byline.transforms.documents.counters import count
from byline.transforms.scores.fasttext_folding import Model, open_model

LABEL_PREFIX = "__label__"
_LABELS_SHOWN = 20
# Documents scored at a time, so that the probabilities of a model with many labels stay small beside the batch itself.
_SCORED_ROWS = 1 << 16


@dataclass(frozen=True)
class Scorer:
    """One classifier, opened.

    Attributes:
        name: of its column.
        model: computes the probabilities.
        label: number of the label whose probability is the score; None for the likeliest label.
    """

    name: str
    model: Model
    label: int | None


def open_scorer(name: str, classifier: Classifier, cache_folder: str) -> Scorer:
    """Opens a classifier's model.

    Args:
        name: of its column.
        classifier: its model and label.
        cache_folder: where folded models are kept.

    Raises:
        BylineError: the model cannot be opened, or has no such label.
    """
    model = open_model(classifier.model, cache_folder)
    if classifier.label is None:
        return Scorer(name, model, None)
    if classifier.label not in model.labels:
        shown = ", ".join(model.labels[:_LABELS_SHOWN])
        more = f" and {len(model.labels) - _LABELS_SHOWN} more" if len(model.labels) > _LABELS_SHOWN else ""
        raise BylineError(
            f"classifiers.{name}.label: {classifier.model} has no label {classifier.label!r}; it has {shown}{more}"
        )
    return Scorer(name, model, model.labels.index(classifier.label))


def _scores(values: np.ndarray) -> pa.Array:
    """Float32 with null for NaN."""
    return pa.array(values, SCORE_TYPE, mask=np.isnan(values))


def _likeliest(labels: Sequence[str], probabilities: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """The likeliest label of each row (dictionary<int32, string>) and its probability."""
    missing = np.isnan(probabilities[:, 0])
    best = np.argmax(probabilities, axis=1)
    indices = pa.array(best.astype(np.int32), mask=missing)
    names = pa.array([label.removeprefix(LABEL_PREFIX) for label in labels], LABEL_TYPE.value_type)
    return pa.DictionaryArray.from_arrays(indices, names), _scores(probabilities[np.arange(len(best)), best])


def _score_rows(texts: pa.Array, scorers: Sequence[Scorer]) -> dict[str, pa.Array]:
    """The columns of all scorers for some documents; a model that two scorers share runs once."""
    models = {id(scorer.model): scorer.model for scorer in scorers}
    by_model = {key: model.probabilities(texts) for key, model in models.items()}
    columns: dict[str, pa.Array] = {}
    for scorer in scorers:
        probabilities = by_model[id(scorer.model)]
        if scorer.label is not None:
            columns[scorer.name] = _scores(probabilities[:, scorer.label])
        else:
            likeliest = _likeliest(scorer.model.labels, probabilities)
            columns[scorer.name], columns[f"{scorer.name}_score"] = likeliest
    return columns


def score_batch(batch: pa.RecordBatch, scorers: Sequence[Scorer]) -> pa.RecordBatch:
    """Adds the columns of the scorers to a document batch; its schema metadata is kept.

    Args:
        batch: with `text`.
        scorers: of `open_scorer`; without any, the batch is given back as it is.

    Raises:
        BylineError: there is no column `text`.
    """
    if not scorers:
        return batch
    batch = with_columns(batch, "ScoreQuality", TEXT)
    texts = batch.column("text")
    starts = range(0, max(len(texts), 1), _SCORED_ROWS)
    parts = [_score_rows(texts.slice(start, _SCORED_ROWS), scorers) for start in starts]
    added = {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}
    schema = batch.schema
    for name, column in added.items():
        schema = schema.append(pa.field(name, column.type))
    return pa.record_batch([*batch.columns, *added.values()], schema=schema)


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
