"""Statements of made-up results, word for word."""

from typing import Any

import pytest

from byline.errors import BylineError
from byline.lab.results import statements
from byline.lab.results.kinds import Known
from byline.lab.results.statements import Verdict, answers, parse_statements, rule
from tests.lab.results.made import ARMS, made_results

RESULTS = made_results()


def stated(kind: str, **values: Any) -> Any:
    (statement,) = answers(parse_statements([{"kind": kind, "evaluation": "none", **values}]), RESULTS)
    return statement


def test_a_better_final_value() -> None:
    statement = stated("compare", arm="cooldown", against={"arm": "standard"})
    assert statement.question == "Is the loss of cooldown lower than that of standard?"
    assert statement.verdict is Verdict.YES
    assert statement.answer == "cooldown: 0.991 ± 0.010; standard: 1.182 ± 0.010."
    assert statement.numbers[0] == ("cooldown, range of 3 seeds", "0.981 to 1.001")
    assert statement.chance == 20


def test_a_question_names_its_source() -> None:
    statement = stated("compare", arm="cooldown", source="web", against={"arm": "standard"})
    assert statement.question == "Is the loss of cooldown lower than that of standard, on web?"


def test_the_other_way_round_is_no() -> None:
    assert stated("compare", arm="standard", against={"arm": "cooldown"}).verdict is Verdict.NO


def test_a_difference_within_the_spread_is_called_so() -> None:
    statement = stated("compare", arm="standard", metric="exact", against={"arm": "hashed"})
    assert statement.verdict is Verdict.WITHIN


def test_another_evaluation_of_the_same_arm() -> None:
    statement = stated(
        "compare", arm="conditioned", evaluation="host", against={"evaluation": "none"}, published="it helps"
    )
    assert statement.question == "Is the loss of conditioned on host lower than that of conditioned on none?"
    assert (statement.verdict, statement.published) == (Verdict.YES, "it helps")


def test_reaching_another_arms_end() -> None:
    statement = stated("reach", arm="cooldown", of="standard")
    assert statement.verdict is Verdict.YES
    assert statement.answer == "cooldown reaches the final loss of standard with 0.17 (0.15 to 0.20) of its tokens."
    assert statement.numbers[:2] == (
        ("pairs of seeds in which cooldown is sooner", "9 of 9"),
        ("the other way round", "standard does not reach the final loss of cooldown"),
    )
    assert stated("reach", arm="standard", of="cooldown").verdict is Verdict.NO


def test_an_end_that_is_reached_in_some_pairs_only() -> None:
    statement = stated("reach", arm="standard", of="standard", metric="exact")
    assert statement.verdict is Verdict.WITHIN
    assert statement.answer.startswith(
        "standard reaches the final exact match of standard in 6 of 9 pairs of seeds, there with"
    )


def test_the_order_of_arms() -> None:
    statement = stated("order", arms=["conditioned", "standard", "cooldown"], metric="exact", threshold=0.5, x="step")
    assert (
        statement.question == "In which order do conditioned, standard and cooldown come by steps to exact match 50 %?"
    )
    assert statement.verdict is Verdict.ORDERED
    assert statement.answer == "cooldown, before standard, before conditioned."
    assert statement.numbers[0] == ("cooldown", "278 steps; 300 steps; 322 steps")


def test_arms_that_are_not_told_apart_stand_together() -> None:
    statement = stated("order", arms=list(ARMS), metric="exact", threshold=0.5)
    assert statement.verdict is Verdict.PARTLY
    assert statement.answer == (
        "cooldown, before standard and hashed, before conditioned. "
        "Within the spread of each other: standard and hashed."
    )
    pair = stated("order", arms=["hashed", "standard"], metric="exact", threshold=0.5)
    assert (pair.verdict, pair.answer) == (Verdict.WITHIN, "Not told apart: standard and hashed.")


def test_a_threshold_that_no_arm_reaches() -> None:
    statement = stated("order", arms=["hashed", "standard"], threshold=0.5)
    assert statement.verdict is Verdict.WITHIN
    assert statement.answer == "Not told apart: hashed and standard. In no seed reached: hashed and standard."


def test_an_arm_that_never_reaches_it_is_last() -> None:
    statement = stated("order", arms=["conditioned", "cooldown"], threshold=1.1)
    assert statement.answer == "cooldown, before conditioned. In no seed reached: conditioned."
    assert statement.numbers[1][1].startswith("not within 2M tokens; ")


def test_an_order_by_final_values() -> None:
    assert stated("order", arms=["conditioned", "cooldown"]).answer == "cooldown, before conditioned."


def test_each_model_is_a_statement_of_its_own() -> None:
    questions = parse_statements(
        [{"kind": "reach", "arm": "cooldown", "of": "standard", "evaluation": "none", "model": "each"}]
    )
    assert [one.question.split(", ")[-1] for one in answers(questions, RESULTS)] == ["at 0.2M?", "at 1M?"]


def test_one_seed_has_no_verdict() -> None:
    single = made_results(seeds=(0,))
    questions = parse_statements([{"kind": "reach", "arm": "cooldown", "of": "standard", "evaluation": "none"}])
    (statement,) = answers(questions, single)
    assert (statement.verdict, statement.chance) == (Verdict.FEW, 2)
    assert "would put all seeds of a given side first 1 in 2 times" in rule([statement])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "rech"}, "statements.0: unknown kind 'rech'; did you mean reach?"),
        ({}, "statements.0: unknown kind None; expected one of compare, reach, order"),
        ({"kind": "reach", "off": "a"}, "statements.0 (reach): unknown key 'off'; did you mean of?"),
        ({"kind": "reach", "arm": "cooldown"}, "statements.0 (reach): evaluation: Field required"),
        (
            {"kind": "order", "evaluation": "none", "arms": ["cooldown", "standrad"]},
            "statements.0 (order): arms: the study has no 'standrad'; did you mean standard?",
        ),
        (
            {"kind": "compare", "evaluation": "none", "arm": "cooldown/at-25", "against": {"evaluation": "hots"}},
            "statements.0 (compare): evaluation: the study has no 'hots'; did you mean host?",
        ),
    ],
)
def test_wrong_statements_are_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BylineError) as error:
        parse_statements([values], Known(list(ARMS), ["none", "host"]))
    assert str(error.value) == message


def test_pairs_that_are_told_apart_are_named_where_neighbours_are_not():
    words = statements._in_words(["a", "b", "c"], [False, False], [("a", "c")])
    assert words == "On average a, before b, before c. In every seed: a before c."
