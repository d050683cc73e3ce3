"""Byline's shards, as a trainer reads them; needs only pyarrow and numpy.

```python
import byline

shards = byline.open("out/meco")  # every row of the timeline, in training order
row = shards[0]  # input_ids [L], loss_mask [L], seq_lengths, doc_ids, doc_offsets, phase
rows = shards.phase("cooldown").batch([0, 1, 2])  # the same of several rows: input_ids [3, L], ...
byline.collate(rows, "varlen")  # a trainer's batch of them
shards.loader(batch=512, rank=0, world=8)  # batches with a state to resume from
byline.open("out/meco", branch="cooldown-25")  # the timeline up to where the branch leaves it, then the branch
```
"""

from typing import TYPE_CHECKING

from byline.errors import BylineError
from byline.lazy_exports import lazy_exports
from byline.loader import Loader
from byline.manifest import Manifest, read_manifest
from byline.reader import Shards
from byline.reader import open_shards as open
from byline.rows import Row, Rows

if TYPE_CHECKING:
    from byline.auditing import Audit, audit
    from byline.collating import collate
    from byline.prompt import Prompt, PromptPair, conditioned_prompt, prompt_ids, prompt_pair
    from byline.tables import to_table

__all__ = [
    "Audit",
    "BylineError",
    "Loader",
    "Manifest",
    "Prompt",
    "PromptPair",
    "Row",
    "Rows",
    "Shards",
    "audit",
    "collate",
    "conditioned_prompt",
    "open",
    "prompt_ids",
    "prompt_pair",
    "read_manifest",
    "to_table",
]

# What a trainer that only reads rows does without.
__getattr__ = lazy_exports(
    __name__,
    {
        "auditing": ("Audit", "audit"),
        "collating": ("collate",),
        "prompt": ("Prompt", "PromptPair", "conditioned_prompt", "prompt_ids", "prompt_pair"),
        "tables": ("to_table",),
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
