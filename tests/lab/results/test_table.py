"""Tables are read as they were written, and what is wrong in one is told by file and line."""

from pathlib import Path

import pytest

from byline.errors import BylineError
from byline.lab.results.table import DomainWeight, TrainingTime, read_results, read_rows, write_results
from tests.lab.results.made import made_results

TIMES = "arm,model,seed,seconds,device\nstandard,1M,0,12.5,cpu\n"


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = made_results()
    write_results(results, tmp_path)
    assert read_results(tmp_path) == results
    assert results.arm_names == ["standard", "conditioned", "cooldown", "hashed"]
    assert results.models == ["0.2M", "1M"]


def test_columns_may_be_in_any_order_and_one_with_a_default_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text("weight,domain,arm\n0.25,c4,natural\n")
    assert read_rows(path, DomainWeight) == [DomainWeight("natural", "c4", 0.25, 0)]


def test_weights_may_be_missing(tmp_path: Path) -> None:
    write_results(made_results(), tmp_path)
    (tmp_path / "weights.csv").unlink()
    assert read_results(tmp_path).weights == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TIMES + "standard,1M,zero,12.5,cpu\n", "line 3: seed: expected a whole number, found 'zero'"),
        (TIMES + "standard,1M,0,soon,cpu\n", "line 3: seconds: expected a number, found 'soon'"),
        (TIMES + "standard,1M,0\n", "line 3: expected 5 values, found 3"),
        ("arm,model,seed,device\n", "line 1: there is no column seconds"),
        ("arm,sise\n", "line 1: unknown column 'sise'; expected arm, model, seed, seconds, device"),
        ("", "line 1: there is no column arm"),
    ],
)
def test_what_is_wrong_is_told_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "times.csv"
    path.write_text(text)
    with pytest.raises(BylineError) as error:
        read_rows(path, TrainingTime)
    assert str(error.value) == f"{path}, {message}"


def test_a_study_that_measured_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BylineError, match=r"results.csv: no such file; has the study been run\?"):
        read_results(tmp_path)
    write_results(made_results(arms=()), tmp_path)
    with pytest.raises(BylineError, match="has no rows; nothing was measured"):
        read_results(tmp_path)
