"""How many documents have each label that mixtures may divide by: one scan over the token store.

```
cut 0, topic     source web    label cooking  documents 12      a weight for `cookign`: an error, no document has it
                 source web    label news     documents  7      no weight for `news`: a warning, with its share
                 source books  label null     documents  9
```

Documents are all of the store, whatever stages select of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from byline.schemas.ledger import Amount
from byline.schemas.mixtures.mixture import UNKNOWN
from byline.transforms.fields.cuts import Cut, cut_columns
from byline.transforms.scans.counting import Scan, Summing, count_by_value
from byline.transforms.store.attribute_columns import StoredRun
from byline.transforms.store.run_reading import open_run


@dataclass(frozen=True)
class LabelCounter(Summing):
    """Documents and tokens by the number of the cut and the label; null for `UNKNOWN`.

    Attributes:
        cuts: counted by all labels that there are, whichever they name.
    """

    keys: ClassVar[pa.Schema] = pa.schema([pa.field("cut", pa.int32(), nullable=False), pa.field("label", pa.string())])

    cuts: Sequence[Cut]

    def count(self, run: str | StoredRun) -> pa.RecordBatch:
        """Counts over one run."""
        opened = open_run(run, sorted({"shuffle_key", "num_tokens", *cut_columns(self.cuts)}))
        batch = opened.whole()
        tokens = batch["num_tokens"].to_numpy().astype(np.int64)
        counts = []
        for number, cut in enumerate(self.cuts):
            texts = cut.texts(batch, opened.source)
            codes = texts.indices.fill_null(len(texts.dictionary)).to_numpy(zero_copy_only=False)
            labels = pa.concat_arrays([texts.dictionary, pa.nulls(1, pa.string())])
            distinct, documents, sums = count_by_value(codes.astype(np.int64), tokens)
            counts.append(self.batch(documents, sums, cut=number, label=labels.take(pa.array(distinct))))
        return self.merge(counts)


def count_labels(cuts: Sequence[Cut], scan: Scan) -> list[dict[str, Amount]]:
    """Label -> its documents, for each cut.

    Args:
        cuts: whose `labels` need not be known.
        scan: runs a counter over all runs of all sources; not called where there is no cut.
    """
    counted: list[dict[str, Amount]] = [{} for _ in cuts]
    if not cuts:
        return counted
    for row in scan(LabelCounter(cuts)).to_pylist():
        label = UNKNOWN if row["label"] is None else row["label"]
        known = counted[row["cut"]].get(label, Amount())
        counted[row["cut"]][label] = known + Amount(row["documents"], row["tokens"])
    return counted
