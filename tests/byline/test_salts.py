"""Files have a salt's digest alone; the salt itself comes from the recipe or the environment."""

import json

import pytest

from byline import salts
from byline.errors import BylineError
from byline.prompt import metadata_hash
from byline.salts import needed_salt, plain_salt, remember_salt, salt_digest
from byline.schemas.config_file import parse_config

SECRET = "a long and random salt"
RECIPE = {
    "sources": {"a": {"format": "jsonl", "path": "a/*"}},
    "tokenizer": {"file": "t.json", "eos": "</s>"},
    "phases": [{"name": "main", "share": 1, "condition": {"template": "{host_hash}", "salt": SECRET}}],
}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salts, "_known", {})
    monkeypatch.delenv(salts.VARIABLE, raising=False)


def test_a_digest_is_the_same_everywhere_and_of_itself() -> None:
    digest = salt_digest(SECRET)
    assert digest == "scrypt:" + digest[7:] == salt_digest(digest)
    assert len(digest) == 7 + 32
    assert len({salt_digest(text) for text in ("", "byline", SECRET)}) == 3


def test_what_is_written_has_no_salt_and_is_read_where_the_salt_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse_config(RECIPE, "r")
    written = json.dumps(config.model_dump(mode="json"))
    assert SECRET not in written
    assert config.phases[0].condition.salt == SECRET
    assert parse_config(json.loads(written), "m") == config  # the same process has read the recipe
    monkeypatch.setattr(salts, "_known", {})
    unknown = parse_config(json.loads(written), "m").phases[0].condition.salt
    assert unknown == salt_digest(SECRET)
    with pytest.raises(BylineError, match="the salt of the hashed fields is needed, and files hold its digest alone"):
        metadata_hash("a.org", unknown)
    monkeypatch.setattr(salts, "_known", {})
    monkeypatch.setenv(salts.VARIABLE, SECRET)
    assert parse_config(json.loads(written), "m") == config
    assert metadata_hash("a.org", unknown) == metadata_hash("a.org", SECRET)


def test_the_default_needs_nothing() -> None:
    assert plain_salt(salt_digest("byline")) == "byline"


def test_a_worker_is_given_it() -> None:
    remember_salt(SECRET)
    assert needed_salt(salt_digest(SECRET)) == SECRET
