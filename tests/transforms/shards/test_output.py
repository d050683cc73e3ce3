"""What of an output of the other kind, a build or an import, is deleted before shards are written."""

from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.schemas.imports import ImportedFile, ImportedPhase, ImportPlan, NamedTokenizer
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.transforms.shards.output import OutputState, ShardPlan, open_output
from tests.support.planned import phase, plan_of

BUILD = plan_of(phase("main", 900, {"c4": 1.0}, shards=2))
IMPORT = ImportPlan(
    kind="mds-meco",
    kind_version=1,
    sequence_length=8,
    ids="int32",
    tokenizer=TokenizerInfo("t", "00", 100, 1, 2, 3),
    named=NamedTokenizer(),
    phases=[
        ImportedPhase("main", "dclm", "/dclm", "00", [], [ImportedFile("a", 2, 9), ImportedFile("b", 2, 9)], [[0], [1]])
    ],
)


@pytest.mark.parametrize(
    ("there", "asked", "kind"), [(BUILD, IMPORT, "a build"), (IMPORT, BUILD, "an import")], ids=["build", "import"]
)
def test_no_shard_of_the_other_kind_stays(tmp_path: Path, there: ShardPlan, asked: ShardPlan, kind: str) -> None:
    (tmp_path / there.file_name).write_bytes(there.to_bytes())
    # Killed before the record of this shard was written.
    shard = tmp_path / "main/00001-of-00002.arrow"
    shard.parent.mkdir()
    shard.write_bytes(b"rows")
    with pytest.raises(BylineError, match=f"has {there.file_name}, so it is the folder of {kind}; choose another"):
        open_output(str(tmp_path), asked)
    assert shard.exists()
    assert open_output(str(tmp_path), asked, overwrite=True) == OutputState()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
