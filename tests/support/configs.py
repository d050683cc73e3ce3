"""The least configuration there is, with changes, and what is said of a mistake in it."""

from typing import Any

import pytest

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config

MINIMAL: dict[str, Any] = {
    "sources": {"mine": {"format": "jsonl", "path": "data/*.jsonl"}},
    "tokenizer": {"file": "tokenizer.json", "eos": "</s>"},
    "phases": [{"name": "all", "share": 1}],
}


def config(**changes: Any) -> Config:
    return parse_config({**MINIMAL, **changes}, "test")


def mistake(**changes: Any) -> str:
    with pytest.raises(BylineError) as caught:
        config(**changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)
