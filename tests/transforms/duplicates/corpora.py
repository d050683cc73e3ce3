"""Random documents with planted copies."""

from collections.abc import Sequence

import numpy as np

WORDS = [
    "the",
    "dough",
    "rises",
    "4",
    "Wörter",
    "in",
    "a",
    "warm",
    "kitchen.",
    "for",
    "hours,",
    "no",
    "99",
    "漢字",
    "knead",
]


def changed(text: str, share: float, rng: np.random.Generator) -> str:
    """A copy with this share of its words changed, one at least."""
    words = text.split(" ")
    for at in rng.choice(len(words), max(1, round(share * len(words))), replace=False):
        words[at] = f"changed{rng.integers(1000)}"
    return " ".join(words)


def random_text(rng: np.random.Generator, size: int) -> str:
    numbers = rng.integers(0, 80, size)
    return " ".join(
        f"{word}{number if number < 50 else ''}" for word, number in zip(rng.choice(WORDS, size), numbers, strict=True)
    )


def planted(
    seed: int, originals: int, shares: Sequence[float] = (0, 0.01, 0.05, 0.2), sizes: tuple[int, int] = (1, 200)
) -> list[str]:
    """Originals, of each a copy for some shares (0: other cases alone), and some texts of next to nothing, shuffled."""
    rng = np.random.default_rng(seed)
    texts = [random_text(rng, int(rng.integers(*sizes))) for _ in range(originals)]
    copies = [
        text.upper() if share == 0 else changed(text, share, rng)
        for text in texts
        for share in shares
        if rng.random() < 0.6
    ]
    mixed = [*texts, *copies, "", "...", "...", "—", "one", "One!", " "]
    rng.shuffle(mixed)
    return mixed


def versions(seed: int, originals: int) -> list[str]:
    """Pages that change a little from version to version: the first is like the second, but not like the last."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(originals):
        text = random_text(rng, int(rng.integers(40, 160)))
        for _ in range(int(rng.integers(1, 14))):
            texts.append(text)
            text = changed(text, float(rng.choice([0.005, 0.01, 0.02, 0.03])), rng)
    return texts
