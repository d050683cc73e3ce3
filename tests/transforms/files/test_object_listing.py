"""What is in an object store: listed in order by addresses that open, matched by patterns, and deleted."""

import pytest

from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.files import storage
from tests.support.object_server import BUCKET, ObjectServer, some_faults

ROOT = f"s3://{BUCKET}"


def test_lists_3000_objects_in_order_by_addresses_that_open(server: ObjectServer) -> None:
    names = [f"in/{number % 7}/a {number:04}.jsonl" for number in range(3000)]
    for name in names:
        server.put_at_once(name, name.encode())
    server.put("in/.tmp-1", b"")
    server.put("inner", b"")
    with server.faults(some_faults) as answers:
        listed = storage.list_files(f"{ROOT}/in")
    assert answers.total() < 20
    assert [info.path for info in listed] == [f"{ROOT}/{name.replace(' ', '%20')}" for name in sorted(names)]
    assert {info.size for info in listed} == {len(names[0])}
    assert storage.read_bytes(listed[1234].path) == sorted(names)[1234].encode()
    inputs = list_inputs("x", Source(format="jsonl", path=f"{ROOT}/in/[0-2]/*.jsonl"))
    assert [file.path for file in inputs] == [name[3:] for name in sorted(names) if name[3] in "012"]
    assert storage.read_bytes(inputs[7].uri).decode().endswith(inputs[7].path)
    assert storage.list_files(f"{ROOT}/none") == []


def listed(*patterns: str) -> list[str]:
    return [
        file.path for file in list_inputs("x", Source(format="jsonl", path=[f"{ROOT}/{text}" for text in patterns]))
    ]


@pytest.mark.parametrize(
    ("key", "patterns"),
    [
        ("in//b.jsonl", ["**", "in/**", "in/**/*.jsonl", "*/*/*.jsonl", "in/**/b.*"]),
        ("in/c//b.jsonl", ["**/b.jsonl", "in/**", "in/*/*/b.jsonl"]),
        ("/b.jsonl", ["**", "**/*.jsonl"]),
    ],
)
def test_a_key_with_an_empty_name_is_told_where_a_pattern_matches_it(
    server: ObjectServer, key: str, patterns: list[str]
) -> None:
    server.put("in/a.jsonl", b"1")
    server.put(key, b"2")
    for pattern in patterns:
        with pytest.raises(BylineError) as error:
            listed(pattern)
        assert f"matches the object '{ROOT}/{key}', and one with an empty name" in str(error.value)
    # What others match is none of theirs.
    assert listed("in/*.jsonl") == listed("in/**/a*") == ["a.jsonl"]
    assert listed("**/a.jsonl") == ["in/a.jsonl"]


def test_a_pattern_that_matches_nothing_is_told_how_far_it_leads(server: ObjectServer) -> None:
    server.put("in/a b/1.jsonl", b"1")
    for pattern, nearest in [("in/a b/*.gz", "in/a b"), ("in/a b/c/**", "in/a b"), ("out/*", ""), ("*.jsonl", "")]:
        with pytest.raises(BylineError) as error:
            listed(pattern)
        folder = f"{ROOT}/{nearest}".rstrip("/")
        assert f"no file matches '{ROOT}/{pattern}'; the nearest folder that exists is '{folder}' (" in str(error.value)
    for pattern in ("s3://none/a/*.gz", "s3://none/**", "s3://none/a.gz"):
        with pytest.raises(BylineError) as error:
            list_inputs("x", Source(format="jsonl", path=pattern))
        told = f"no file matches '{pattern}'; there is no bucket 's3://none', or its objects may not be listed"
        assert str(error.value) == f"sources.x.path: {told}"


def test_deletes_a_folder(server: ObjectServer) -> None:
    for name in ("out/work/1", "out/work/a/2", "out/working", "out/x"):
        server.put(name, b"1")
    storage.delete_folder(f"{ROOT}/out/work")
    storage.delete_folder(f"{ROOT}/out/work")
    # Arrow's deletion leaves an empty object for the folder above; nothing here takes it for a file.
    assert server.list_keys() == ["out/", "out/working", "out/x"]
    assert [info.base_name for info in storage.list_files(f"{ROOT}/out")] == ["working", "x"]
