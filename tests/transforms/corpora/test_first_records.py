"""Fields that a source names and no record has are an error, with names that the records do have."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.transforms.corpora.first_records import TRIED_FILES, check_named_fields, nearest
from byline.transforms.corpora.listing import list_inputs

RECORD = {"text": "a", "url": None, "meta": {"link": "http://a.org", "lang": None}, "stars": "n/a", "q": 0.5}


def have_urls(folder: Path, files: dict[str, list[dict[str, Any]]], form: str = "jsonl", **settings: Any) -> bool:
    """What is told of files with these records."""
    for name, records in files.items():
        if form == "parquet":
            pq.write_table(pa.Table.from_pylist(records), folder / name)
        else:
            lines = "".join(json.dumps(record) + "\n" for record in records).encode()
            (folder / name).write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    source = Source.model_validate({"format": form, "path": f"{folder}/*", **settings})
    return check_named_fields("web", source, list_inputs("web", source))


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fields": {"url": "urls"}}, r"sources\.web\.fields\.url: .* field 'urls'; did you mean 'url'\?"),
        ({"fields": {"url": "link"}}, r"fields\.url: .* field 'link'; did you mean 'meta\.link'\?"),
        ({"fields": {"url": "meta.links"}}, r"fields\.url: .* field 'meta\.links'; did you mean 'meta\.link' or "),
        ({"score": {"quality": "score"}}, r"score\.quality: .* field 'score'; the fields there are 'text', 'url', "),
        ({"keep": ["starz"]}, r"keep\.starz: .* field 'starz'; did you mean 'stars'\?"),
    ],
)
def test_a_field_that_no_record_has(tmp_path: Path, form: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BylineError, match=message) as error:
        have_urls(tmp_path, {"a": [RECORD] * 3}, form, **settings)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/a: ")


def test_values_of_which_none_can_be_used(tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"score\.s: none .* that can be used; one is 'n/a'"):
        have_urls(tmp_path, {"a": [RECORD] * 3}, score={"s": "stars"})


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_is_there_but_null_is_no_error(tmp_path: Path, form: str) -> None:
    record = {**RECORD, "q": None}
    assert have_urls(tmp_path, {"a": [record]}, form, fields={"url": "url"}, score={"s": "q"}, keep=["meta.lang"])


def test_one_file_of_many_that_has_it_is_enough(tmp_path: Path) -> None:
    files = {f"{number:02}.gz": [{"text": "a"}] for number in range(2 * TRIED_FILES)}
    files["02.gz"] = [{"text": "a", "url": "http://a.org", "license": None}]
    assert have_urls(tmp_path, files, keep=["license"])
    files["02.gz"] = [{"text": "a", "licence": "x"}]
    with pytest.raises(BylineError, match=r"keep\.license: .*; did you mean 'licence'\?"):
        have_urls(tmp_path, files, keep=["license"])


def test_the_url_of_a_layout_may_be_missing(tmp_path: Path) -> None:
    assert not have_urls(tmp_path, {"a": [{"text": "a"}]})
    assert have_urls(tmp_path, {"a": [{"text": "a", "url": None}]})


def test_what_cannot_be_read_is_left_to_preparing(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 9)[:12])
    (tmp_path / "b").write_bytes(b"")
    assert have_urls(tmp_path, {}, keep=["license"])
    with pytest.raises(BylineError, match=r"sources\.web\.keep\.license: .*; the fields there are 'body'"):
        have_urls(tmp_path, {"c": [{"body": "no text"}]}, keep=["license"])


def test_names_shown() -> None:
    assert nearest("x", []) == "they have no field"
    assert nearest("qqq", [f"field{number}" for number in range(14)]).endswith("'field11' and 2 more")
