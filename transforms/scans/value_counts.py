r"""The commonest values of a field: one scan over the token store counts each value.

```
part 0, top: {host: 2}     key "0\thost\ta.org"  documents 7
                           key "0\thost\tb.org"  documents 2     kept a.org, then b.org: of equally common ones
                           key "0\thost\tc.org"  documents 2     the first by its bytes
```

Documents are those that the stage selects, of all its sources; unknown values are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.transforms.fields.template_fields import columns_of_fields, field_values
from byline.transforms.scans.counting import Scan, Summing, count_by_bin
from byline.transforms.scans.measuring import StageView
from byline.transforms.store.run_reading import open_run


@dataclass(frozen=True)
class ValueCounter(Summing):
    """Documents and tokens by value; key `stage<TAB>field<TAB>value`, bin 0.

    Attributes:
        parts: those without `top` are passed over.
    """

    stages: Sequence[StageView]

    def count(self, uri: str) -> pa.RecordBatch:
        """Counts over one run."""
        views = [view for view in self.stages if _top_fields(view)]
        needed = set().union(*(view.predicate_columns | columns_of_fields(_top_fields(view)) for view in views))
        run = open_run(uri, sorted({"shuffle_key", "num_tokens", *needed}))
        batch, source = run.whole(), run.source
        stages = []
        for view in views:
            if view.condition is None or source not in view.predicates:
                continue
            chosen = batch.filter(pa.array(view.selected(batch, source)))
            tokens = chosen["num_tokens"].to_numpy().astype(np.int64)
            for name in _top_fields(view):
                values = field_values(chosen, source, name, view.condition.salt)
                stages.append(_count_values(_key(view, name), values, tokens))
        return self.merge(stages)


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


def _key(view: StageView, name: str) -> str:
    """What the keys of a field's values begin with; neither a number nor a name of a field has a tab."""
    return f"{view.number}\t{name}\t"


def _count_values(key: str, values: pa.DictionaryArray, tokens: np.ndarray) -> pa.RecordBatch:
    """Documents and tokens of each value but null."""
    known = values.is_valid().to_numpy(zero_copy_only=False)
    counts = count_by_bin(key, values.indices.filter(pa.array(known)).to_numpy(), tokens[known])
    texts = values.dictionary.take(counts["bin"])
    keys = pc.binary_join_element_wise(counts["key"], texts, pa.scalar("", pa.string()))
    zeros = pa.array(np.zeros(len(keys), np.int64))
    return pa.RecordBatch.from_arrays([keys, zeros, counts["documents"], counts["tokens"]], schema=counts.schema)


def _commonest(counts: pa.RecordBatch, view: StageView, name: str) -> list[str]:
    """The kept values of one field, by documents descending, then by UTF-8 bytes."""
    assert view.condition is not None, f"part {view.number} has no condition"
    key = _key(view, name)
    mine = counts.filter(pc.starts_with(counts["key"], key))
    order = pc.sort_indices(mine, sort_keys=[("documents", "descending"), ("key", "ascending")])
    kept = mine["key"].take(order[: view.condition.kept_values(name, mine.num_rows)])
    return pc.utf8_slice_codeunits(kept, start=len(key)).to_pylist()
