"""OLMo-core's flat arrays: ids and label masks without a header, a file of each a shard.

```
tokens/conditioned/00003-of-00012.npy        uint16, or uint32 from 65,537 ids on: rows of L tokens, one after another
label_mask/conditioned/00003-of-00012.npy    bool (a byte each), True where a token is predicted
```

Files hold whole rows, so `NumpyFSLDataset` with `sequence_length` L cuts them where they end.
"""

import numpy as np

from byline.transforms.exports.export_format import ExportFormat, ShardFiles, ShardRows, write_array


class Olmo(ExportFormat):
    """What `NumpyFSLDataset` takes as `paths` and `label_mask_paths`."""

    name = "olmo"
    line = (
        "`tokens/PHASE/*.npy`: uint16 or uint32 without a header; `label_mask/PHASE/*.npy`: bool | OLMo-core's "
        "`NumpyFSLDataset` | segments: OLMo-core takes EOS, or EOS before BOS, for the end of a document, so a "
        "cut document (`best_fit`, `concat`) and padding run into what follows; doc ids and doc offsets"
    )
    note = "give label_mask_paths, and shuffle nothing that is to keep its phase"

    def write(self, rows: ShardRows, files: ShardFiles) -> int:
        dtype = np.uint16 if rows.vocabulary <= 1 << 16 else np.uint32
        tokens, masks = f"tokens/{rows.stem}.npy", f"label_mask/{rows.stem}.npy"
        otherwise = 0
        with files.create(tokens, rows.count) as ids, files.create(masks, rows.count) as mask:
            for spread in rows.batches():
                write_array(ids, spread.rows["input_ids"].astype(dtype))
                write_array(mask, spread.trained.view(np.uint8))
                starts = np.zeros(spread.shape, np.bool_)
                starts.reshape(-1)[spread.starts] = True
                guessed = document_starts(spread.rows["input_ids"], rows.bos_id, rows.eos_id)
                otherwise += int((guessed != starts).any(axis=1).sum())
        return otherwise


def document_starts(ids: np.ndarray, bos_id: int | None, eos_id: int | None) -> np.ndarray:
    """Where OLMo-core takes a document to begin, told all special ids that there are: bool [n, L] of ids [n, L]."""
    starts = np.zeros(ids.shape, np.bool_)
    starts[:, 0] = True
    if eos_id is not None:
        starts[:, 1:] |= ids[:, :-1] == eos_id
        if bos_id is not None:
            starts[:, 1:] &= ids[:, 1:] == bos_id
    return starts
