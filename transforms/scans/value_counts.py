"""The commonest values of a field: one scan over the token store counts each value.

```
stage 0, top: {host: 2}    stage 0  field host  value a.org  documents 7
                           stage 0  field host  value b.org  documents 2    kept a.org, then b.org: of equally common
                           stage 0  field host  value c.org  documents 2    ones the first by its bytes
```

Documents are those that the stage selects, of all its sources; unknown values are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.transforms.fields.template_fields import columns_of_fields, field_values
from byline.transforms.scans.counting import Scan, Summing, count_by_value
from byline.transforms.scans.measuring import StageView
from byline.transforms.store.attribute_columns import StoredRun
from byline.transforms.store.run_reading import open_run


@dataclass(frozen=True)
class ValueCounter(Summing):
    """Documents and tokens by the number of the stage, field and value.

    Attributes:
        stages: those without `top` are left out.
    """

    keys: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("stage", pa.int32(), nullable=False),
            pa.field("field", pa.string(), nullable=False),
            pa.field("value", pa.string(), nullable=False),
        ]
    )

    stages: Sequence[StageView]

    def count(self, run: str | StoredRun) -> pa.RecordBatch:
        """Counts over one run."""
        views = [view for view in self.stages if _top_fields(view)]
        needed = set().union(*(view.predicate_columns | columns_of_fields(_top_fields(view)) for view in views))
        opened = open_run(run, sorted({"shuffle_key", "num_tokens", *needed}))
        batch, source = opened.whole(), opened.source
        counts = []
        for view in views:
            if view.condition is None or source not in view.predicates:
                continue
            chosen = batch.filter(pa.array(view.selected(batch, source)))
            tokens = chosen["num_tokens"].to_numpy().astype(np.int64)
            for name in _top_fields(view):
                values = field_values(chosen, source, name, view.condition.salt)
                texts, documents, sums = _count_values(values, tokens)
                counts.append(self.batch(documents, sums, stage=view.number, field=name, value=texts))
        return self.merge(counts)


def find_top_values(views: Sequence[StageView], scan: Scan) -> list[dict[str, list[str]]]:
    """The values that `top` keeps: for each view, field -> values, commonest first.

    Args:
        scan: runs a counter over all runs of all sources; not called where no view has a `top`.
    """
    if not any(_top_fields(view) for view in views):
        return [{} for _ in views]
    counts = scan(ValueCounter(views))
    return [{name: _commonest(counts, view, name) for name in _top_fields(view)} for view in views]


def _top_fields(view: StageView) -> list[str]:
    return [] if view.condition is None else list(view.condition.top)


def _count_values(values: pa.DictionaryArray, tokens: np.ndarray) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """The values but null, and int64 documents and tokens of each."""
    known = values.is_valid().to_numpy(zero_copy_only=False)
    codes, documents, sums = count_by_value(values.indices.filter(pa.array(known)).to_numpy(), tokens[known])
    return values.dictionary.take(pa.array(codes)), documents, sums


def _commonest(counts: pa.RecordBatch, view: StageView, name: str) -> list[str]:
    """The kept values of one field, by documents descending, then by UTF-8 bytes."""
    assert view.condition is not None, f"stage {view.number} has no condition"
    of_field = counts.filter(pc.and_(pc.equal(counts["stage"], view.number), pc.equal(counts["field"], name)))
    order = pc.sort_indices(of_field, sort_keys=[("documents", "descending"), ("value", "ascending")])
    kept = view.condition.kept_values(name, of_field.num_rows)
    return of_field["value"].take(order[:kept]).to_pylist()
