"""Two families of skills to learn: a chain, where each needs the one before, and skills that share nothing.

A letter stands for a permutation of the ten digits, which the text never tells. A question has a digit and letters that
are applied to it one after another:

```
f: 0 1 2 3 4 5 6 7 8 9   chain_1   3f     7          f(3)
   4 9 0 7 1 2 8 3 6 5   chain_2   3fg    1          g(f(3))
g: 0 1 2 3 4 5 6 7 8 9   chain_3   3fgf   9          f(g(f(3)))
   5 8 2 0 9 3 4 1 7 6
```

In a `chain`, skill k applies k letters, the same ones in all skills: whoever cannot do one letter cannot do two.
In the `independent` family every skill applies `depth` letters of its own, and no other skill shows what they do.

Files are `chain_1.jsonl`, or `independent_1.jsonl`, and so on, one for each skill, with the fields

- question, answer: as above, for the formatter `qa`;
- problem: the question, to hold all of its records out together (`holdout: {by: problem}`). It is null where one letter
  is applied: what a letter does to a digit cannot be known but by being told.

With the same seed the permutations are the same whatever the number of skills.
"""

import json
import string
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
        depth: how many are applied.
        examples: records of each skill.
        seed: decides the permutations and the questions.
    """

    skills: int = Field(default=3, ge=1, le=4)
    letters: int = Field(default=6, ge=2, le=13)
    depth: int = Field(default=2, ge=1, le=6)
    examples: int = Field(default=100_000, ge=1)
    seed: int = Field(default=0, ge=0)


def write_chain(settings: ChainSettings, folder: Path) -> None:
    """Writes the files of a chain."""
    letters = string.ascii_lowercase[: settings.letters]
    tables = _permutations(settings.seed, settings.letters)
    for skill, examples in enumerate(settings.counts, 1):
        path = folder / f"chain_{skill}.jsonl"
        _write(path, letters, tables, skill, examples, _generator(settings.seed, skill))


def write_independent(settings: IndependentSettings, folder: Path) -> None:
    """Writes the files of independent skills."""
    tables = _permutations(settings.seed, settings.skills * settings.letters)
    for skill in range(1, settings.skills + 1):
        own = slice((skill - 1) * settings.letters, skill * settings.letters)
        path, letters = folder / f"independent_{skill}.jsonl", string.ascii_letters[own]
        _write(path, letters, tables[own], settings.depth, settings.examples, _generator(settings.seed, skill))


def _generator(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, number]))


def _permutations(seed: int, count: int) -> np.ndarray:
    """int64 [count, 10]; row i is what letter i makes of each digit."""
    generator = _generator(seed, 0)
    return np.stack([generator.permutation(_DIGITS) for _ in range(count)])


def _write(
    path: Path, letters: str, tables: np.ndarray, depth: int, examples: int, generator: np.random.Generator
) -> None:
    """Writes questions that are drawn evenly; one may come again."""
    digits = generator.integers(0, _DIGITS, examples)
    applied = generator.integers(0, len(letters), (examples, depth))
    answers = digits
    for step in range(depth):
        answers = tables[applied[:, step], answers]
    words = np.array(list(letters))[applied]
    with path.open("w", encoding="utf-8") as sink:
        for digit, word, answer in zip(digits.tolist(), words.tolist(), answers.tolist(), strict=True):
            question = f"{digit}{''.join(word)}"
            record = {"question": question, "answer": f"{answer}", "problem": question if depth > 1 else None}
            sink.write(json.dumps(record) + "\n")


CHAIN = CorpusKind("chain", ChainSettings, write_chain)
INDEPENDENT = CorpusKind("independent", IndependentSettings, write_independent)
