"""Questions and answers as texts."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.schemas.documents import ANSWER, LOSS_WEIGHTS, QUESTION
from byline.transforms.formatters.question_answer import qa
from tests.reference import documents as reference
from tests.support.thorough import examples

texts = st.one_of(st.none(), st.text("aé😀\n{}", max_size=5), st.just("{question}"))


def written(pairs: list[tuple[str | None, str | None]], **options: Any) -> list[tuple[Any, ...]]:
    """(text, loss spans, why it is malformed) of each record."""
    columns = [pa.array([pair[side] for pair in pairs], QUESTION.type) for side in (0, 1)]
    found = qa(pa.RecordBatch.from_arrays(columns, schema=pa.schema([QUESTION, ANSWER])), **options)
    return list(zip(*(found[name].to_pylist() for name in ("text", "loss_spans", "malformed")), strict=True))


def test_as_it_is() -> None:
    assert written([("Why é?", "So 😀."), ("", "")]) == [
        ("Question: Why é?\nAnswer: So 😀.\n", [25, 31], None),
        ("Question: \nAnswer: \n", [19, 20], None),
    ]


def test_templates() -> None:
    assert written([("a{b}", "{answer}")], question="{{question}} ", answer="{answer}") == [
        ("{a{b}} {answer}", [7, 15], None)
    ]


def test_malformed() -> None:
    assert written([(None, "a"), ("q", None), (None, None), ("q", "a")], question="{question}", answer="{answer}") == [
        (None, None, "there is no question"),
        (None, None, "there is no answer"),
        (None, None, "there is no question"),
        ("qa", [1, 2], None),
    ]
    assert written([]) == []


def weighed(pairs: list[tuple[str | None, str | None]], **options: Any) -> list[tuple[Any, Any]]:
    """The stretches of each text that its loss spans cover, and their weights."""
    columns = [pa.array([pair[side] for pair in pairs], QUESTION.type) for side in (0, 1)]
    found = qa(pa.RecordBatch.from_arrays(columns, schema=pa.schema([QUESTION, ANSWER])), **options)
    assert found["loss_weights"].type == LOSS_WEIGHTS.type
    columns = [found[name].to_pylist() for name in ("text", "loss_spans", "loss_weights")]
    return [
        (spans and [text[low:high] for low, high in zip(spans[::2], spans[1::2], strict=True)], own)
        for text, spans, own in zip(*columns, strict=True)
    ]


def test_a_question_with_a_weight_is_trained_too() -> None:
    pairs: list[tuple[str | None, str | None]] = [("Why é?", "So."), (None, "a"), ("", "")]
    assert weighed(pairs, weights={"question": 0.2}) == [
        (["Why é?\n", "So.\n"], [0.2, 1]),
        (None, None),
        (["\n", "\n"], [0.2, 1]),
    ]
    assert weighed(pairs[:2], weights={"answer": 2}, answer="{answer}") == [(["So."], [2]), (None, None)]
    assert weighed([], weights={}) == []


@given(
    st.lists(st.tuples(texts, texts), max_size=5),
    st.sampled_from([{"question": 0.5}, {"answer": 2, "question": 3}, {}]),
)
@examples(60)
def test_weights_as_the_reference(pairs: list[tuple[str | None, str | None]], weights: dict[str, float]) -> None:
    fields = {"question": "q", "answer": "a"}
    source = Source(format="jsonl", path="x", fields=fields, formatter={"name": "qa", "weights": weights})
    columns = [pa.array([pair[side] for pair in pairs], QUESTION.type) for side in (0, 1)]
    found = qa(pa.RecordBatch.from_arrays(columns, schema=pa.schema([QUESTION, ANSWER])), weights=weights)
    spans, own = found["loss_spans"].to_pylist(), found["loss_weights"].to_pylist()
    for (asked, given_answer), borders, each in zip(pairs, spans, own, strict=True):
        raw = reference.RawDocument("a", "x", 0, None, None, {"q": asked, "a": given_answer})
        assert borders == reference.formatted(raw, source)[1]
        assert each == (None if borders is None else reference.loss_weights(raw, source))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"question": "Q"}, "qa: question: expected a text with {question} in it once, found 'Q'"),
        (
            {"answer": "{answer}{answer}"},
            "qa: answer: expected a text with {answer} in it once, found '{answer}{answer}'",
        ),
        ({"answer": 3}, "qa: answer: expected a text with {answer} in it once, found 3"),
        ({"weights": {"asnwer": 2}}, "qa: weights: 'asnwer' is not trained; expected question and answer"),
        (
            {"weights": {"question": -1}},
            "qa: weights.question: expected a number from 5.96046e-08 to 65504, found -1; what is not to count, do not "
            "train",
        ),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BylineError) as error:
        written([], **options)
    assert str(error.value) == message


@given(
    st.lists(st.tuples(texts, texts), max_size=5),
    st.sampled_from([{}, {"question": "é{question}", "answer": "{answer}"}]),
)
@examples(100)
def test_as_the_reference(pairs: list[tuple[str | None, str | None]], options: dict[str, Any]) -> None:
    fields = {"question": "q", "answer": "a"}
    source = Source(format="jsonl", path="x", fields=fields, formatter={"name": "qa", **options})
    for (asked, given_answer), (text, loss, _) in zip(pairs, written(pairs, **options), strict=True):
        raw = reference.RawDocument("a", "x", 0, None, None, {"q": asked, "a": given_answer})
        assert (text, loss, None) == reference.formatted(raw, source)
