"""The settings of duplicates."""

from fractions import Fraction

import pytest
from pydantic import ValidationError

from byline.schemas.attribute_kinds import read_attribute


def test_what_is_not_said() -> None:
    made = read_attribute({"kind": "duplicates"})
    assert (made.near, made.similarity, made.normalization) == ("fineweb", None, "text")
    assert (made.priority, made.max_removed) == ([], Fraction(3, 5))
    assert list(made.column_types("twins")) == ["twins", "twins_of", "twins_sources", "twins_matched"]
    assert made.depends_on_all


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"near": "dolma"}, "'fineweb', 'nemo' or 'strict'"),
        ({"similarity": 0}, "above 0 with six decimals"),
        ({"similarity": "0.1234567"}, "above 0 with six decimals"),
        ({"similarity": 1.5}, "less than or equal to 1"),
        ({"near": None, "similarity": 0.5}, "of no use without `near`"),
        ({"priority": ["a", "b", "a"]}, "a stands there twice"),
        ({"priority": ["a", "b"], "sources": ["a"]}, "b is not among the `sources`"),
    ],
)
def test_mistakes(settings: dict[str, object], message: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=message):
        read_attribute({"kind": "duplicates", **settings})
