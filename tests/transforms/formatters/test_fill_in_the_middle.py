"""Texts cut in three: which, where, how they are put together, and against the slow reference."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.schemas.documents import ROW, TEXT, BatchInfo, with_info
from byline.transforms.formatters.fill_in_the_middle import fim
from tests.reference import documents as reference
from tests.support.thorough import examples

NAMES = {"prefix": "<P>", "middle": "<M>", "suffix": "<é>"}


def batch_of(texts: list[str | None], first: int = 0, path: str = "x") -> pa.RecordBatch:
    rows = pa.array(range(first, first + len(texts)), pa.int64())
    batch = pa.RecordBatch.from_arrays([rows, pa.array(texts, TEXT.type)], schema=pa.schema([ROW, TEXT]))
    return with_info(batch, BatchInfo("a", path, 0, True, 1, len(texts), 1))


def written(texts: list[str | None], first: int = 0, **options: Any) -> list[tuple[str | None, list[int] | None]]:
    found = fim(batch_of(texts, first), **{**NAMES, **options})
    assert set(found) == {"text", "special_spans"}
    return list(zip(found["text"].to_pylist(), found["special_spans"].to_pylist(), strict=True))


def parts(text: str, spans: list[int]) -> list[tuple[str, bool]]:
    """The text cut at its special spans, each part with whether it is one."""
    borders = [0, *spans, len(text)]
    return [(text[low:high], number % 2 == 1) for number, (low, high) in enumerate(pairwise(borders))]


def test_both_modes_keep_every_character_in_its_part() -> None:
    texts = [f"the quick é fox 😀 {number}" for number in range(200)]
    modes: Counter[str] = Counter()
    for original, (text, spans) in zip(texts, written(texts, rate=1), strict=True):
        found = parts(text, spans)
        shape = "".join(part if is_name else "" for part, is_name in found)
        plain = [part for part, is_name in found if not is_name]
        if [part for part, is_name in found if is_name] == ["<P>", "<é>", "<M>"]:
            assert shape == "<P><é><M>"
            _, prefix, suffix, middle = plain
            modes["psm"] += 1
            assert text == f"<P>{prefix}<é>{suffix}<M>{middle}"
        else:
            assert [part for part, is_name in found if is_name] == ["<P>", "<é>", "<M>", ""]
            _, nothing, suffix, prefix, middle = plain
            modes["spm"] += 1
            assert nothing == ""
            assert text == f"<P><é>{suffix}<M>{prefix}{middle}"
        assert prefix + middle + suffix == original
    assert 70 < modes["psm"] < 130


def test_cuts_are_spread_over_the_whole_text() -> None:
    cuts: Counter[int] = Counter()
    for text, spans in written(["abcdefghi"] * 3000, rate=1, spm_rate=0):
        _, prefix, _, middle = (part for part, is_name in parts(text, spans) if not is_name)
        cuts.update([len(prefix), len(prefix) + len(middle)])
    assert sorted(cuts) == list(range(10))
    assert all(480 < count < 720 for count in cuts.values())


def test_rates() -> None:
    texts: list[str | None] = ["some text"] * 2000
    assert written(texts, rate=0) == [("some text", None)] * 2000
    assert 900 < sum(spans is not None for _, spans in written(texts)) < 1100
    assert 150 < sum(spans is not None for _, spans in written(texts, rate=0.1)) < 250
    assert all(len(spans) == 8 for _, spans in written(texts, rate=1, spm_rate=1))


def test_what_has_no_text_stays_as_it_is() -> None:
    assert written([None, "", " \n\u2003"], rate=1) == [(None, None), ("", None), (" \n\u2003", None)]
    assert written([]) == []


def test_a_document_is_cut_alike_in_every_batch() -> None:
    texts: list[str | None] = [f"text {number}" for number in range(40)]
    assert written(texts) == written(texts[:17]) + written(texts[17:], first=17)
    other = fim(batch_of(texts, path="y"), **NAMES)
    assert other["text"].to_pylist() != [text for text, _ in written(texts)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, "fim: rate: expected a share from 0 to 1, found 1.5"),
        ({"rate": "0.5"}, "fim: rate: expected a share from 0 to 1, found '0.5'"),
        ({"spm_rate": True}, "fim: spm_rate: expected a share from 0 to 1, found True"),
        ({"middle": ""}, "fim: middle: expected the name of a token, found ''"),
        ({"suffix": None}, "fim: suffix: expected the name of a token, found None"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BylineError) as error:
        written(["a"], **options)
    assert str(error.value) == message


rates = st.sampled_from([0, 0.1, 0.5, 0.9, 1])


@given(st.lists(st.one_of(st.none(), st.text("aé😀\n ", max_size=8)), max_size=8), st.integers(0, 99), rates, rates)
@examples(150)
def test_as_the_reference(texts: list[str | None], first: int, rate: float, spm_rate: float) -> None:
    options = {**NAMES, "rate": rate, "spm_rate": spm_rate}
    source = Source(format="jsonl", path="x", formatter={"name": "fim", **options})
    raws = [reference.RawDocument("a", "x", first + at, text, None, {}) for at, text in enumerate(texts)]
    expected = [reference.formatted(raw, source) for raw in raws]
    assert [(text, None, spans) for text, spans in written(texts, first, rate=rate, spm_rate=spm_rate)] == expected
