"""Whose build an output belongs to, and which of its shards are whole."""

from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.transforms.shards.records import WORK_FOLDER, ShardMaker, check_current, write_current

OLD, NEW = ShardMaker("0" * 64, "1.0"), ShardMaker("1" * 64, "1.0")


def test_a_job_whose_output_is_another_builds_writes_nothing_more(tmp_path: Path) -> None:
    out = str(tmp_path)
    write_current(out, OLD)
    check_current(out, OLD)
    write_current(out, NEW)
    check_current(out, NEW)
    with pytest.raises(BylineError) as caught:
        check_current(out, OLD)
    assert str(caught.value) == (
        f"{out}: no longer belongs to this job, whose plan is {'0' * 16}: another build writes there or has finished; "
        "this one writes nothing more"
    )
    with pytest.raises(BylineError, match="no longer belongs"):
        check_current(out, ShardMaker(NEW.plan_sha256, "1.1"))
    (tmp_path / WORK_FOLDER / "current.txt").unlink()
    with pytest.raises(BylineError, match="no longer belongs"):
        check_current(out, NEW)
