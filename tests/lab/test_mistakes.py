"""A mistake in a study is one line, before anything is built."""

import io

import pytest
from rich.console import Console

from byline.errors import BylineError
from byline.lab import running


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("formats", "training.models=[7M]", "model: expected one of 0.1M, "),
        ("formats", "training.schedule=wds", "schedule: expected one of constant, cosine, wsd, found 'wds'"),
        ("formats", "training.learning_rate={1M: 0.1}", "training.learning_rate: there is none for '0.2M'"),
        ("formats", "figures.0.evaluation=other", "figures.0 (curves): evaluation: the study has no 'other'"),
        ("formats", "statements.0.kind=ordre", "statements.0: unknown kind 'ordre'; did you mean order?"),
        ("chain", "corpora.skills.kind=chains", "corpora.skills.kind: expected chain, "),
        ("chain", "arms.skill_it.find.method=skillit", "arms.skill_it.find.method: expected doremi, skill_it, swarm"),
        ("chain", "arms.skill_it.find.round=2", "arms.skill_it.find.round: unknown key; skill_it has tokens, steps, "),
        ("chain", "arms.skill_it.find.targets=[chain_9]", "arms.skill_it.find.targets: expected chain_1, chain_2, "),
        ("chain", "arms.skill_it.find.evaluation=other", "arms.skill_it.find.evaluation: expected own, found 'other'"),
        ("mixtures", "arms.doremi.find.model=7M", "arms.doremi.find.model: expected 0.1M, 0.2M, "),
    ],
)
def test_a_mistake_is_named_before_anything_is_built(tmp_path, recipe, setting, message):
    with pytest.raises(BylineError, match=r"^[^\n]*$") as caught:
        running.run(recipe, Console(file=io.StringIO()), output=str(tmp_path / "out"), overrides=[setting])
    assert str(caught.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device, message in (("tpu", "--device tpu: expected cpu or cuda"), ("cuda", "--device cuda: PyTorch finds no")):
        with pytest.raises(BylineError, match=message):
            running.run("formats", Console(file=io.StringIO()), output=str(tmp_path / "out"), device=device)
    assert not list(tmp_path.iterdir())
