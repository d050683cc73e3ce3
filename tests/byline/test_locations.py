"""What is an address, what is a path, and what is neither."""

from pathlib import Path

import pytest

from byline import locations
from byline.errors import BylineError


@pytest.mark.parametrize(
    "location",
    [
        *(
            "out/x",
            "/tmp/o",
            "a:b/c",
            "C:x",
            "with space/é",
            "./s3:/x",
            "s3",
            "s3:",
            "s3:x",
            "s3:x/y",
            "xs3:/a",
            "file",
        ),
        *("s3://bucket", "s3://bucket/", "gs://bucket/a/b%20c", "s3://bucket/a:b"),
    ],
)
def test_paths_and_addresses(location: str) -> None:
    locations.check(location)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3:/corpus/x", "s3:/corpus/x: an address begins with s3://, as in s3://bucket/key"),
        ("s3:/u:secret@c/x", "s3:/...@c/x: an address begins with s3://, as in s3://bucket/key"),
        ("gs:/corpus", "gs:/corpus: an address begins with gs://, as in gs://bucket/key"),
        ("S3:/corpus", "S3:/corpus: an address begins with s3://, as in s3://bucket/key"),
        ("S3://corpus/x", "S3://corpus/x: an address begins with s3://, as in s3://bucket/key"),
        ("s3a://corpus/x", "s3a://corpus/x: an address begins with s3://, as in s3://bucket/key"),
        ("s3n://u:secret@c/x", "s3n://...@c/x: an address begins with s3://, as in s3://bucket/key"),
        ("GS://corpus/x", "GS://corpus/x: an address begins with gs://, as in gs://bucket/key"),
        ("gcs://corpus/x", "gcs://corpus/x: an address begins with gs://, as in gs://bucket/key"),
        ("file:///tmp/o", "file:///tmp/o: a file on this machine has no scheme; give the path: /tmp/o"),
        ("file:/tmp/o", "file:/tmp/o: a file on this machine has no scheme; give the path: /tmp/o"),
        ("file://host/o", "file://host/o: a file on this machine has no scheme; give the path"),
        ("https://h/x?token=secret", "https://h/x: expected a path, s3://bucket/key or gs://bucket/key; nothing is "),
        ("hdfs://nn:8020/x", "hdfs://nn:8020/x: expected a path, s3://bucket/key or gs://bucket/key; nothing is "),
        ("://", "://: expected a path, s3://bucket/key or gs://bucket/key; nothing is "),
        ("s3://", "s3://: expected s3://bucket/key without user or options; "),
        ("s3:///key", "s3:///key: expected s3://bucket/key without user or options; "),
        ("s3://b//x", "s3://b//x: an empty name between two slashes can neither be read nor written; "),
    ],
)
def test_what_is_neither(location: str, message: str) -> None:
    for refuses in (locations.check, locations.absolute):
        with pytest.raises(BylineError) as error:
            refuses(location)
        assert str(error.value).startswith(message)
        assert "secret" not in str(error.value)


def test_the_absolute_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locations.absolute("a:b/c") == locations.absolute(Path("a:b/c")) == f"{tmp_path}/a:b/c"
    assert locations.absolute("gs://bucket/a%20b//") == "gs://bucket/a%20b"
