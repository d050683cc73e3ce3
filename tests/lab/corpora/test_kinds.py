"""The table of kinds, and what it says about wrong settings."""

import pytest
from pydantic import Field

from byline.errors import BylineError
from byline.lab.corpora.corpus_kind import CorpusKind
from byline.lab.corpora.kinds import KINDS
from byline.schemas.model import Model


class Settings(Model):
    documents: int = Field(default=10, ge=1)
    seed: int = 0


KIND = CorpusKind("lines", Settings, lambda settings, folder: None)


@pytest.mark.parametrize("name", KINDS)
def test_every_setting_has_a_default(name):
    assert KINDS[name].name == name
    KINDS[name].parse({}, "corpora.one")


def test_settings_are_checked():
    assert KIND.parse({"documents": 3}, "corpora.one") == Settings(documents=3)
    with pytest.raises(BylineError) as error:
        KIND.parse({"document": 3}, "corpora.one")
    assert str(error.value) == "corpora.one.document: unknown key; corpora of kind lines have documents, seed"
    with pytest.raises(BylineError) as error:
        KIND.parse({"documents": 0}, "corpora.one")
    assert str(error.value) == "corpora.one.documents: Input should be greater than or equal to 1, found '0'"
