"""What is an address in an object store, and what is refused."""

import pytest

from byline.addresses import split_address
from byline.errors import BylineError


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://key:secret@bucket/a", "s3://...@bucket/a"),
        ("s3://bucket/a?endpoint_override=x", "s3://bucket/a"),
        ("s3://", "s3://"),
        ("gs:///a", "gs:///a"),
    ],
)
def test_an_address_has_no_secrets_or_options(uri: str, shown: str) -> None:
    with pytest.raises(BylineError) as error:
        split_address(uri)
    assert str(error.value).startswith(f"{shown}: expected {uri[:2]}://bucket/key without user or options; ")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("uri", ["s3://bucket//a", "s3://bucket/a//b", "gs://bucket/a/%2Fb", "s3://bucket/a//b//"])
def test_an_address_has_no_empty_name(uri: str) -> None:
    with pytest.raises(BylineError, match=f"^{uri}: an empty name between two slashes can neither be read nor written"):
        split_address(uri)
    assert split_address("s3://bucket/a/b//") == ("s3", "bucket/a/b")
