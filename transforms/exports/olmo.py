"""OLMo-core's flat arrays: ids and label masks without a header, a file of each a shard, and where segments begin.

```
tokens/conditioned/00003-of-00012.npy        uint16, or uint32 from 65,537 ids on: rows of L tokens, one after another
tokens/conditioned/00003-of-00012.csv.gz     a line a segment, padding left out: its first token, the one after its last
label_mask/conditioned/00003-of-00012.npy    bool (a byte each), True where a token is predicted

rows      0 22 27  5  0  8 | 0  3  4  5  1  1     segments of 4 and 2, and of 4 and padding
csv.gz    0,4   4,6          6,10
```

Files hold whole rows, so `NumpyFSLDataset` with `sequence_length` L cuts them where they end, and takes segments to end
at EOS. `NumpyPackedFSLDataset` with `use_array_if_local=False` reads where they do, and packs them into rows anew.
"""

import gzip

import numpy as np

from byline.shards import PADDING_DOC_ID
from byline.targets import Spread
from byline.transforms.exports.export_format import ExportFormat, ShardFiles, ShardRows, write_array


class Olmo(ExportFormat):
    """What `NumpyFSLDataset` and `NumpyPackedFSLDataset` take as `paths` and `label_mask_paths`."""

    name = "olmo"
    line = (
        "`tokens/PHASE/*.npy`: uint16 or uint32 without a header; `tokens/PHASE/*.csv.gz`: where segments begin; "
        "`label_mask/PHASE/*.npy`: bool | OLMo-core's `NumpyFSLDataset`, or `NumpyPackedFSLDataset` | doc ids and doc "
        "offsets, and segments or rows ([below](#olmo)); loss weights (`--drop-weights`)"
    )
    note = (
        "NumpyPackedFSLDataset is told where segments begin, NumpyFSLDataset goes by EOS; give label_mask_paths, "
        "and shuffle nothing that is to keep its phase"
    )

    def write(self, rows: ShardRows, files: ShardFiles) -> int:
        dtype = np.uint16 if rows.vocabulary <= 1 << 16 else np.uint32
        stem, masks = f"tokens/{rows.stem}", f"label_mask/{rows.stem}.npy"
        before = otherwise = 0
        with (
            files.create(f"{stem}.npy", rows.count) as ids,
            files.create(masks, rows.count) as mask,
            files.create(f"{stem}.csv.gz", rows.count) as compressed,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=compressed, mtime=0) as segments,
        ):
            for spread in rows.batches():
                segments.write(segment_lines(spread, before))
                before += spread.rows["input_ids"].size
                write_array(ids, spread.rows["input_ids"].astype(dtype))
                write_array(mask, spread.trained.view(np.uint8))
                starts = np.zeros(spread.shape, np.bool_)
                starts.reshape(-1)[spread.starts] = True
                guessed = document_starts(spread.rows["input_ids"], rows.bos_id, rows.eos_id)
                otherwise += int((guessed != starts).any(axis=1).sum())
        return otherwise


def segment_lines(spread: Spread, before: int) -> bytes:
    """Lines of a `.csv.gz`, after so many tokens."""
    is_padding = spread.rows["doc_ids"] == PADDING_DOC_ID
    starts = (spread.starts + before)[~is_padding]
    ends = starts + spread.rows["seq_lengths"][~is_padding]
    return "".join(map("{},{}\n".format, starts.tolist(), ends.tolist())).encode()


def document_starts(ids: np.ndarray, bos_id: int | None, eos_id: int | None) -> np.ndarray:
    """Where OLMo-core takes a document to begin, told all special ids that there are: bool [n, L] of ids [n, L]."""
    starts = np.zeros(ids.shape, np.bool_)
    starts[:, 0] = True
    if eos_id is not None:
        starts[:, 1:] |= ids[:, :-1] == eos_id
        if bos_id is not None:
            starts[:, 1:] &= ids[:, 1:] == bos_id
    return starts
