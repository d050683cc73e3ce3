"""Template fields and filled templates, held against one document at a time."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.schemas import documents
from byline.schemas.planned_stage import FieldValues
from byline.schemas.recipe import Condition
from byline.template import Template
from byline.transforms.fields import url_fields
from byline.transforms.fields.template_fields import columns_of_fields, field_values, filled_prefixes, unknown_prefix
from tests.support.thorough import examples

NONE = FieldValues()
SCHEMA = pa.schema(
    [
        documents.URL,
        documents.HOST,
        documents.REGISTERED_DOMAIN,
        documents.NUM_BYTES,
        documents.NUM_TOKENS,
        pa.field("quality", documents.SCORE_TYPE),
        pa.field("topic", documents.LABEL_TYPE),
        pa.field("license", pa.string()),
        pa.field("year", pa.int64()),
        pa.field("weight", pa.float64()),
        pa.field("checked", pa.bool_()),
    ]
)
DERIVED = ["url", "host", "registered_domain", "suffix", "path", "host_hash", "url_hash", "source"]
FIELDS = [*DERIVED, *SCHEMA.names[3:]]
COLUMNS = {
    "url": ["https://news.example.co.uk/a?b", "http://[::1]", None, "https://news.example.co.uk/a?b", ""],
    "host": ["news.example.co.uk", "[::1]", None, "news.example.co.uk", None],
    "registered_domain": ["example.co.uk", None, None, "example.co.uk", None],
    "num_bytes": [9, 2**40, 0, 9, 7],
    "num_tokens": [3, 2**31 - 1, 1, 3, 2],
    "quality": [0.98, 1e-7, None, 0.98, 1.0],
    "topic": ["science", "art", None, "science", "art"],
    "license": ["cc by", "", None, "cc by", "ü"],
    "year": [2024, -7, None, 2024, 9223372036854775807],
    "weight": [0.1, -0.0, None, 0.0, float("nan")],
    "checked": [True, False, None, True, False],
}


def make_batch(columns):
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def blake(value, key=b"salt"):
    return hashlib.blake2b(value.encode(), digest_size=8, key=key).hexdigest()


NEWS, LOOPBACK = "news.example.co.uk", "[::1]"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("url", ["https://news.example.co.uk/a?b", "http://[::1]", None, "https://news.example.co.uk/a?b", None]),
        ("host", [NEWS, LOOPBACK, None, NEWS, None]),
        ("registered_domain", ["example.co.uk", None, None, "example.co.uk", None]),
        ("suffix", ["co.uk", None, None, "co.uk", None]),
        ("path", ["/a", "/", None, "/a", None]),
        ("host_hash", [blake(NEWS), blake(LOOPBACK), None, blake(NEWS), None]),
        ("url_hash", [blake(f"https://{NEWS}/a?b"), blake("http://[::1]"), None, blake(f"https://{NEWS}/a?b"), None]),
        ("source", ["mine"] * 5),
        ("num_bytes", ["9", "1099511627776", "0", "9", "7"]),
        ("num_tokens", ["3", "2147483647", "1", "3", "2"]),
        ("quality", ["0.98", "1e-07", None, "0.98", "1.0"]),
        ("topic", ["science", "art", None, "science", "art"]),
        ("license", ["cc by", "", None, "cc by", "ü"]),
        ("year", ["2024", "-7", None, "2024", "9223372036854775807"]),
        ("weight", ["0.1", "-0.0", None, "0.0", "nan"]),
        ("checked", ["true", "false", None, "true", "false"]),
    ],
)
def test_values(name, expected):
    found = field_values(make_batch(COLUMNS), "mine", name, "salt")
    assert found.to_pylist() == expected
    assert found.type == documents.LABEL_TYPE
    assert sorted(found.dictionary.to_pylist()) == sorted({value for value in expected if value is not None})


def test_hashes_are_sixteen_digits_that_stay():
    batch = make_batch({**COLUMNS, "host": ["example.org"] * 5})
    assert field_values(batch, "mine", "host_hash", "byline")[0].as_py() == "0b2024df8865299f"
    assert field_values(batch, "mine", "host_hash", "")[0].as_py() == "24dab28d73e82db5"


@pytest.mark.parametrize(
    ("salt", "key"),
    [
        ("", b""),
        ("s" * 64, b"s" * 64),
        ("s" * 65, hashlib.sha256(b"s" * 65).digest()),
        ("ü" * 33, hashlib.sha256(("ü" * 33).encode()).digest()),
    ],
)
def test_salt_of_any_length(salt, key):
    assert field_values(make_batch(COLUMNS), "mine", "host_hash", salt)[0].as_py() == blake(NEWS, key)


def test_hashes_once_for_each_distinct_value(monkeypatch):
    hashed = []
    original = url_fields.metadata_hash
    monkeypatch.setattr(url_fields, "metadata_hash", lambda value, salt: hashed.append(value) or original(value, salt))
    field_values(make_batch(COLUMNS).slice(3), "mine", "host_hash", "salt")
    assert hashed == [NEWS]


def test_a_dictionary_with_nulls_repeats_and_idle_values():
    codes = pa.array([4, 1, None, 2, 0, 4], pa.int32())
    hosts = pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b", None, "idle", "b"]))
    batch = pa.RecordBatch.from_arrays([hosts], ["host"])
    found = field_values(batch, "mine", "host", "")
    assert found.to_pylist() == ["b", "b", None, None, "a", "b"]
    assert found.dictionary.to_pylist() == ["b", "a"]


def test_unknown_field_names_what_there_is():
    expected = r"^field 'hots' needs a column 'hots', which source 'mine' does not have; it has: url, host, "
    with pytest.raises(BylineError, match=expected):
        field_values(make_batch(COLUMNS), "mine", "hots", "")


def test_filled_prefixes():
    condition = Condition(template="URL: {host} ({license}) {{{host}}}\n\n", unknown="?")
    texts, index = filled_prefixes(make_batch(COLUMNS), "mine", condition, NONE)
    news = "URL: news.example.co.uk (cc by) {news.example.co.uk}\n\n"
    assert texts == [news, "URL: [::1] () {[::1]}\n\n", "URL: ? (?) {?}\n\n", "URL: ? (ü) {?}\n\n"]
    assert index.tolist() == [0, 1, 2, 0, 3]
    assert index.dtype == np.int32
    assert unknown_prefix(condition) == texts[2]


def test_two_combinations_of_one_text_are_one():
    columns = {**COLUMNS, "topic": ["a", "ab", None, "?", "a"], "license": ["bc", "c", "c", "c", "bc"]}
    texts, index = filled_prefixes(
        make_batch(columns), "mine", Condition(template="{topic}{license}", unknown="?"), NONE
    )
    assert texts == ["abc", "?c"]
    assert index.tolist() == [0, 0, 1, 1, 0]


def test_the_salt_of_the_condition_counts():
    batch = make_batch(COLUMNS).slice(0, 1)
    condition = Condition(template="{host_hash}", salt="pepper")
    assert filled_prefixes(batch, "mine", condition, NONE)[0] == [blake(NEWS, b"pepper")]


def test_top_and_bins_change_what_a_template_is_filled_with():
    condition = Condition(
        template="{host} {host} {quality} {year}",
        unknown="?",
        top={"host": 1, "year": "50%"},
        bins={"quality": [0, 0.5]},
    )
    values = FieldValues(top={"host": [LOOPBACK, "elsewhere.org"], "year": ["2024"]}, bins={"quality": [0.0, 0.98]})
    texts, index = filled_prefixes(make_batch(COLUMNS), "mine", condition, values)
    # The float32 nearest to 0.98 is above it.
    assert float(np.float32(0.98)) > 0.98
    assert [texts[i] for i in index] == ["? ? 2 2024", f"{LOOPBACK} {LOOPBACK} 1 ?", "? ? ? ?", "? ? 2 2024", "? ? 2 ?"]


def test_top_of_a_hash_field_keeps_hashes():
    condition = Condition(template="{host_hash}", salt="salt", top={"host_hash": 1})
    texts, index = filled_prefixes(
        make_batch(COLUMNS), "mine", condition, FieldValues(top={"host_hash": [blake(NEWS)]})
    )
    assert [texts[i] for i in index] == [blake(NEWS), "unknown", "unknown", blake(NEWS), "unknown"]


def test_a_plan_that_fixed_nothing_for_a_field_is_no_plan_of_the_condition():
    condition = Condition(template="{host}", top={"host": 1})
    with pytest.raises(AssertionError, match=r"top or bins for \['host'\], the plan for \[\]"):
        filled_prefixes(make_batch(COLUMNS), "mine", condition, NONE)


def test_columns_of_fields():
    names = ["path", "url_hash", "host_hash", "suffix", "source", "num_tokens", "quality"]
    assert columns_of_fields(names) == {"url", "host", "registered_domain", "num_tokens", "quality"}


def test_a_template_without_fields_and_a_batch_without_rows():
    batch, condition = make_batch(COLUMNS), Condition(template="no field\n")
    texts, index = filled_prefixes(batch, "mine", condition, NONE)
    assert (texts, index.tolist()) == (["no field\n"], [0] * 5)
    for template in ("no field\n", "{source} {host} {quality}"):
        texts, index = filled_prefixes(batch.slice(0, 0), "mine", Condition(template=template), NONE)
        assert (texts, index.tolist(), index.dtype) == ([], [], np.int32)
    assert unknown_prefix(condition) == "no field\n"


def test_fills_once_for_each_combination(monkeypatch):
    filled = []
    original = Template.fill
    monkeypatch.setattr(
        Template, "fill", lambda self, values, unknown: filled.append(values) or original(self, values, unknown)
    )
    filled_prefixes(make_batch(COLUMNS), "mine", Condition(template="{host}{topic}"), NONE)
    assert [tuple(values.values()) for values in filled] == [
        (NEWS, "science"),
        (LOOPBACK, "art"),
        (None, None),
        (None, "art"),
    ]


# --- one document at a time ---


def slow_value(document, name, source, salt):
    """The value of a field for one document (a mapping of columns), None where unknown."""
    if name == "source":
        return source
    if name == "suffix":
        domain = document["registered_domain"]
        return None if domain is None else domain[domain.index(".") + 1 :]
    if name == "path":
        url = document["url"]
        if not url:
            return None
        rest = url.split("://")[1].split("?")[0]
        return rest[rest.index("/") :] if "/" in rest else "/"
    if name.endswith("_hash"):
        value = document[name.removesuffix("_hash")]
        return blake(value, salt.encode()) if value else None
    value = document[name]
    if value is None or (name == "url" and not value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if name == "quality":
        return str(np.float32(value))
    return repr(value) if isinstance(value, float) else str(value)


def optional(strategy):
    return st.one_of(st.none(), strategy)


HOSTS = st.sampled_from(["a.org", "b.co.uk", "www.b.co.uk", "[::1]", "unknown"])
DOCUMENTS = st.fixed_dictionaries(
    {
        "url": st.sampled_from(
            [None, "", "http://a.org", "https://a.org/x?y/z", "http://b.co.uk/ü/", "http://b.co.uk/?"]
        ),
        "host": optional(HOSTS),
        "registered_domain": st.sampled_from([None, "a.org", "b.co.uk"]),
        "num_bytes": st.integers(0, 2),
        "num_tokens": st.integers(0, 2),
        "quality": optional(st.one_of(st.sampled_from([0.0, -0.0, 0.5]), st.floats(width=32))),
        "topic": st.sampled_from([None, "art", "unknown"]),
        "license": optional(st.sampled_from(["", "unknown", "by", "中"])),
        "year": optional(st.one_of(st.integers(0, 2), st.integers(-(2**63), 2**63 - 1))),
        "weight": optional(st.one_of(st.sampled_from([0.0, -0.0, 0.5]), st.floats())),
        "checked": optional(st.booleans()),
    }
)


@examples(150)
@given(st.lists(DOCUMENTS, max_size=12), st.lists(st.sampled_from(FIELDS), max_size=5), st.data())
def test_agrees_with_one_document_at_a_time(rows, names, data):
    low = data.draw(st.integers(0, len(rows)))
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA).slice(low)
    condition = Condition(template="<".join(f"{{{name}}}" for name in names), unknown="unknown", salt="s")
    texts, index = filled_prefixes(batch, "mine", condition, NONE)
    expected = []
    for document in rows[low:]:
        values = [slow_value(document, name, "mine", "s") for name in names]
        expected.append("<".join("unknown" if value is None else value for value in values))
    assert [texts[i] for i in index] == expected
    assert texts == list(dict.fromkeys(expected))
