"""`byline weights`: from a literal table to a literal mixture file."""

import io
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from byline.errors import BylineError
from byline.pipelines.commands.weights import write_weights
from byline.schemas.mixtures.reading import read_mixture
from byline.transforms.weights.computing import check_output, compute_doremi, compute_skill_it
from byline.transforms.weights.mixture_file import decimals, mixture_text, read_weights, schedule_text
from tests.reference import doremi as doremi_reference
from tests.reference import skill_it as skill_it_reference

# ln 3 and ln 2, so that weights come out as simple fractions.
LN3, LN2 = 1.0986122886681098, 0.6931471805599453
LOG = f"""step,domain,loss,reference_loss
1,code,1.0,1.5
1,web,{2 + LN3},2.0
2,web,3.0,3.0
2,code,{2 + LN3},2.0
"""
ROUNDS = f"round,domain,loss\n1,a,{LN2}\n1,b,0\n2,a,0\n2,b,{LN2}\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text(LOG)
    Path("rounds.csv").write_text(ROUNDS)
    return tmp_path


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def doremi(table, *, initial=None, output=None, console, **options):
    check_output(output, table, initial)
    write_weights(compute_doremi(table, initial=initial, **options), output, console)


def skill_it(table, graph=None, *, output=None, console, **options):
    check_output(output, table, graph)
    write_weights(compute_skill_it(table, graph, **options), output, console)


def test_doremi_writes_the_mean_of_the_weights(here, console, capsys):
    doremi(Path("log.csv"), eta=1, smoothing=0, console=console)
    # 1/4 3/4, then 1/2 1/2.
    *comments, weights = capsys.readouterr().out.splitlines()
    assert weights == "weights: {code: 0.375000, web: 0.625000}"
    assert comments[:2] == [
        "# byline weights doremi log.csv --eta 1 --smoothing 0",
        "# DoReMi (arXiv 2305.10429, Algorithm 1): the mean of the weights after each of 2 updates, steps 1 to 2",
    ]
    assert comments[2].startswith(
        "# excess losses clipped by domain: max(loss - reference_loss, 0); sha256 of log.csv "
    )
    shown = console.file.getvalue().splitlines()
    assert shown[0] == "log.csv: 2 steps (1 to 2), excess losses clipped by domain: max(loss - reference_loss, 0)"
    assert [line.split() for line in shown[1:]] == [
        ["domain", "first", "last", "average"],
        ["code", "0.2500", "0.5000", "0.3750"],
        ["web", "0.7500", "0.5000", "0.6250"],
    ]


def test_doremi_takes_excess_losses_as_they_are(here, console, capsys):
    Path("log.jsonl").write_text(
        f'{{"step": 5, "domain": "web", "excess_loss": {LN3}}}\n{{"step": 5, "domain": "code", "excess_loss": 0}}\n'
    )
    doremi(Path("log.jsonl"), eta=1, smoothing=0.1, console=console)
    found = capsys.readouterr().out
    assert found.endswith("weights: {code: 0.275000, web: 0.725000}\n")
    assert "# excess losses as given in excess_loss; sha256" in found
    assert "of 1 updates, steps 5\n" in found


def test_doremi_step_by_step_is_the_whole_log(here, console):
    doremi(Path("log.csv"), last=True, output=Path("whole.yaml"), console=console)
    head, rows = LOG.splitlines(keepends=True)[0], LOG.splitlines(keepends=True)[1:]
    Path("one.csv").write_text(head + "".join(rows[:2]))
    Path("two.csv").write_text(head + "".join(rows[2:]))
    doremi(Path("one.csv"), last=True, output=Path("one.yaml"), console=console)
    doremi(Path("two.csv"), initial=Path("one.yaml"), last=True, output=Path("two.yaml"), console=console)
    whole, parts = (yaml.safe_load(Path(name).read_text())["weights"] for name in ("whole.yaml", "two.yaml"))
    assert parts == pytest.approx(whole, abs=2e-6)
    assert " --initial one.yaml --last\n" in Path("two.yaml").read_text()
    assert "the weights after the last of 1 updates" in Path("two.yaml").read_text()


def test_skill_it_writes_a_piece_for_each_round_and_the_next(here, console, capsys):
    skill_it(Path("rounds.csv"), eta=1, window=1, console=console)
    *comments, method, points, first, second, third = capsys.readouterr().out.splitlines()
    assert [method, points, first, second, third] == [
        "method: piecewise",
        "points:",
        "  - {at: 0, weights: {a: 0.500000, b: 0.500000}}",
        "  - {at: 1/3, weights: {a: 0.666667, b: 0.333333}}",
        "  - {at: 2/3, weights: {a: 0.333333, b: 0.666667}}",
    ]
    assert comments[:2] == [
        "# byline weights skillit rounds.csv --eta 1 --window 1",
        "# Skill-it (arXiv 2307.14430, Algorithm 1): the mixtures of 3 rounds, equally long, "
        "from the losses of rounds 1 to 2",
    ]
    assert comments[2].startswith("# no graph, so each skill helps itself alone; sha256 of rounds.csv ")
    shown = console.file.getvalue()
    assert shown.startswith("rounds.csv: losses of 2 rounds (1 to 2); no graph, so each skill helps itself alone\n")
    assert ["a", "0.5000", "0.3333", "0.5000"] in [line.split() for line in shown.splitlines()]


def test_skill_it_by_a_graph_without_a_window(here, console, capsys):
    Path("graph.csv").write_text("from,to,weight\na,a,1\na,b,1\nc,b,1\nb,b,0\n")
    skill_it(Path("rounds.csv"), Path("graph.csv"), eta=1, window=None, console=console)
    found = yaml.safe_load(capsys.readouterr().out)
    graph, losses = [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]], [[LN2, 0.0], [0.0, LN2]]
    for point, row in zip(found["points"], skill_it_reference.mixtures(graph, losses, 1, None), strict=True):
        assert point["weights"] == pytest.approx(dict(zip("abc", row, strict=True)), abs=1e-6)
    assert "graph graph.csv with 3 edges of 6 pairs" in console.file.getvalue()


def test_skill_it_for_the_round_to_come_alone(here, console, capsys):
    skill_it(Path("rounds.csv"), eta=1, window=1, last=True, console=console)
    found = capsys.readouterr().out
    assert found.endswith("\nweights: {a: 0.333333, b: 0.666667}\n")
    assert "# byline weights skillit rounds.csv --eta 1 --window 1 --last\n" in found
    assert "the mixture of round 3, from the losses of rounds 1 to 2\n" in found


def test_the_paper_s_settings_are_the_defaults(here, console, capsys):
    doremi(Path("log.csv"), console=console)
    expected = doremi_reference.final_weights([[0.0, LN3], [LN3, 0.0]], 1, 1e-3)
    found = yaml.safe_load(capsys.readouterr().out)["weights"]
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)
    skill_it(Path("rounds.csv"), console=console)
    assert "--eta 0.5 --window 3\n" in capsys.readouterr().out


def test_the_same_table_gives_the_same_bytes(here, console):
    for name in ("one.yaml", "deep/two.yaml"):
        doremi(Path("log.csv"), output=Path(name), console=console)
    assert Path("one.yaml").read_bytes() == Path("deep/two.yaml").read_bytes()
    assert [file.name for file in Path("deep").iterdir()] == ["two.yaml"]


# ------------------------------------------------------------------------------------------------- the file


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(lambda parts: sum(parts) > 1e-9))
@example([1.0] * 3)
@example([1.0] * 7)
@example([1e-9, 1.0])
def test_decimals_sum_to_one_and_are_the_nearest_that_do(parts):
    weights = np.array(parts) / sum(parts)
    found = decimals(weights)
    assert sum(found) == 1
    assert all(decimal.as_tuple().exponent == -6 and decimal >= 0 for decimal in found)
    assert all(abs(float(decimal) - weight) < 1.000001e-6 for decimal, weight in zip(found, weights, strict=True))


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([2, 1, 1, 2], ["0.333333", "0.166667", "0.166667", "0.333333"]),
        ([1, 1, 1], ["0.333334", "0.333333", "0.333333"]),
        ([4, 1, 1], ["0.666667", "0.166667", "0.166666"]),
        ([1], ["1.000000"]),
        ([0, 1], ["0.000000", "1.000000"]),
        ([1e-7, 1], ["0.000000", "1.000000"]),
    ],
)
def test_the_largest_remainders_are_rounded_up(parts, found):
    assert decimals(np.array(parts) / sum(parts)) == [Decimal(text) for text in found]


def test_names_that_yaml_takes_for_something_else_come_back():
    names = ["no", "1", "null", "a: b", "#x", "{", "é", "\u2028", "'", "c4"]
    weights = np.arange(1, 11) / 55
    found = yaml.safe_load(mixture_text([], names, weights))
    assert list(found["weights"]) == names
    assert list(found["weights"].values()) == pytest.approx(weights, abs=1e-6)
    found = yaml.safe_load(schedule_text(["x"], names, weights[None]))
    assert list(found["points"][0]["weights"]) == names


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 8, 128, 1000])
def test_pieces_begin_at_exact_shares(pieces):
    found = yaml.safe_load(schedule_text([], ["a", "b"], np.full((pieces, 2), 0.5)))
    assert [Fraction(str(point["at"])) for point in found["points"]] == [Fraction(n, pieces) for n in range(pieces)]
    assert found["points"][pieces // 2]["weights"] == {"a": 0.5, "b": 0.5}


def test_a_comment_stays_one_line():
    text = mixture_text(["byline weights a\nmethod: x\x1b"], ["a"], np.ones(1))
    assert text == "# byline weights a\\nmethod: x\\x1b\nweights: {a: 1.000000}\n"


# -------------------------------------------------------------------------------------------------- mistakes


def test_an_input_is_not_replaced(here, console):
    for call in (
        lambda: doremi(Path("log.csv"), output=here / "log.csv", console=console),
        lambda: skill_it(Path("rounds.csv"), Path("log.csv"), output=Path("./log.csv"), console=console),
    ):
        with pytest.raises(BylineError, match=r"log\.csv: is read by this command, and would be replaced"):
            call()
    assert Path("log.csv").read_text() == LOG


def test_an_output_that_cannot_be_written(here, console):
    Path("file").write_text("")
    with pytest.raises(
        BylineError, match=r"file/out\.yaml: cannot be written \(File exists\); .* choose another location$"
    ):
        doremi(Path("log.csv"), output=Path("file/out.yaml"), console=console)


def test_a_mistake_in_the_table_leaves_the_old_file(here, console):
    Path("weights.yaml").write_text("weights: {a: 1}\n")
    with pytest.raises(BylineError, match="expected the columns"):
        doremi(Path("rounds.csv"), output=Path("weights.yaml"), console=console)
    assert Path("weights.yaml").read_text() == "weights: {a: 1}\n"


def test_a_domain_is_not_taken_for_markup(here, console):
    Path("odd.csv").write_text("step,domain,excess_loss\n1,[red]x[/],0\n1,[/],0\n")
    doremi(Path("odd.csv"), output=Path("odd.yaml"), console=console)
    assert "[red]x[/]" in console.file.getvalue()
    assert yaml.safe_load(Path("odd.yaml").read_text()) == {"weights": {"[/]": 0.5, "[red]x[/]": 0.5}}


def test_initial_weights_are_read_by_name(here):
    Path("start.yaml").write_text("weights: {web: 0.667, code: 0.333}\n")
    np.testing.assert_allclose(read_weights(Path("start.yaml"), ("code", "web")), [0.333, 0.667], rtol=1e-12)
    Path("start.yaml").write_text("weights: {web: 0.6667, code: 0.333}\n")
    np.testing.assert_allclose(read_weights(Path("start.yaml"), ("code", "web")), [0.3331, 0.6669], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            None,
            r"start\.yaml: the configuration cannot be read \(No such file or directory\); expected `weights",
        ),
        ("{", r"start\.yaml, line 2, column 1: not valid YAML: "),
        ("[1]", r"expected `weights:` with one share for each of code, web"),
        ("method: natural", r"expected `weights:` with one share for each of code, web"),
        ("weights: {code: 1}", r"expected `weights:` with one share for each of code, web"),
        ("weights: {code: 0.5, web: 0.4, c4: 0.1}", r"expected `weights:` with one share for each of code, web"),
        ("weights: {code: 0.5, web: 0.4}", r"the weights sum to 0\.9; expected 1, so change one"),
        ("weights: {code: 1.5, web: -0.5}", r"weights\.code: expected a share from 0 to 1, found 1\.5"),
        ("weights: {code: .nan, web: 1}", r"weights\.code: expected a number, found nan"),
        ("weights: {code: x, web: 1}", r"weights\.code: expected a share from 0 to 1, found 'x'"),
    ],
)
def test_faults_of_initial_weights(here, console, text, message):
    if text is not None:
        Path("start.yaml").write_text(text)
    with pytest.raises(BylineError, match=message):
        doremi(Path("log.csv"), initial=Path("start.yaml"), console=console)


def test_what_is_written_is_a_mixture_of_the_configuration(here, console):
    doremi(Path("log.csv"), output=Path("weights.yaml"), console=console)
    skill_it(Path("rounds.csv"), output=Path("schedule.yaml"), console=console)
    weights, schedule = (
        read_mixture(yaml.safe_load(Path(name).read_text())) for name in ("weights.yaml", "schedule.yaml")
    )
    assert (weights.method, sum(weights.weights.values())) == ("weights", 1)
    assert schedule.method == "piecewise"
    assert [point.at for point in schedule.points] == [0, Fraction(1, 3), Fraction(2, 3)]
