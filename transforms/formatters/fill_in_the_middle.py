"""The formatter `fim`: some texts are cut in three and reordered, so that a model learns to fill in the middle.

"Efficient Training of Language Models to Fill in the Middle" (arXiv 2207.14255), at the level of documents, before they
are tokenized; its modes PSM and SPM (variant 2 of its appendix D), with the names that are given here to its sentinels:

```
text     "the quick fox"          prefix "the q"   middle "uick "   suffix "fox"
PSM      <|fim_prefix|>the q<|fim_suffix|>fox<|fim_middle|>uick
SPM      <|fim_prefix|><|fim_suffix|>fox<|fim_middle|>the q|uick          (| : a cut, no token; prefix and middle are
                                                                          tokenized apart, as the paper does)
```

As in the paper, the loss counts everywhere, in the sentinels too. EOS, which says that the middle meets the suffix,
comes with the framed document. What happens to a document is decided by its shuffle key (docs/formats.md), never at
random: with `u(k) = splitmix64(shuffle_key ^ KEYS[k]) >> 11` and n the characters of the text,

- it is cut where `u(0) < floor(rate * 2^53)` and the text is not only white space; in mode SPM where then
  `u(1) < floor(spm_rate * 2^53)`;
- at the lesser and the greater of `u(2) mod (n + 1)` and `u(3) mod (n + 1)`.
"""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.documents import info_of
from byline.schemas.formatters import Formatter
from byline.splitmix import splitmix64
from byline.transforms.documents.shuffle_keys import has_share, shuffle_keys
from byline.transforms.documents.text_parts import (
    byte_positions,
    characters,
    is_blank,
    joined,
    span_lists,
    text_buffers,
    texts_of,
)

# One for each decision, so that they are independent of one another and of all else that a shuffle key decides.
KEYS = tuple(np.uint64(key) for key in (0x8EBC6AF09C88C6E3, 0x589965CC75374CC3, 0x1D8E4E27C47D124F, 0xEB44ACCAB455D165))


def fim(
    batch: pa.RecordBatch,
    *,
    rate: float = 0.5,
    spm_rate: float = 0.5,
    prefix: str = "<|fim_prefix|>",
    middle: str = "<|fim_middle|>",
    suffix: str = "<|fim_suffix|>",
) -> dict[str, pa.Array]:
    """Cuts texts in three.

    Args:
        batch: with columns `row` and `text`.
        rate: share of the documents that are cut.
        spm_rate: share of those that are written suffix first.
        prefix, middle, suffix: names of the special tokens before each part.

    Returns:
        `text` and `special_spans`; a document that is not cut stays as it is.

    Raises:
        BylineError: a share that is none, or a name that is no text.
    """
    cut_share, spm_share = (_share(name, share) for name, share in (("rate", rate), ("spm_rate", spm_rate)))
    for key, name in (("prefix", prefix), ("middle", middle), ("suffix", suffix)):
        if not isinstance(name, str) or not name:
            raise BylineError(f"fim: {key}: expected the name of a token, found {name!r}")
    info, text = info_of(batch), batch["text"]
    shuffle_key = shuffle_keys(info.source, info.path, batch["row"].to_numpy())
    # A text without anything in it is left to be dropped as such.
    is_cut = has_share(shuffle_key ^ KEYS[0], cut_share) & ~is_blank(text).to_numpy(zero_copy_only=False)
    is_spm = has_share(shuffle_key ^ KEYS[1], spm_share)
    parts = _thirds(pc.fill_null(text, ""), shuffle_key)
    psm = joined(prefix, parts[0], suffix, parts[2], middle, parts[1])
    spm = joined(prefix, suffix, parts[2], middle, parts[0], parts[1])
    written = pc.if_else(pa.array(is_spm), spm, psm)
    spans = _special_spans(is_cut, is_spm, [characters(part) for part in parts], [prefix, middle, suffix])
    return {"text": pc.if_else(pa.array(is_cut), written, text), "special_spans": spans}


def _share(name: str, share: float) -> Fraction:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise BylineError(f"fim: {name}: expected a share from 0 to 1, found {share!r}")
    return Fraction(str(share))


def _thirds(text: pa.Array, shuffle_key: np.ndarray) -> list[pa.Array]:
    """Prefix, middle and suffix of each text."""
    choices = characters(text).astype(np.uint64) + np.uint64(1)
    cuts = np.sort(
        np.stack([(splitmix64(shuffle_key ^ KEYS[key]) >> np.uint64(11)) % choices for key in (2, 3)], axis=1), axis=1
    )
    offsets = np.arange(0, 2 * len(text) + 1, 2)
    starts, data = text_buffers(text)
    borders = np.empty(3 * len(text) + 1, np.int64)
    borders[::3] = starts
    inner = byte_positions(text, cuts.reshape(-1).astype(np.int64), offsets)
    borders[1::3], borders[2::3] = inner[::2], inner[1::2]
    thirds = texts_of(borders, data)
    return [thirds.take(pa.array(np.arange(part, 3 * len(text), 3))) for part in range(3)]


def _special_spans(is_cut: np.ndarray, is_spm: np.ndarray, lengths: list[np.ndarray], names: list[str]) -> pa.Array:
    """The sentinels, and in mode SPM the cut between prefix and middle."""
    first, _, last = lengths
    prefix, middle, suffix = (len(name) for name in names)
    suffix_at = prefix + np.where(is_spm, 0, first)
    middle_at = suffix_at + suffix + last
    cut_at = middle_at + middle + first
    starts = np.stack([np.zeros_like(first), suffix_at, middle_at, cut_at], axis=1)
    ends = np.stack([np.full_like(first, prefix), suffix_at + suffix, middle_at + middle, cut_at], axis=1)
    used = np.stack([is_cut, is_cut, is_cut, is_cut & is_spm], axis=1)
    rows = np.nonzero(used)[0]
    return span_lists(rows, starts[used], ends[used], len(is_cut), ~is_cut)


FIM = Formatter(
    "fim",
    "some texts are cut in three, so that a model learns to fill in the middle",
    ("text",),
    fim,
    tokens=("prefix", "middle", "suffix"),
)
