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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.corpora import Classifier
from byline.schemas.documents import LABEL_TYPE, SCORE_TYPE, TEXT, with_columns
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
