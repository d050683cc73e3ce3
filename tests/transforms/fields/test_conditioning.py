"""Prefixes of documents against one at a time, and the rules for marked, empty, long and dropped ones."""

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.planned_stage import FieldValues
from byline.schemas.recipe import Condition
from byline.template import Template
from byline.transforms.documents.shuffle_keys import dropped_out, left_empty
from byline.transforms.fields.conditioning import Prefixes, make_prefixes, markers, no_prefixes, store_columns
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from tests.reference import hashing, layout
from tests.support import small
from tests.support.thorough import examples

NONE = FieldValues()
LONG = "x1y2z3" * 8
BOS = small.BOS
ADDED = {"<m>": 390, "</m>": 391, BOS: 0}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return TextTokenizer(small.tokenizer_file(tmp_path_factory.mktemp("conditioning")), add=("<m>", "</m>"))


def batch_of(
    hosts: list[str | None], licenses: list[str | None] | None = None, qualities: list[float | None] | None = None
) -> pa.RecordBatch:
    host = pa.array(hosts, pa.dictionary(pa.int32(), pa.string()))
    license = pa.array(hosts if licenses is None else licenses, pa.string())
    quality = pa.array([None] * len(hosts) if qualities is None else qualities, pa.float32())
    return pa.RecordBatch.from_arrays([host, license, quality], ["host", "license", "quality"])


def prefixes_of(found: Prefixes) -> list[list[int]]:
    return [
        found.values[start : start + count].tolist() for start, count in zip(found.starts, found.lengths, strict=True)
    ]


def ids(text: str) -> list[int]:
    return layout.tokenize(small.reference_tokenizer(), text)


def slow_prefix(
    condition: Condition, values: FieldValues, row: dict[str, Any], order: int | None, length: int
) -> tuple[list[int], bool]:
    """A document's prefix and whether it is the unknown one for its length, as docs/formats.md has it."""

    def share(constant: int) -> Fraction:
        return Fraction(hashing.splitmix64(order ^ constant) >> 11, 2**53)

    def marked(inner: list[int]) -> list[int]:
        return [ADDED[name] for name in [condition.begin] if name] + inner + [ADDED[n] for n in [condition.end] if n]

    if order is not None and share(0xD1B54A32D192ED03) < condition.dropout:
        return [], False
    if order is not None and share(0xA24BAED4963EE407) < condition.empty:
        return marked([]), False
    known = {"host": row["host"] or None, "license": row["license"], "source": "a"}
    known = {name: of if name not in values.top or of in values.top[name] else None for name, of in known.items()}
    number = row["quality"]
    borders = values.bins.get("quality")
    if borders is not None and number is not None:
        known["quality"] = str(sum(border <= number for border in borders))
    prefix = marked(ids(Template(condition.template).fill(known, condition.unknown)))
    if len(prefix) <= length // 2:
        return prefix, False
    return marked(ids(Template(condition.template).fill({}, condition.unknown))), True


@st.composite
def conditions(draw: st.DrawFn) -> tuple[Condition, FieldValues]:
    template = draw(st.sampled_from(["{host}: ", "{host}", "{license}{host}", "{source}", "", "{quality} {host}"]))
    begin, end = draw(st.sampled_from([(None, None), ("<m>", None), (None, "</m>"), ("<m>", "</m>"), ("</m>", BOS)]))
    fields = [name for name in ("host", "license") if f"{{{name}}}" in template]
    top = {name: draw(st.lists(st.sampled_from(["", "a.org", "cc", LONG]))) for name in fields if draw(st.booleans())}
    bins = {"quality": draw(st.lists(st.sampled_from([0.0, 0.5]), max_size=3).map(sorted))}
    bins = bins if "{quality}" in template else {}
    condition = Condition(
        template=template,
        begin=begin,
        end=end,
        unknown=draw(st.sampled_from(["unknown", ""])),
        dropout=draw(st.sampled_from([Fraction(0), Fraction(1, 3)])),
        empty=draw(st.sampled_from([Fraction(0), Fraction(1, 2)])) if begin or end else Fraction(0),
        top=dict.fromkeys(top, 1),
        bins=dict.fromkeys(bins, 2),
    )
    return condition, FieldValues(top, bins)


HOSTS = st.sampled_from([None, "a.org", "b.org", LONG])
ROWS = st.fixed_dictionaries(
    {"host": HOSTS, "license": st.sampled_from([None, "", "cc"]), "quality": st.sampled_from([None, 0.25, 0.5, -1.0])}
)


@examples(200)
@given(st.lists(ROWS), conditions(), st.booleans(), st.integers(0, 7))
def test_prefixes_are_those_of_one_document_at_a_time(
    tokenizer: TextTokenizer,
    rows: list[dict[str, Any]],
    made: tuple[Condition, FieldValues],
    has_orders: bool,
    first: int,
) -> None:
    condition, values = made
    orders = np.arange(len(rows), dtype=np.uint64) * np.uint64(2**57) + np.uint64(first) if has_orders else None
    batch = batch_of([row["host"] for row in rows], [row["license"] for row in rows], [row["quality"] for row in rows])
    found = make_prefixes(batch, "a", condition, values, orders, tokenizer, 18)
    expected = [
        slow_prefix(condition, values, row, None if orders is None else int(orders[number]), 18)
        for number, row in enumerate(rows)
    ]
    assert list(zip(prefixes_of(found), found.too_long.tolist(), strict=True)) == expected
    assert found.values.dtype == tokenizer.id_dtype


def test_each_distinct_prefix_is_tokenized_once(tokenizer: TextTokenizer) -> None:
    found = make_prefixes(
        batch_of(["a.org", "b.org"] * 50), "a", Condition(template="{host}"), NONE, None, tokenizer, 64
    )
    # The unknown one is always there.
    assert found.values.tolist() == ids("a.org") + ids("b.org") + ids("unknown")


def test_a_long_prefix_is_replaced_and_counted_even_by_an_empty_one(tokenizer: TextTokenizer) -> None:
    condition = Condition(template="{host}", unknown="")
    found = make_prefixes(batch_of([LONG, "a", None]), "a", condition, NONE, None, tokenizer, 16)
    assert prefixes_of(found) == [[], ids("a"), []]
    assert found.too_long.tolist() == [True, False, False]


def test_half_a_sequence_is_not_too_long(tokenizer: TextTokenizer) -> None:
    host = "q" * 8
    assert len(ids(host)) == 8
    for length, too_long in ((16, False), (17, False), (15, True)):
        condition = Condition(template="{host}", unknown="?")
        found = make_prefixes(batch_of([host]), "a", condition, NONE, None, tokenizer, length)
        assert found.too_long.tolist() == [too_long]
        assert prefixes_of(found) == [ids("?") if too_long else ids(host)]


def test_a_template_that_is_always_too_long_is_an_error(tokenizer: TextTokenizer) -> None:
    condition = Condition(template="q" * 20, unknown="?")
    with pytest.raises(BylineError, match=r"^condition\.template: 'q{20}' .* takes 20 tokens, more than half .* 8;"):
        make_prefixes(batch_of(["a"]), "a", condition, NONE, None, tokenizer, 8)


def test_markers_stand_around_every_prefix_and_alone_in_an_empty_one(tokenizer: TextTokenizer) -> None:
    assert tokenizer.added == {"<m>": 390, "</m>": 391}
    condition = Condition(template="{host}", begin="<m>", end="</m>", empty=Fraction(1, 2), dropout=Fraction(1, 2))
    orders = np.arange(12, dtype=np.uint64)
    found = make_prefixes(batch_of(["a", "b", None, "a"] * 3), "a", condition, NONE, orders, tokenizer, 64)
    a, b, unknown = ([390, *ids(text), 391] for text in ("a", "b", "unknown"))
    assert found.values.tolist() == [*a, *b, *unknown, *unknown, 390, 391]
    dropped, empty = dropped_out(orders, Fraction(1, 2)), left_empty(orders, Fraction(1, 2))
    assert set(zip(dropped.tolist(), empty.tolist(), strict=True)) == {(d, e) for d in (0, 1) for e in (0, 1)}
    for number, prefix in enumerate(prefixes_of(found)):
        filled = [a, b, unknown, a][number % 4]
        assert prefix == ([] if dropped[number] else [390, 391] if empty[number] else filled)
    # For the planner, which packs documents before they have an order.
    found = make_prefixes(batch_of(["a", "b"]), "a", condition, NONE, None, tokenizer, 64)
    assert prefixes_of(found) == [a, b]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, []), ({"begin": "<m>"}, [390]), ({"end": BOS}, [0]), ({"begin": "</m>", "end": "<m>"}, [391, 390])],
)
def test_how_many_tokens_an_empty_prefix_has(
    tokenizer: TextTokenizer, changes: dict[str, str], expected: list[int]
) -> None:
    condition = Condition.model_validate({"template": "", **changes})
    assert prefixes_of(make_prefixes(batch_of(["a"]), "a", condition, NONE, None, tokenizer, 8)) == [expected]
    assert markers(condition) == len(expected)


@pytest.mark.parametrize("key", ["begin", "end"])
def test_a_marker_that_the_tokenizer_lacks(tokenizer: TextTokenizer, key: str) -> None:
    condition = Condition.model_validate({"template": "", key: "<lost>"})
    with pytest.raises(
        BylineError, match=rf"^condition\.{key}: .*tokenizer\.json has no token '<lost>'; .* is then 392"
    ):
        make_prefixes(batch_of(["a"]), "a", condition, NONE, None, tokenizer, 8)


def test_markers_count_towards_half_a_sequence(tokenizer: TextTokenizer) -> None:
    host = "q" * 6
    for length, too_long in ((16, False), (15, True)):
        condition = Condition(template="{host}", unknown="?", begin="<m>", end="</m>")
        found = make_prefixes(batch_of([host]), "a", condition, NONE, None, tokenizer, length)
        assert found.too_long.tolist() == [too_long]
        assert prefixes_of(found) == [[390, *ids("?" if too_long else host), 391]]
    condition = Condition(template="q" * 3, begin="<m>", end="</m>")
    with pytest.raises(BylineError, match=r" takes 5 tokens with its begin and end, more than half .* 8;"):
        make_prefixes(batch_of(["a"]), "a", condition, NONE, None, tokenizer, 8)


def test_a_long_prefix_that_is_left_empty_is_not_too_long(tokenizer: TextTokenizer) -> None:
    condition = Condition(template="{host}", unknown="?", begin="<m>", empty=Fraction(1, 2))
    orders = np.arange(20, dtype=np.uint64)
    found = make_prefixes(batch_of([LONG] * 20), "a", condition, NONE, orders, tokenizer, 16)
    assert (found.too_long == ~left_empty(orders, Fraction(1, 2))).all()
    assert 0 < found.too_long.sum() < 20


def test_values_that_top_does_not_keep_and_bins(tokenizer: TextTokenizer) -> None:
    condition = Condition(template="{host}{quality}", top={"host": 1}, bins={"quality": 3}, unknown="?")
    values = FieldValues({"host": ["a"]}, {"quality": [0.25, 0.5]})
    batch = batch_of(["a", "b", None], qualities=[0.25, 0.75, float("nan")])
    found = make_prefixes(batch, "a", condition, values, None, tokenizer, 16)
    assert prefixes_of(found) == [ids("a1"), ids("?2"), ids("??")]


def test_only_prefixes_before_are_masked(tokenizer: TextTokenizer) -> None:
    for position, masked in (("before", [1]), ("after", [0])):
        condition = Condition.model_validate({"template": "{host}", "position": position})
        found = make_prefixes(batch_of(["q"]), "a", condition, NONE, None, tokenizer, 16)
        assert (found.lengths.tolist(), found.masked_lengths.tolist()) == ([1], masked)


def test_a_phase_without_a_condition_has_no_prefixes(tokenizer: TextTokenizer) -> None:
    found = make_prefixes(batch_of(["a", "b"]), "a", None, NONE, None, tokenizer, 16)
    assert prefixes_of(found) == prefixes_of(no_prefixes(2, tokenizer)) == [[], []]
    assert found.too_long.tolist() == [False, False]
    assert found.values.dtype == tokenizer.id_dtype


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{host}{url}", {"host", "url"}),
        ("{suffix}{registered_domain}", {"registered_domain"}),
        ("{path}{url_hash}{host_hash}{source}", {"url", "host"}),
        ("{license}{num_tokens}{num_bytes}", {"license", "num_tokens", "num_bytes"}),
        ("text", set()),
    ],
)
def test_store_columns_that_a_template_needs(template: str, columns: set[str]) -> None:
    assert store_columns(Condition(template=template)) == columns


def test_no_condition_needs_no_columns() -> None:
    assert store_columns(None) == set()
