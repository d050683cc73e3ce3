"""Scores and labels as columns of the document batch."""

import apache_beam as beam
import fasttext
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from byline.errors import BylineError
from byline.schemas import documents
from byline.schemas.corpora import Classifier
from byline.transforms.documents.coder import RecordBatchCoder
from byline.transforms.scores import scoring
from byline.transforms.scores.scoring import Scorer, open_scorer, score_batch
from byline.transforms.scores.scoring_transform import ScoreQuality
from tests.reference.fasttext_reference import library_probabilities

INFO = documents.BatchInfo("mine", "a.jsonl", 0, True, 100, 4, 30)
SCHEMA = pa.schema([documents.ROW, documents.TEXT, pa.field("license", pa.string())])
TEXTS = ["boil the soup", "the ball is round", None, "", "soup\u2028soup\nball"]


def make_batch(texts, source="mine"):
    rows = [{"row": number, "text": text, "license": "by"} for number, text in enumerate(texts)]
    info = documents.BatchInfo(**{**vars(INFO), "source": source})
    return documents.with_info(pa.RecordBatch.from_pylist(rows, schema=SCHEMA), info)


class FixedModel:
    """Gives the rows it is made with, by the text's number."""

    labels = ("__label__x", "plain", "__label__z")

    def __init__(self, rows):
        self.rows = np.array(rows, np.float32)

    def probabilities(self, texts):
        return self.rows[[int(text.as_py()) for text in texts]]


FIXED = FixedModel([[0.2, 0.3, 0.5], [0.4, 0.4, 0.2], [np.nan] * 3, [0.1, 0.8, 0.1]])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Paths of a model of two labels and of one of 25, the latter with more labels than dimensions."""
    folder = tmp_path_factory.mktemp("models")
    settings = {"dim": 8, "bucket": 200, "epoch": 50, "lr": 0.5, "wordNgrams": 2, "thread": 1, "verbose": 0}
    lines = {
        "topic": ["__label__cook boil the soup", "__label__sport kick the ball"] * 20,
        "many": [f"__label__{number % 25:02} word{number % 25} the" for number in range(200)],
    }
    for name, content in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(content) + "\n")
        fasttext.train_supervised(str(folder / f"{name}.txt"), **settings).save_model(str(folder / f"{name}.bin"))
    return folder


def classifier(models, name, label=None):
    return Classifier(model=str(models / f"{name}.bin"), label=label)


def test_adds_a_score(models, tmp_path):
    scorer = open_scorer("quality", classifier(models, "topic", "__label__sport"), str(tmp_path))
    batch = make_batch(TEXTS)
    scored = score_batch(batch, [scorer])
    assert scored.select(SCHEMA.names).equals(batch.select(SCHEMA.names))
    assert scored.schema.names == [*SCHEMA.names, "quality"]
    assert scored.schema.field("quality").type == pa.float32()
    assert documents.info_of(scored) == INFO
    scored.validate(full=True)
    library = fasttext.load_model(str(models / "topic.bin")).get_labels()
    expected = library_probabilities(models / "topic.bin", TEXTS)[:, library.index("__label__sport")]
    values = scored["quality"].to_pylist()
    assert values[2] is None
    np.testing.assert_allclose(np.array(values, float), expected, rtol=0, atol=1e-6)
    assert values[0] < 0.1
    assert values[1] > 0.9


def test_adds_a_label_and_its_score(models, tmp_path):
    scored = score_batch(make_batch(TEXTS[:3]), [open_scorer("topic", classifier(models, "topic"), str(tmp_path))])
    assert scored.schema.names == [*SCHEMA.names, "topic", "topic_score"]
    assert scored.schema.field("topic").type == documents.LABEL_TYPE
    assert scored["topic"].to_pylist() == ["cook", "sport", None]
    expected = library_probabilities(models / "topic.bin", TEXTS[:2]).max(axis=1)
    np.testing.assert_allclose(scored["topic_score"].to_numpy(zero_copy_only=False)[:2], expected, rtol=0, atol=1e-6)
    assert scored["topic_score"].to_pylist()[2] is None


def test_ties_prefixes_and_documents_without_a_score():
    scorers = [Scorer("topic", FIXED, None), Scorer("z", FIXED, 2)]
    scored = score_batch(make_batch(["0", "1", "2", "3"]), scorers)
    assert scored.select(["topic", "topic_score", "z"]).to_pydict() == {
        "topic": ["z", "x", None, "plain"],
        "topic_score": pa.array([0.5, 0.4, None, 0.8], pa.float32()).to_pylist(),
        "z": pa.array([0.5, 0.2, None, 0.1], pa.float32()).to_pylist(),
    }


def test_does_not_depend_on_where_rows_are_cut(monkeypatch):
    scorers = [Scorer("topic", FIXED, None), Scorer("z", FIXED, 2)]
    batch = make_batch(["0", "1", "2", "3", "1"])
    whole = score_batch(batch, scorers)
    assert score_batch(batch.slice(1, 3), scorers).equals(whole.slice(1, 3))
    monkeypatch.setattr(scoring, "_SCORED_ROWS", 2)
    assert score_batch(batch, scorers).equals(whole)


def test_a_shared_model_is_asked_once():
    asked = []

    class Counting(FixedModel):
        def probabilities(self, texts):
            asked.append(len(texts))
            return super().probabilities(texts)

    model = Counting(FIXED.rows)
    score_batch(make_batch(["0", "1"]), [Scorer("topic", model, None), Scorer("z", model, 2)])
    assert asked == [2]


def test_no_rows_and_no_scorers(models, tmp_path):
    scorers = [open_scorer(name, classifier(models, name), str(tmp_path)) for name in ("topic", "many")]
    batch = make_batch(TEXTS)
    empty = score_batch(batch.slice(0, 0), scorers)
    assert empty.num_rows == 0
    assert empty.schema.equals(score_batch(batch, scorers).schema, check_metadata=True)
    assert score_batch(batch, []).equals(batch, check_metadata=True)


def test_a_label_that_the_model_lacks(models, tmp_path):
    with pytest.raises(BylineError) as error:
        open_scorer("quality", classifier(models, "topic", "sport"), str(tmp_path))
    path = models / "topic.bin"
    message = f"classifiers.quality.label: {path} has no label 'sport'; it has "
    assert str(error.value) in {
        f"{message}__label__cook, __label__sport",
        f"{message}__label__sport, __label__cook",
    }
    with pytest.raises(BylineError, match=r"it has (__label__\d\d, ){19}__label__\d\d and 5 more$"):
        open_scorer("quality", classifier(models, "many", "none"), str(tmp_path))


def test_transform_leaves_given_scores_alone(models, tmp_path):
    classifiers = {
        "quality": classifier(models, "topic", "__label__sport"),
        "topic": classifier(models, "topic"),
        "many": classifier(models, "many"),
    }
    given = {"theirs": {"quality", "topic"}, "mine": set()}
    batches = [make_batch(TEXTS), make_batch(TEXTS, "theirs"), make_batch(TEXTS, "unlisted")]
    added = ["quality", "topic", "topic_score", "many", "many_score"]

    def check(found):
        by_source = {documents.info_of(batch).source: batch for batch in found}
        names = {source: batch.schema.names[len(SCHEMA) :] for source, batch in by_source.items()}
        assert names == {"mine": added, "theirs": added[3:], "unlisted": added}
        scorers = [open_scorer(name, item, str(tmp_path)) for name, item in classifiers.items()]
        assert by_source["mine"].equals(score_batch(batches[0], scorers), check_metadata=True)

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        scored = (
            pipeline
            | "Create" >> beam.Create(batches)
            | "ScoreQuality" >> ScoreQuality(classifiers, str(tmp_path), given)
        )
        assert scored.element_type is pa.RecordBatch
        assert isinstance(beam.coders.registry.get_coder(scored.element_type), RecordBatchCoder)
        assert_that(scored, check)
