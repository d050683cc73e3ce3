"""What the lists of selections match: one scan counts the documents that have a listed value.

```
select: {deny: {topic: [news, adz]}}     list 0  value news  documents 12     a warning: no document has topic 'adz'
select: {deny: {host: a million hosts}}  list 1  value null  documents 0      a warning: none of its values
```

Of a long list the documents are counted alone, not value by value. Documents are those of the sources that a step is
for, whether or not another step takes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from byline.schemas.config import Config
from byline.schemas.predicates import ValueList
from byline.schemas.recipe import Selection
from byline.transforms.fields.selecting import list_predicate, listed_values
from byline.transforms.fields.template_fields import columns_of_fields
from byline.transforms.scans.counting import Scan, Summing, count_by_value
from byline.transforms.scans.shared_predicates import SharedPredicate
from byline.transforms.store.attribute_columns import StoredRun
from byline.transforms.store.run_reading import open_run

# Longer lists are somebody else's, of which a corpus has a part.
SHORT_LIST = 50
_SHOWN = 3


@dataclass(frozen=True)
class AskedList:
    """One list of a recipe.

    Attributes:
        where: the key that has it.
        sources: that it is for.
        predicate: its `ValueList`.
    """

    where: str
    sources: list[str]
    predicate: SharedPredicate

    @property
    def values(self) -> ValueList:
        """The predicate."""
        assert isinstance(self.predicate, ValueList), self.predicate
        return self.predicate

    @property
    def is_short(self) -> bool:
        return len(self.values.values) <= SHORT_LIST


@dataclass(frozen=True)
class ListCounter(Summing):
    """Documents and tokens by the number of the list, and the value where the list is short."""

    keys: ClassVar[pa.Schema] = pa.schema(
        [pa.field("list", pa.int32(), nullable=False), pa.field("value", pa.string())]
    )

    lists: Sequence[AskedList]

    def count(self, run: str | StoredRun) -> pa.RecordBatch:
        """Counts over one run."""
        needed = columns_of_fields(asked.values.field for asked in self.lists)
        opened = open_run(run, sorted({"shuffle_key", "num_tokens", *needed}))
        lists = [(number, asked) for number, asked in enumerate(self.lists) if opened.source in asked.sources]
        if not lists:
            return self.merge([])
        batch = opened.whole()
        tokens = batch["num_tokens"].to_numpy().astype(np.int64)
        return self.merge([self._counted(number, asked, batch, opened.source, tokens) for number, asked in lists])

    def _counted(
        self, number: int, asked: AskedList, batch: pa.RecordBatch, source: str, tokens: np.ndarray
    ) -> pa.RecordBatch:
        values, codes, chosen = listed_values(asked.values, batch, source)
        if not asked.is_short:
            rows = int(chosen.any())
            documents, sums = np.full(rows, chosen.sum()), np.full(rows, tokens[chosen].sum())
            return self.batch(documents, sums, list=number, value=None)
        distinct, documents, sums = count_by_value(codes[chosen].astype(np.int64), tokens[chosen])
        return self.batch(documents, sums, list=number, value=values.take(pa.array(distinct)))


def find_unmatched(config: Config, scan: Scan) -> list[str]:
    """One line for each list with values that no document has.

    Args:
        config: the recipe.
        scan: runs a counter over all runs of all sources; not called where no step has a list.
    """
    lists = [
        asked
        for where, stage in config.located_stages()
        for step in stage.select
        for asked in _lists_of(where, step, config.sources_of(stage))
    ]
    if not lists:
        return []
    counts = scan(ListCounter(lists))
    matched: list[set[str | None]] = [set() for _ in lists]
    for number, value in zip(counts["list"].to_pylist(), counts["value"].to_pylist(), strict=True):
        matched[number].add(value)
    return [line for asked, found in zip(lists, matched, strict=True) if (line := _warning(asked, found)) is not None]


def _lists_of(where: str, step: Selection, sources: list[str]) -> list[AskedList]:
    """Those of a step, but for lists of sources: the recipe's check saw to the names of those."""
    chosen = [name for name in sources if step.sources is None or name in step.sources]
    return [
        AskedList(f"{where}.select: {kind}.{field}", chosen, list_predicate(field, values, kind == "allow"))
        for kind, of_kind in (("allow", step.allow), ("deny", step.deny))
        for field, values in of_kind.items()
        if field != "source" and chosen and values
    ]


def _warning(asked: AskedList, matched: set[str | None]) -> str | None:
    values, field = asked.values.values, asked.values.field
    if not matched:
        shown = repr(values[0]) if len(values) == 1 else f"any of its {len(values):,} values, such as {values[0]!r}"
        return f"{asked.where}: no document has {shown}"
    missing = [value for value in values if value not in matched] if asked.is_short else []
    if not missing:
        return None
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return f"{asked.where}: no document has {field} {', '.join(map(repr, missing[:_SHOWN]))}{more}"
