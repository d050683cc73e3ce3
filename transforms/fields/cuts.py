"""Documents cut by what mixtures divide them by: a source and a label of each cut make a stratum.

```
cuts        topic: cooking, sport, null       quality: 2 bins, border 0.5
document    web   cooking   0.7               stratum  "web: topic=cooking, quality=1"
            web   news      0.2                        "web: other topic, quality=0"
            books (without the field)  0.9             "books: topic=null, quality=1"
```

A document is in exactly one stratum. Without cuts a source is its one stratum, and gives it its name. All documents of
a stratum have the same weight in every mixture of a recipe, so each stratum is planned as a stream of its own.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pyarrow as pa

from byline import salts
from byline.schemas.mixtures.mixture import UNKNOWN
from byline.schemas.predicates import NoNumber, Predicate
from byline.transforms.fields.limited_values import bin_numbers
from byline.transforms.fields.selecting import bin_predicates, list_predicate
from byline.transforms.fields.template_fields import columns_of_fields, field_values

_PLAIN = re.compile(r"[^\W_][\w .:/&+-]*")


@dataclass(frozen=True)
class Cut:
    """Labels by which documents are told apart.

    Attributes:
        field: a template field, or where there is a `kind` a number.
        sources: that have it; of the others every document is unknown.
        labels: each once, `UNKNOWN` among them. Documents of no label are the rest.
        kind: type of the number (`float32`, `float` or `int`).
        borders: of its bins, ascending; the labels are then the numbers of the bins, and `UNKNOWN`.
    """

    field: str
    sources: list[str]
    labels: list[str]
    kind: str | None = None
    borders: list[int | float] | None = None

    def columns(self) -> set[str]:
        """The columns of the token store that it needs."""
        return columns_of_fields([self.field])

    def texts(self, batch: pa.RecordBatch, source: str) -> pa.DictionaryArray:
        """dictionary<int32, string> [rows]: the label of each document, null where it is unknown."""
        if source not in self.sources:
            return pa.DictionaryArray.from_arrays(pa.nulls(batch.num_rows, pa.int32()), pa.array([], pa.string()))
        if self.borders is not None:
            return bin_numbers(batch[self.field], self.borders)
        return field_values(batch, source, self.field, salts.DEFAULT)

    def codes(self, batch: pa.RecordBatch, source: str) -> np.ndarray:
        """int64 [rows]: the number of each document's label, or of the rest, which is one behind the last."""
        texts, numbers = self.texts(batch, source), {label: number for number, label in enumerate(self.labels)}
        known = [numbers.get(text, len(self.labels)) for text in texts.dictionary.to_pylist()]
        by_code = np.array([*known, numbers[UNKNOWN]], np.int64)
        return by_code[texts.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)]

    def predicates(self, source: str, label: str | None) -> list[Predicate]:
        """What holds for the documents of a source that have a label, or with None are of the rest.

        None for a label that all of them have.
        """
        if source not in self.sources:
            return []
        if self.borders is not None and self.kind is not None:
            if label == UNKNOWN:
                return [NoNumber(self.field, self.kind)]
            return [bin_predicates(self.field, self.kind, self.borders)[int(label or 0)]]
        # A text that is called as what is unknown cannot be told from it in a recipe.
        named: list[str | None] = [None, *self.labels] if label is None else [label]
        return [list_predicate(self.field, [None, *named] if label == UNKNOWN else named, is_allowed=label is not None)]

    def labels_of(self, source: str) -> list[str | None]:
        """The labels that documents of a source may have; None is the rest."""
        if source not in self.sources:
            return [UNKNOWN]
        return [*self.labels, *([None] if self.borders is None else [])]

    def describe(self, label: str | None) -> str:
        """A label as text: `topic=cooking`."""
        if label is None:
            return f"other {self.field}"
        return f"{self.field}={label if _PLAIN.fullmatch(label) else json.dumps(label, ensure_ascii=False)}"


@dataclass(frozen=True)
class Stratum:
    """Documents of a source with one label of each cut.

    Attributes:
        name: that no other stratum has.
        source: of its documents.
        labels: of each cut; None for the rest.
        predicates: that hold for its documents, and no other ones of its source.
    """

    name: str
    source: str
    labels: tuple[str | None, ...]
    predicates: tuple[Predicate, ...]


def strata_of(cuts: Sequence[Cut], sources: Iterable[str]) -> list[Stratum]:
    """Every stratum that documents of these sources may be in."""
    return [
        Stratum(
            _name(cuts, source, labels),
            source,
            labels,
            tuple(one for cut, label in zip(cuts, labels, strict=True) for one in cut.predicates(source, label)),
        )
        for source in sources
        for labels in product(*(cut.labels_of(source) for cut in cuts))
    ]


def stratum_rows(cuts: Sequence[Cut], batch: pa.RecordBatch, source: str) -> list[tuple[str, np.ndarray]]:
    """The strata of some documents: the name and the rows (int64, ascending) of each that has any.

    Args:
        cuts: of the recipe.
        batch: documents of one source, with the columns that the cuts need.
        source: the source's name.
    """
    if not cuts or not batch.num_rows:
        return [(source, np.arange(batch.num_rows))] if batch.num_rows else []
    codes = np.zeros(batch.num_rows, np.int64)
    for cut in cuts:
        codes = codes * (len(cut.labels) + 1) + cut.codes(batch, source)
    order = np.argsort(codes, kind="stable")
    distinct, first = np.unique(codes[order], return_index=True)
    return [
        (_name(cuts, source, _labels(cuts, int(code))), rows)
        for code, rows in zip(distinct, np.split(order, first[1:]), strict=True)
    ]


def cut_columns(cuts: Iterable[Cut]) -> set[str]:
    """The columns of the token store that cuts need."""
    return {column for cut in cuts for column in cut.columns()}


def _labels(cuts: Sequence[Cut], code: int) -> tuple[str | None, ...]:
    labels: list[str | None] = []
    for cut in reversed(cuts):
        code, number = divmod(code, len(cut.labels) + 1)
        labels.append(cut.labels[number] if number < len(cut.labels) else None)
    return tuple(reversed(labels))


def _name(cuts: Sequence[Cut], source: str, labels: Sequence[str | None]) -> str:
    told = ", ".join(cut.describe(label) for cut, label in zip(cuts, labels, strict=True))
    return f"{source}: {told}" if told else source
