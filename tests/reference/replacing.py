"""Puts placeholders in place of ranges of a document's own tokens, token by token.

```
tokens    10 11 12 13 14 15 16      secrets 1-3 -> 90     quotes 2-5 -> 91     masked 4-7
groups    {1 2 3 4} of 90, which begins first             left  10 90 15 16    masked 1-4
```
"""

from collections.abc import Sequence
from dataclasses import replace

from tests.reference.assembly import Document
from tests.reference.layout import ranges_of

# Ranges (start, end) of own tokens, and the id of the token that stands for each of them.
Column = tuple[Sequence[tuple[int, int]], int]


def with_placeholders(document: Document, columns: Sequence[Column]) -> Document:
    """A document of the token store as a recipe that replaces these ranges has it; `num_tokens` is what is left.

    Args:
        columns: in order of their names.
    """
    groups = _groups(columns)
    tokens: list[int] = []
    weights: list[float] = []
    at: list[int] = []
    for number, token in enumerate(document.tokens):
        group = next((group for group in groups if number in group[0]), None)
        if group is None or number == min(group[0]):
            tokens.append(token if group is None else group[1])
            weights.append(1.0 if document.weights is None else document.weights[number])
        at.append(len(tokens) - 1)
    masked = {at[number] for start, end in document.masked for number in range(start, end)}
    size = len(tokens)
    return replace(
        document,
        tokens=tokens,
        masked=ranges_of(sorted(masked)),
        weights=None if document.weights is None else weights,
        values={**document.values, **({"num_tokens": str(size)} if "num_tokens" in document.values else {})},
        numbers={**document.numbers, "num_tokens": size},
        replaced=sum(len(group) for group, _ in groups),
        placeholders=len(groups),
    )


def _groups(columns: Sequence[Column]) -> list[tuple[set[int], int]]:
    """Tokens that are replaced together, with their placeholder: those of ranges that share one."""
    ranges = [
        (set(range(start, end)), (start, start - end, number))
        for number, (borders, _) in enumerate(columns)
        for start, end in borders
        if start < end
    ]
    groups: list[tuple[set[int], tuple[int, int, int]]] = []
    for tokens, rank in ranges:
        shared = [group for group in groups if group[0] & tokens]
        groups = [group for group in groups if not group[0] & tokens]
        groups.append((tokens.union(*(group[0] for group in shared)), min([rank, *(group[1] for group in shared)])))
    return [(tokens, columns[number][1]) for tokens, (_, _, number) in groups]
