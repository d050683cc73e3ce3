"""The rule on a regular expression, in RE2 syntax."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator, model_validator

from byline.errors import BylineError
from byline.transforms.filters.document_view import DocumentView
from byline.transforms.filters.rules import Rule, SourceColumns, Test


class Matches(Rule):
    """A regular expression; a missing field matches nothing.

    Attributes:
        keep, drop: the expression, found anywhere in the field; exactly one of the two.
        field: `text`, `url`, `host`, `registered_domain`, a label, or a field kept as string.
    """

    kind: ClassVar[str] = "matches"
    keeps: ClassVar[str] = (
        "documents whose `field` (the text by default) matches the regular expression `keep`, or does not match `drop`"
    )

    keep: str | None = None
    drop: str | None = None
    field: str = "text"

    @field_validator("keep", "drop")
    @classmethod
    def _is_expression(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            pc.match_substring_regex(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{pattern!r} is not a regular expression of RE2 ({error})") from None
        return pattern

    @model_validator(mode="after")
    def _one(self) -> "Matches":
        if (self.keep is None) == (self.drop is None):
            raise ValueError("expected one of keep and drop, the regular expression")
        return self

    def check(self, columns: SourceColumns) -> None:
        if self.field not in columns.texts:
            known = ", ".join(columns.texts)
            raise BylineError(f"field: source {columns.source!r} has no text {self.field!r}; it has: {known}")

    def open(self, cache_folder: str) -> Test:
        def keeps(documents: DocumentView) -> np.ndarray:
            values = documents.texts if self.field == "text" else documents.column(self.field)
            matches = _matches(values, self.keep if self.drop is None else self.drop)
            return matches if self.drop is None else ~matches

        return keeps


def _matches(values: pa.Array, pattern: str | None) -> np.ndarray:
    if pa.types.is_dictionary(values.type):
        flags = pc.match_substring_regex(values.dictionary, pattern).take(values.indices)
    else:
        flags = pc.match_substring_regex(values, pattern)
    return pc.fill_null(flags, False).to_numpy(zero_copy_only=False)
