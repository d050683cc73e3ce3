"""The kind `classifier`: a fastText model over the texts of prepared documents (`byline.transforms.scores`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from byline.schemas.attribute_kinds.attribute import Attribute
from byline.schemas.attribute_kinds.classifier import ClassifierAttribute
from byline.schemas.config import Config
from byline.schemas.corpora import Classifier
from byline.transforms.attributes.by_chunk import Columns, round_by_chunk
from byline.transforms.attributes.rounds import AttributeKind, Context, Rounds
from byline.transforms.files.checksums import sha256_of
from byline.transforms.scores.models_folder import A_MODEL, models_folder
from byline.transforms.scores.scoring import open_scorer, score_batch


@dataclass(frozen=True)
class _Opened:
    """Opens the model where the work is done."""

    name: str
    model: str
    label: str | None
    models: str

    def __call__(self) -> Columns:
        scorer = open_scorer(self.name, Classifier(model=self.model, label=self.label), self.models)

        def columns(batch: pa.RecordBatch) -> Mapping[str, pa.Array]:
            scored = score_batch(batch.select(["text"]), [scorer])
            made = {name: scored[name] for name in scored.schema.names if name != "text"}
            return {name: column.cast(pa.string()) if _is_label(column) else column for name, column in made.items()}

        return columns


def _is_label(column: pa.Array) -> bool:
    return pa.types.is_dictionary(column.type)


def _rounds(context: Context) -> Rounds:
    settings = context.settings
    assert isinstance(settings, ClassifierAttribute), settings
    yield round_by_chunk(context, "Score", _Opened(context.name, settings.model, settings.label, context.models))
    return {}


def _identity(config: Config, name: str, settings: Attribute) -> Mapping[str, Any]:
    assert isinstance(settings, ClassifierAttribute), settings
    return {"model": f"sha256 {sha256_of(settings.model, models_folder(config.store), what=A_MODEL)}"}


CLASSIFIER = AttributeKind(rounds=_rounds, identity=_identity, paths=("model",))
