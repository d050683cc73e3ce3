"""Formatting a batch: what a function is given, what is checked of what it gives, and that other sources pass."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from byline.errors import BylineError
from byline.schemas.corpora import FormatterSettings, Malformed, Source
from byline.schemas.documents import (
    LOSS_SPANS,
    LOSS_WEIGHTS,
    MESSAGES,
    ROW,
    SPECIAL_SPANS,
    TEXT,
    URL,
    BatchInfo,
    info_of,
    with_info,
)
from byline.schemas.formatters import Formatter
from byline.transforms.documents.coder import RecordBatchCoder
from byline.transforms.formatters import formatting_transform
from byline.transforms.formatters.fill_in_the_middle import FIM
from byline.transforms.formatters.formatting import format_batch
from byline.transforms.formatters.formatting_transform import FormatDocuments
from byline.transforms.formatters.opening import OpenFormatter, open_formatters

LICENSE = pa.field("license", pa.string())


def batch_of(texts: list[str | None], source: str = "mine") -> pa.RecordBatch:
    columns = [
        pa.array(range(10, 10 + len(texts)), pa.int64()),
        pa.array(texts, TEXT.type),
        pa.array([f"http://a.org/{text}" for text in texts], URL.type),
        pa.array(["mit"] * len(texts), pa.string()),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=pa.schema([ROW, TEXT, URL, LICENSE]))
    return with_info(batch, BatchInfo(source, "x.jsonl", 0, True, 1, len(texts), 1, {"malformed": 1}))


def settings_of(name: str = "fim", **options: Any) -> FormatterSettings:
    return FormatterSettings(name=name, options=options)


def opened(function: Callable[..., Any], malformed: str = "error", **options: Any) -> OpenFormatter:
    """The formatter `lib:f` of the source `mine`."""
    return OpenFormatter("mine", Formatter("lib:f", "", (), function), options, Malformed(malformed))


def weighed(given: Any, texts: list[str | None]) -> pa.RecordBatch:
    """The same of a formatter that weighs."""
    formatter = Formatter("lib:f", "", (), lambda batch: given, weighs=True)
    batch = format_batch(batch_of(texts), OpenFormatter("mine", formatter, {}, Malformed.ERROR))
    batch.validate(full=True)
    return batch


def formatted(given: Any, texts: list[str | None], malformed: str = "error") -> pa.RecordBatch:
    """What becomes of a batch by a function that gives this."""
    batch = format_batch(batch_of(texts), opened(lambda batch: given, malformed))
    batch.validate(full=True)
    return batch


def mistake(given: Any, texts: list[str | None]) -> str:
    with pytest.raises(BylineError) as error:
        formatted(given, texts)
    assert "\n" not in str(error.value)
    return str(error.value)


# --------------------------------------------------------------------------------------------------- what is given


def test_columns_of_a_formatted_batch() -> None:
    batch = batch_of(["a", None])
    messages = pa.array([[{"role": "user", "content": "Hi"}], None], MESSAGES.type)
    batch = with_info(batch.append_column(MESSAGES, messages), info_of(batch))
    given = {"text": ["ab", None], "loss_spans": [[0, 1], None], "special_spans": [None, []]}
    found = format_batch(batch, opened(lambda batch: given))
    assert found.schema.remove_metadata() == pa.schema([ROW, TEXT, URL, LICENSE, LOSS_SPANS, SPECIAL_SPANS])
    assert info_of(found) == info_of(batch)
    assert [list(row.values()) for row in found.to_pylist()] == [
        [10, "ab", "http://a.org/a", "mit", [0, 1], None],
        [11, None, "http://a.org/None", "mit", None, []],
    ]


def test_a_text_that_was_not_read_stands_behind_the_row() -> None:
    batch = batch_of(["a"]).drop_columns(["text"])
    batch = with_info(batch, info_of(batch_of(["a"])))
    found = format_batch(batch, opened(lambda batch: {"text": ["b"]}))
    assert found.schema.names == ["row", "text", "url", "license", "loss_spans", "special_spans"]


def test_only_sources_with_a_formatter_have_one_open() -> None:
    sources = {
        "plain": Source(format="jsonl", path="x"),
        "add": Source(format="arithmetic"),
        "code": Source(format="jsonl", path="x", formatter="fim", malformed="drop"),
    }
    (formatter,) = open_formatters(sources).values()
    assert (formatter.source, formatter.formatter, formatter.malformed) == ("code", FIM, Malformed.DROP)


@pytest.mark.parametrize(
    "given",
    [
        {"text": ["a", "b"]},
        {"text": pa.array(["a", "b"]), "loss_spans": None},
        {"text": pa.chunked_array([["a"], ["b"]])},
        {"text": pa.array(["a", "b"], pa.string_view()), "url": pa.array(["other", "one"])},
        pa.RecordBatch.from_pydict({"row": [1, 2], "text": ["a", "b"], "license": ["x", "y"]}),
    ],
)
def test_what_a_function_may_give(given: Any) -> None:
    found = formatted(given, ["x", "y"]).to_pylist()
    assert [(row["row"], row["text"], row["url"], row["license"]) for row in found] == [
        (10, "a", "http://a.org/x", "mit"),
        (11, "b", "http://a.org/y", "mit"),
    ]
    assert all(row["loss_spans"] is row["special_spans"] is None for row in found)


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int16()), pa.list_(pa.uint32())])
def test_spans_of_other_types(kind: pa.DataType) -> None:
    spans = pa.array([[9, 9], [0, 2, 2, 3], None], kind).slice(1)
    found = formatted({"text": ["abc", "d"], "loss_spans": spans, "special_spans": spans}, ["x", "y"])
    assert found["loss_spans"].to_pylist() == found["special_spans"].to_pylist() == [[0, 2, 2, 3], None]


@pytest.mark.parametrize(
    "weights",
    [
        [[2, 0.5], None, [], [3]],
        pa.array([[2, 0.5], None, [], [3]], pa.large_list(pa.float32())),
        pa.chunked_array([[[2.0, 0.5], None], [[], [3.0]]]),
    ],
)
def test_weights_of_loss_spans(weights: Any) -> None:
    spans = [[0, 1, 1, 2], [0, 2], [], None]
    found = weighed({"text": ["ab"] * 4, "loss_spans": spans, "loss_weights": weights}, ["x"] * 4)
    assert found.schema.field("loss_weights") == LOSS_WEIGHTS
    assert found["loss_weights"].to_pylist() == [[2, 0.5], None, [], [3]]


def test_whether_a_batch_has_weights_depends_on_the_formatter_alone() -> None:
    assert weighed({"text": ["ab"]}, ["x"])["loss_weights"].to_pylist() == [None]
    assert "loss_weights" not in formatted({"text": ["ab"], "loss_weights": None}, ["x"]).schema.names


# ------------------------------------------------------------------------------------------------- what is refused

WHERE = "sources.mine.formatter: lib:f, x.jsonl"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, f"{WHERE}: expected a batch or a mapping with a column `text`, found NoneType"),
        ({"txt": ["a"]}, f"{WHERE}: expected a batch or a mapping with a column `text`, found columns txt"),
        (
            {"text": ["a"], "loss_span": [[0, 1]]},
            f"{WHERE}: gives a column 'loss_span'; it may give text, loss_spans, loss_weights, special_spans, "
            "malformed",
        ),
        ({"text": ["a", "b"]}, f"{WHERE}: text: 2 values for 1 rows; give one for each row, in order"),
        (
            {"text": ["a"], "loss_spans": []},
            f"{WHERE}: loss_spans: 0 values for 1 rows; give one for each row, in order",
        ),
        ({"text": ["a"], "loss_spans": [[0, None]]}, f"{WHERE}: loss_spans: a span has a null in it"),
        (
            {"text": ["a"], "loss_spans": [[1]]},
            f"{WHERE}, row 10: loss_spans: expected pairs of start and end, found an odd number; "
            "a text of 1 characters has [1]",
        ),
        (
            {"text": ["é"], "loss_spans": [[0, 2]]},
            f"{WHERE}, row 10: loss_spans: expected spans within the text; a text of 1 characters has [0, 2]",
        ),
        (
            {"text": ["abc"], "special_spans": [[0, 2, 1, 3]]},
            f"{WHERE}, row 10: special_spans: expected each start and end behind the one before it; "
            "a text of 3 characters has [0, 2, 1, 3]",
        ),
        (
            {"text": ["abc"], "special_spans": [[-1, 2]]},
            f"{WHERE}, row 10: special_spans: expected each start and end behind the one before it; "
            "a text of 3 characters has [-1, 2]",
        ),
        (
            {"text": [None], "special_spans": [[0, 1]]},
            f"{WHERE}, row 10: special_spans: expected spans within the text; a text of 0 characters has [0, 1]",
        ),
    ],
)
def test_what_a_function_may_not_give(given: Any, message: str) -> None:
    assert mistake(given, ["x"]) == message


RANGE = "expected a number from 5.96046e-08 to 65504"


@pytest.mark.parametrize(
    ("spans", "weights", "message"),
    [
        *(
            (
                [0, 1, 1, 2],
                [2, weight],
                f", row 11: loss_weights: {RANGE}, found {weight:g}; leave what is not to count",
            )
            for weight in (0, -1, float("nan"), float("inf"), 65505, 1e-9)
        ),
        (
            [0, 1],
            [2, 2],
            ", row 11: loss_weights: expected 1, one for each loss span, or for all of a text without spans; ",
        ),
        (
            [0, 1],
            [],
            ", row 11: loss_weights: expected 1, one for each loss span, or for all of a text without spans; ",
        ),
        (None, [2, 2], ", row 11: loss_weights: expected 1, one for each loss span"),
        ([], [2], ", row 11: loss_weights: expected 0, one for each loss span"),
        ([0, 1], [None], ": loss_weights: a list has a null in it"),
        ([0, 1], ["x"], ": loss_weights: expected list<item: double not null> ("),
        ([0, 1], 2, ": loss_weights: expected list<item: double not null> ("),
    ],
)
def test_weights_that_a_function_may_not_give(spans: Any, weights: Any, message: str) -> None:
    with pytest.raises(BylineError) as error:
        weighed({"text": ["ab", "ab"], "loss_spans": [None, spans], "loss_weights": [None, weights]}, ["x"] * 2)
    assert str(error.value).startswith(f"{WHERE}{message}")
    assert "\n" not in str(error.value)


def test_weights_of_a_formatter_that_does_not_say_so() -> None:
    assert mistake({"text": ["a"], "loss_weights": [None]}, ["x"]) == (
        f"{WHERE}: gives loss_weights, which only a Formatter(..., weighs=True) may give; name one"
    )


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"text": [1]}, "text: expected large_string ("),
        ({"text": pa.array([1])}, None),
        ({"text": ["a"], "loss_spans": ["ab"]}, "loss_spans: expected list<item: int32 not null> ("),
        ({"text": ["a"], "loss_spans": [[2**31, 2**31]]}, "loss_spans: expected list<item: int32 not null> ("),
        (
            {"text": ["a"], "loss_spans": pa.array([[2**40, 2**40]])},
            "loss_spans: expected list<item: int32 not null> (",
        ),
        ({"text": [b"\xff"]}, "text: expected large_string ("),
        ({"text": pa.array([b"\xff"]).view(pa.string())}, "text: expected large_string ("),
    ],
)
def test_values_of_a_wrong_type(given: Any, where: str | None) -> None:
    if where is None:
        assert formatted(given, ["x"])["text"].to_pylist() == ["1"]  # a number becomes its decimal
    else:
        assert mistake(given, ["x"]).startswith(f"{WHERE}: {where}")


def test_the_first_bad_row_is_named() -> None:
    spans = [[0, 1], None, [], [0, 1, 1, 2], [2, 3]]
    assert ", row 14: loss_spans: expected spans within the text" in mistake(
        {"text": ["ab"] * 5, "loss_spans": spans}, ["x"] * 5
    )
    # The end of one row's spans and the start of the next one's are not compared.
    assert len(formatted({"text": ["abc"] * 2, "loss_spans": [[2, 3], [0, 1]]}, ["x"] * 2)) == 2


# ----------------------------------------------------------------------------------------------------- malformed


def test_a_malformed_record_is_an_error() -> None:
    assert mistake({"text": ["a", None, None], "malformed": [None, "no good", "bad"]}, ["x"] * 3) == (
        "x.jsonl: row 11: no good; fix the file, or set `malformed: drop` for source 'mine' to drop such records and "
        "count them"
    )


def test_malformed_records_are_dropped_and_counted() -> None:
    given = {"text": ["a", None, "c"], "loss_spans": [None, None, []], "malformed": [None, "no good", None]}
    found = formatted(given, ["x"] * 3, "drop")
    assert [(row["row"], row["text"], row["loss_spans"]) for row in found.to_pylist()] == [
        (10, "a", None),
        (12, "c", []),
    ]
    assert info_of(found).dropped == {"malformed": 2}
    assert formatted({"text": [None], "malformed": ["x"]}, ["x"], "drop").num_rows == 0


def test_an_error_that_a_function_raises_as_one_of_the_users() -> None:
    def refuse(batch: pa.RecordBatch) -> Mapping[str, Any]:
        raise BylineError("lib: give me better texts")

    with pytest.raises(BylineError, match=r"^sources\.mine\.formatter: lib: give me better texts$"):
        format_batch(batch_of(["x"]), opened(refuse))


# --------------------------------------------------------------------------------------------------- the transform


def test_formatter_documents_is_a_map_over_batches() -> None:

    def shown(batch: pa.RecordBatch) -> tuple[str, int, bool]:
        return info_of(batch).source, batch.num_columns, pc.all(pc.starts_with(batch["text"], "<P>")).as_py()

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        made = [batch_of(["some text", "other"]), batch_of(["some text"], "plain")]
        created = pipeline | beam.Create(made).with_output_types(pa.RecordBatch)
        batches = created | FormatDocuments({"mine": settings_of(rate=1, prefix="<P>")})
        assert batches.element_type is pa.RecordBatch
        assert isinstance(beam.coders.registry.get_coder(batches.element_type), RecordBatchCoder)
        assert_that(batches | beam.Map(shown), equal_to([("mine", 6, True), ("plain", 4, False)]))
    counters = {m.key.metric.name: m.committed for m in pipeline.result.metrics().query()["counters"]}
    assert counters["documents_formatted"] == 2


def test_formatters_are_opened_in_the_worker() -> None:
    step = formatting_transform._FormatFn({"mine": settings_of("no_such_module:f")}, {})
    with pytest.raises(BylineError, match="no_such_module cannot be imported"):
        step.setup()


def test_the_examples_of_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs/formatters.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "docs/formatters.md", "exec"), names)
    formatter = opened(names["with_hint"], hint="Look: ")
    found = format_batch(batch_of(["é", None]), formatter).to_pylist()
    assert [(row["text"], row["loss_spans"]) for row in found] == [("Look: é", [6, 7]), (None, None)]
    weighing = OpenFormatter("mine", names["WITH_HINT"], {"hint": "Look: ", "weight": 0.5}, Malformed.ERROR)
    found = format_batch(batch_of(["é", None]), weighing).to_pylist()
    assert [(row["loss_spans"], row["loss_weights"]) for row in found] == [([6, 7], [0.5]), (None, None)]
