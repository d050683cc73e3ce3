"""Documents that have text of evaluation sets, which must not be trained.

```yaml
evals:
  kind: contamination
  sets:
    gsm8k: {path: evals/gsm8k/test.jsonl, fields: [question, answer]}
    arc:   {path: "evals/arc/*.parquet",  fields: [question, choices.text]}
  words: 13                                # of an n-gram; published: 13 (GPT-3, lm-evaluation-harness), 8 (PaLM, Olmo)
```

| column | type | |
|---|---|---|
| evals | bool | whether an n-gram of a set occurs, and these cover `least_overlap` of the document's words |
| evals_overlap | float32 | the share of its words that they cover |
| evals_sets | string | names of the sets, sorted, with `+` between; null for none |
| evals_ranges | ranges | the tokens that they cover, for `mask`; null for none |
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from pydantic import Field, model_validator

from byline.schemas.attribute_kinds.attribute import Attribute, ColumnType
from byline.schemas.corpora import Patterns
from byline.schemas.field_paths import FieldPath
from byline.schemas.model import Model, Name, Share

# What is said of shorter n-grams in papers; two or three words of an item occur everywhere.
_LEAST_WORDS = 8


class EvaluationSet(Model):
    """One set.

    Attributes:
        path: pattern(s) of its files, JSON lines (compressed or not) or Parquet, an item each record.
        fields: paths of an item's texts, which are joined in this order; a list of texts is joined, too.
    """

    path: Patterns
    fields: list[FieldPath] = Field(min_length=1)


class ContaminationAttribute(Attribute):
    """Which sets, and what counts as an overlap.

    Attributes:
        sets: by name.
        words: of an n-gram.
        least_words: an item of fewer words than an n-gram is one as a whole if it has this many, else it is not
            checked; by default 8, or `words` if that is less.
        least_overlap: the share of its words from which on a document counts as contaminated; with 0, one n-gram does.
    """

    kind: Literal["contamination"] = "contamination"
    sets: dict[Name, EvaluationSet] = Field(min_length=1)
    words: int = Field(default=13, ge=2, le=100)
    least_words: int | None = Field(default=None, ge=1)
    least_overlap: Share = Fraction(0)

    @model_validator(mode="after")
    def _fewer(self) -> "ContaminationAttribute":
        if self.least_words is not None and self.least_words > self.words:
            raise ValueError(f"least_words: expected {self.words} (`words`) at most, found {self.least_words}")
        return self

    @property
    def fewest(self) -> int:
        """`least_words`, or its default."""
        return min(_LEAST_WORDS, self.words) if self.least_words is None else self.least_words

    def column_types(self, name: str) -> Mapping[str, ColumnType]:
        """As the table above has them."""
        return {name: "bool", f"{name}_overlap": "float32", f"{name}_sets": "string", f"{name}_ranges": "ranges"}
