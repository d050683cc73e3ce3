"""Skills: what each record says is true, and what skills share is what the family says."""

import json
from pathlib import Path

import pytest

from byline.lab.corpora.skills import ChainSettings, IndependentSettings, write_chain, write_independent


def records(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def facts(path: Path) -> dict[str, str]:
    """Question -> answer, which no two records contradict."""
    told: dict[str, str] = {}
    for record in records(path):
        assert told.setdefault(record["question"], record["answer"]) == record["answer"]
    return told


def test_each_skill_of_a_chain_is_the_one_before_and_a_letter(tmp_path):
    write_chain(ChainSettings(skills=3, letters=3, examples=3000, seed=4), tmp_path)
    one, two, three = (facts(tmp_path / f"chain_{skill}.jsonl") for skill in (1, 2, 3))
    assert (len(one), len(two), len(three)) == (30, 90, 270)
    for longer, shorter in ((two, one), (three, two)):
        for question, answer in longer.items():
            assert answer == one[shorter[question[:-1]] + question[-1]]
    # A letter is a permutation.
    assert all(len({one[f"{digit}{letter}"] for digit in range(10)}) == 10 for letter in "abc")


def test_independent_skills_share_no_letter_and_do_the_same_to_each_word(tmp_path):
    write_independent(IndependentSettings(skills=3, letters=4, length=5, examples=2000), tmp_path)
    seen, ways = set(), set()
    for skill in (1, 2, 3):
        told = facts(tmp_path / f"independent_{skill}.jsonl")
        letters = {letter for question in told for letter in question}
        assert len(letters) == 4
        assert not letters & seen
        seen |= letters
        # Which position of the question decides each of the answer, and what is put for each letter.
        sources = []
        for position in range(5):
            deciding = [at for at in range(5) if len({(q[at], a[position]) for q, a in told.items()}) == 4]
            assert len(deciding) == 1
            sources += deciding
        assert sorted(sources) == [0, 1, 2, 3, 4]
        ways.add(tuple(sources))
    assert len(ways) == 3


def test_a_problem_is_what_may_be_held_out(tmp_path):
    write_chain(ChainSettings(skills=2, examples=50), tmp_path)
    assert {record["problem"] for record in records(tmp_path / "chain_1.jsonl")} == {None}
    assert all(record["problem"] == record["question"] for record in records(tmp_path / "chain_2.jsonl"))


def test_the_same_settings_give_the_same_bytes(tmp_path):
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_chain(ChainSettings(examples=100), tmp_path / name)
        made.append((tmp_path / name / "chain_3.jsonl").read_bytes())
    assert made[0] == made[1]


def test_skills_may_have_numbers_of_records_of_their_own(tmp_path):
    write_chain(ChainSettings(examples=[30, 20, 10]), tmp_path)
    assert [len(records(tmp_path / f"chain_{skill}.jsonl")) for skill in (1, 2, 3)] == [30, 20, 10]
    with pytest.raises(ValueError, match="or 3 of them, one for each skill"):
        ChainSettings(examples=[30, 20])
