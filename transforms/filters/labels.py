"""The rule on the likeliest label of a fastText model: the language, for example."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from byline.errors import BylineError
from byline.schemas.corpora import Classifier
from byline.schemas.model import Location
from byline.transforms.filters.document_view import DocumentView
from byline.transforms.filters.rules import Rule, Test
from byline.transforms.scores.scoring import LABEL_PREFIX, open_scorer, score_batch


class Label(Rule):
    """The likeliest label of a fastText model.

    Attributes:
        model: the model, such as `lid.176.bin`.
        keep: the labels, without `__label__`.
        at_least: the lowest probability accepted.
    """

    kind: ClassVar[str] = "label"
    keeps: ClassVar[str] = (
        "documents whose likeliest label, by the fastText `model`, is in `keep` and has a probability of `at_least`"
    )
    is_costly: ClassVar[bool] = True

    model: Location
    keep: tuple[str, ...] = Field(min_length=1)
    at_least: float = Field(default=0.0, ge=0, le=1)

    def files(self) -> dict[str, str]:
        return {"model": self.model}

    def open(self, cache_folder: str) -> Test:
        scorer = open_scorer("label", Classifier(model=self.model), cache_folder)
        known = [label.removeprefix(LABEL_PREFIX) for label in scorer.model.labels]
        missing = [label for label in self.keep if label not in known]
        if missing:
            shown = ", ".join(known[:20])
            raise BylineError(f"filter.label.keep: {self.model} has no label {missing[0]!r}; it has {shown}")
        wanted = pa.array(self.keep, pa.string())

        def keeps(documents: DocumentView) -> np.ndarray:
            texts = pa.RecordBatch.from_arrays([documents.texts], ["text"])
            scored = score_batch(texts, [scorer])
            is_wanted = pc.is_in(scored["label"].dictionary, wanted).take(scored["label"].indices)
            is_likely = pc.greater_equal(scored["label_score"], pa.scalar(self.at_least, pa.float32()))
            return pc.fill_null(pc.and_(is_wanted, is_likely), False).to_numpy(zero_copy_only=False)

        return keeps
