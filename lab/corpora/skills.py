"""Two families of skills to learn: a chain, where each needs the one before, and skills that share nothing.

In a `chain` a letter stands for a permutation of the ten digits, which the text never tells. A question has a digit and
letters that are applied to it one after another, k of them in skill k:

```
f: 0 1 2 3 4 5 6 7 8 9   chain_1   3f     7          f(3)
   4 9 0 7 1 2 8 3 6 5   chain_2   3fg    1          g(f(3))
g: 0 1 2 3 4 5 6 7 8 9   chain_3   3fgf   9          f(g(f(3)))
   5 8 2 0 9 3 4 1 7 6
```

The letters are the same in all skills: whoever cannot do one letter cannot do two.

In the `independent` family a skill rearranges words of letters of its own, and puts another letter for each, always in
the same way. No other skill has these letters, and each rearranges otherwise:

```
independent_1   abcab   cacdd      positions 4 3 1 5 2 of a word, and c for a, d for b, a for c, b for d
independent_2   egfhe   ghfee      positions 2 4 3 1 5, letters e to h as they are
```

Files are `chain_1.jsonl`, or `independent_1.jsonl`, and so on, one for each skill, with the fields

- question, answer: as above, for the formatter `qa`;
- problem: the question, to hold all of its records out together (`holdout: {by: problem}`). It is null where one letter
  is applied to a digit: what that is cannot be known but by being told.

With the same seed the permutations are the same whatever the number of skills.
"""

import json
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from byline.lab.corpora.corpus_kind import CorpusKind
from byline.schemas.model import Model

_DIGITS = 10


class ChainSettings(Model):
    """A chain.

    Attributes:
        skills: how many; the last applies so many letters.
        letters: how many there are.
        examples: records of each skill, one number or one for each.
        seed: decides the permutations and the questions.
    """

    skills: int = Field(default=3, ge=1, le=6)
    letters: int = Field(default=6, ge=2, le=26)
    examples: int | list[int] = 100_000
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_for_each(self) -> "ChainSettings":
        if min(self.counts) < 1 or len(self.counts) != self.skills:
            raise ValueError(f"examples: expected a number from 1 on, or {self.skills} of them, one for each skill")
        return self

    @property
    def counts(self) -> list[int]:
        """Records of each skill."""
        return self.examples if isinstance(self.examples, list) else [self.examples] * self.skills


class IndependentSettings(Model):
    """Skills of their own.

    Attributes:
        skills: how many.
        letters: how many each has.
        length: letters of a word.
        examples: records of each skill.
        seed: decides the permutations and the questions.
    """

    skills: int = Field(default=3, ge=1, le=4)
    letters: int = Field(default=8, ge=2, le=13)
    length: int = Field(default=6, ge=2, le=16)
    examples: int = Field(default=100_000, ge=1)
    seed: int = Field(default=0, ge=0)


def write_chain(settings: ChainSettings, folder: Path) -> None:
    """Writes the files of a chain; questions are drawn evenly, and may come again."""
    letters = np.array(list(string.ascii_lowercase[: settings.letters]))
    tables = _permutations(settings.seed, settings.letters)
    for skill, examples in enumerate(settings.counts, 1):
        generator = _generator(settings.seed, skill)
        digits = generator.integers(0, _DIGITS, examples)
        applied = generator.integers(0, settings.letters, (examples, skill))
        answers = digits
        for step in range(skill):
            answers = tables[applied[:, step], answers]
        questions = [f"{digit}{word}" for digit, word in zip(digits, _words(letters[applied]), strict=True)]
        problems = questions if skill > 1 else [None] * examples
        _write(folder / f"chain_{skill}.jsonl", questions, list(map(str, answers)), problems)


def write_independent(settings: IndependentSettings, folder: Path) -> None:
    """Writes the files of independent skills."""
    for skill in range(1, settings.skills + 1):
        generator = _generator(settings.seed, skill)
        letters = np.array(list(string.ascii_letters[(skill - 1) * settings.letters :][: settings.letters]))
        positions, instead = generator.permutation(settings.length), generator.permutation(settings.letters)
        asked = generator.integers(0, settings.letters, (settings.examples, settings.length))
        questions, answers = _words(letters[asked]), _words(letters[instead[asked[:, positions]]])
        _write(folder / f"independent_{skill}.jsonl", questions, answers, questions)


def _generator(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, number]))


def _permutations(seed: int, count: int) -> np.ndarray:
    """int64 [count, 10]; row i is what letter i makes of each digit."""
    generator = _generator(seed, 0)
    return np.stack([generator.permutation(_DIGITS) for _ in range(count)])


def _words(letters: np.ndarray) -> list[str]:
    """The rows of a table of letters."""
    return ["".join(row) for row in letters.tolist()]


def _write(path: Path, questions: Sequence[str], answers: Sequence[str], problems: Sequence[str | None]) -> None:
    """Writes a file of records."""
    with path.open("w", encoding="utf-8") as sink:
        for question, answer, problem in zip(questions, answers, problems, strict=True):
            sink.write(json.dumps({"question": question, "answer": answer, "problem": problem}) + "\n")


CHAIN = CorpusKind("chain", ChainSettings, write_chain)
INDEPENDENT = CorpusKind("independent", IndependentSettings, write_independent)
