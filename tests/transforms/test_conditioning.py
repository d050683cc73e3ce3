"""Prefixes of documents against the reference, and the rules for empty, long and dropped ones."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.errors import BylineError
from schemas.recipe import Condition
from tests import small
from tests.reference import layout, placing
from transforms.conditioning import Prefixes, make_prefixes, no_prefixes, store_columns
from transforms.tokenizing import TextTokenizer

LONG = "x1y2z3" * 8


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return TextTokenizer(small.tokenizer_file(tmp_path_factory.mktemp("conditioning")))


def batch_of(hosts: list[str | None], licenses: list[str | None] | None = None) -> pa.RecordBatch:
    host = pa.array(hosts, pa.dictionary(pa.int32(), pa.string()))
    return pa.RecordBatch.from_arrays([host, pa.array(licenses or hosts, pa.string())], ["host", "license"])


def prefixes_of(found: Prefixes) -> list[list[int]]:
    return [
        found.values[start : start + count].tolist() for start, count in zip(found.starts, found.lengths, strict=True)
    ]


def ids(text: str) -> list[int]:
    return layout.tokenize(small.reference_tokenizer(), text)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([None, "", "a.org", LONG]), st.sampled_from([None, "", "cc"])), min_size=1),
    st.sampled_from(["{host}: ", "{host}", "{license}{host}", "{source}", ""]),
    st.sampled_from(["unknown", ""]),
    st.sampled_from([Fraction(0), Fraction(1, 3)]),
)
def test_prefixes_are_those_of_the_reference(
    tokenizer: TextTokenizer,
    values: list[tuple[str | None, str | None]],
    template: str,
    unknown: str,
    dropout: Fraction,
) -> None:
    batch = batch_of([host for host, _ in values], [license for _, license in values])
    orders = np.arange(len(values), dtype=np.uint64) * np.uint64(2**57)
    condition = Condition(template=template, unknown=unknown, dropout=dropout)
    found = make_prefixes(batch, "a", condition, orders, tokenizer, 16)
    slow = small.reference_condition(condition)
    assert slow is not None
    for number, (host, license) in enumerate(values):
        prefix, too_long = layout.prefix_of(
            slow, {"host": host, "license": license, "source": "a"}, small.reference_tokenizer(), 16
        )
        if placing.dropped_out(int(orders[number]), dropout):
            prefix, too_long = [], False
        assert (prefixes_of(found)[number], found.too_long[number]) == (prefix, too_long)


def test_each_distinct_prefix_is_tokenized_once(tokenizer: TextTokenizer) -> None:
    found = make_prefixes(batch_of(["a.org", "b.org"] * 50), "a", Condition(template="{host}"), None, tokenizer, 64)
    # The unknown one is always there.
    assert found.values.tolist() == ids("a.org") + ids("b.org") + ids("unknown")


def test_a_long_prefix_is_replaced_and_counted_even_by_an_empty_one(tokenizer: TextTokenizer) -> None:
    condition = Condition(template="{host}", unknown="")
    found = make_prefixes(batch_of([LONG, "a", None]), "a", condition, None, tokenizer, 16)
    assert prefixes_of(found) == [[], ids("a"), []]
    assert found.too_long.tolist() == [True, False, False]


def test_half_a_sequence_is_not_too_long(tokenizer: TextTokenizer) -> None:
    host = "q" * 8
    assert len(ids(host)) == 8
    for length, too_long in ((16, False), (17, False), (15, True)):
        condition = Condition(template="{host}", unknown="?")
        found = make_prefixes(batch_of([host]), "a", condition, None, tokenizer, length)
        assert found.too_long.tolist() == [too_long]
        assert prefixes_of(found) == [ids("?") if too_long else ids(host)]


def test_a_template_that_is_always_too_long_is_an_error(tokenizer: TextTokenizer) -> None:
    condition = Condition(template="q" * 20, unknown="?")
    with pytest.raises(BylineError, match=r"^condition\.template: 'q{20}' .* takes 20 tokens, more than half .* 8;"):
        make_prefixes(batch_of(["a"]), "a", condition, None, tokenizer, 8)


def test_only_prefixes_before_are_masked(tokenizer: TextTokenizer) -> None:
    for place, masked in (("before", [1]), ("after", [0])):
        condition = Condition.model_validate({"template": "{host}", "place": place})
        found = make_prefixes(batch_of(["q"]), "a", condition, None, tokenizer, 16)
        assert (found.lengths.tolist(), found.masked_lengths.tolist()) == ([1], masked)


def test_a_phase_without_a_condition_has_no_prefixes(tokenizer: TextTokenizer) -> None:
    found = make_prefixes(batch_of(["a", "b"]), "a", None, None, tokenizer, 16)
    assert prefixes_of(found) == prefixes_of(no_prefixes(2, tokenizer)) == [[], []]
    assert found.too_long.tolist() == [False, False]
    assert found.values.dtype == tokenizer.id_dtype


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{host}{url}", {"host", "url"}),
        ("{suffix}{registered_domain}", {"registered_domain"}),
        ("{path}{url_hash}{host_hash}{source}", {"url", "host"}),
        ("{license}", {"license"}),
        ("text", set()),
    ],
)
def test_store_columns_that_a_template_needs(template: str, columns: set[str]) -> None:
    assert store_columns(Condition(template=template)) == columns


def test_no_condition_needs_no_columns() -> None:
    assert store_columns(None) == set()
