"""`byline.collate`: rows as the batch of a trainer, in numpy.

```python
rows = shards.batch(range(8))                    # or a list of rows, as a data loader's collate_fn gets them
byline.collate(rows)                             # input_ids, labels, position_ids: as transformers takes them
byline.collate(rows, "varlen", dtype="int32")    # one sequence, cu_seqlens, max_seqlen
byline.collate(rows, add=("segment_ids",))       # and the number of each token's segment
```
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from byline.errors import BylineError
from byline.forms import Form, form_of
from byline.printable import shown
from byline.rows import Row, Rows, stack_rows
from byline.targets import Empty, Spread


def collate(
    rows: Rows | Sequence[Row],
    form: str = "huggingface",
    *,
    dtype: str = "int64",
    train_starts: bool = False,
    add: Sequence[str] = (),
    empty: Empty = np.empty,
) -> dict[str, Any]:
    """A batch as a trainer takes it.

    A token is predicted if its loss mask is 1 and it stands in the same segment as the token before it.

    Args:
        rows: from `Shards.batch`, or a list of rows.
        form: one of `byline.forms.FORMS`, which docs/trainers.md describes. With rows of a build that has weights, a
            batch has `loss_weight` (float32) beside its labels, 0 where nothing is predicted; that of `megatron` has
            them as its loss mask.
        dtype: of ids, labels and positions, `int64` or `int32`.
        train_starts: also predict the first token of a segment, from the document before it; never a row's first token.
        add: what else the batch is to have: `segment_ids` (int32, numbers of the tokens' segments), `doc_ids` (int64,
            -1 at padding), `loss_mask` (uint8, at the tokens themselves), each laid out as the ids are; `phase` (str,
            of each row).
        empty: makes the large arrays, `empty(shape, dtype)`: for batches in pinned memory, say.

    Returns:
        New arrays by name.

    Raises:
        BylineError: there is no such form, dtype or addition, or the rows are of several lengths.
    """
    made = form_of(form)
    if dtype not in ("int32", "int64"):
        raise BylineError(f"dtype {shown(dtype)} of a batch; expected 'int64' or 'int32'")
    unknown = [name for name in add if name not in ADDITIONS]
    if unknown:
        raise BylineError(f"no {shown(unknown[0])} to add to a batch; there are {', '.join(ADDITIONS)}")
    spread = Spread(_stacked(rows), train_starts, empty)
    batch = made.make(spread, np.dtype(dtype))
    weights = None if made.with_labels is None else spread.weights
    if made.with_labels is not None and weights is not None:
        batch["loss_weight"] = made.with_labels(weights)
    return {**batch, **{name: ADDITIONS[name](spread, made) for name in add}}


def _stacked(rows: Rows | Sequence[Row]) -> Rows:
    if not isinstance(rows, dict):
        return stack_rows(cast(Sequence[Row], rows))
    if "segments" not in rows:
        raise BylineError("expected rows, found one row; collate([row]) makes a batch of it")
    return cast(Rows, rows)


ADDITIONS: dict[str, Callable[[Spread, Form], np.ndarray]] = {
    "segment_ids": lambda spread, form: form.lay_out(spread.segment_ids(form.is_flat)),
    "doc_ids": lambda spread, form: form.lay_out(spread.of_segments(spread.rows["doc_ids"])),
    "loss_mask": lambda spread, form: form.lay_out(spread.rows["loss_mask"].copy()),
    "phase": lambda spread, form: spread.rows["phase"],
}
