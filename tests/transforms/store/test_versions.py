"""A store tells which versions have written it."""

import json
from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.transforms.store import versions


def test_versions_are_noted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(tmp_path)
    assert versions.read_versions(folder) == versions.other_versions(folder) == []
    versions.note_versions(folder)
    versions.note_versions(folder)
    here = versions.current_versions()
    assert versions.read_versions(folder) == [here]
    assert sorted(here) == ["byline", "gigatoken", "tokenizers"]
    assert versions.other_versions(folder) == []
    monkeypatch.setattr(versions, "current_versions", lambda: {**here, "tokenizers": "99"})
    assert versions.other_versions(folder) == [f"tokenizers {here['tokenizers']} (here 99)"]
    versions.note_versions(folder)
    assert len(versions.read_versions(folder)) == 2


@pytest.mark.parametrize("content", ["", "{}x", "[1]", '"a"'])
def test_a_damaged_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "versions.json").write_text(content)
    with pytest.raises(BylineError, match=r"versions\.json: expected a list of versions as JSON; delete it"):
        versions.read_versions(str(tmp_path))
    (tmp_path / "versions.json").write_text(json.dumps([]))
    assert versions.read_versions(str(tmp_path)) == []
