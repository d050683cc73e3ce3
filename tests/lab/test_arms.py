"""The trainings of an arm's branches."""

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.lab.arms import arm_runs
from byline.lab.building import Builds
from byline.lab.study import read_study


def test_a_branch_at_which_the_learning_rate_would_jump_is_refused(recipe, tmp_path):
    study = read_study(str(recipe))
    console = Console(file=(tmp_path / "said").open("w"))
    build = Builds(study, tmp_path / "out", console).arm("cooled", study.arms["cooled"])
    for settings in ([], ["training.schedule=constant"]):
        _, branches = arm_runs(read_study(str(recipe), overrides=settings), build, (), "cpu")
        assert [run.arm for run in branches] == ["cooled/cooldown-50", "cooled/cooldown-100"] * 2
    for setting, branch in (("training.schedule=cosine", "cooldown-50"), ("training.decay=0.4", "cooldown-100")):
        with pytest.raises(BylineError, match=rf"^arms\.cooled: .* would jump where the branch {branch} leaves, at"):
            arm_runs(read_study(str(recipe), overrides=[setting]), build, (), "cpu")


def test_builds_whose_names_begin_alike_keep_configurations_of_their_own(recipe, tmp_path):
    study = read_study(str(recipe))
    builds = Builds(study, tmp_path / "out", Console(file=(tmp_path / "said").open("w")))
    config = {**study.config, "phases": [{"name": "main", "share": 1}]}
    for _ in range(2):
        for name, tokens in (("plain.proxy", "2K"), ("plain.reference", "3K")):
            builds.build(name, {**config, "tokens": tokens})
    assert (tmp_path / "said").read_text().count("build ") == 2
    assert {path.name for path in (tmp_path / "out/builds").glob("*.yaml")} == {
        "plain.proxy.yaml",
        "plain.reference.yaml",
    }
