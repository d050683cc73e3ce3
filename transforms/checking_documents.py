"""Sampled documents, from the raw corpus to the shard: tokenized by `tokenizers` alone, compared token by token.

```
segment   doc id 4294967299 = file 1, row 3     offset 0     ids 0 22428 27 ...    mask 0 0 0 ...
raw       file 1, row 3  ->  text, url  ->  BOS prefix tokens EOS and mask  ->  the part that the segment should be
```
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.config import Config
from schemas.documents import InputFile
from schemas.recipe import Condition
from transforms.metadata import extract_metadata
from transforms.placing import in_sample, places
from transforms.reading import read_batches
from transforms.scoring import Scorer, score_batch
from transforms.template_fields import filled_prefixes, unknown_prefix
from transforms.tokenizing import TextTokenizer, TokenizerInfo


@dataclass(frozen=True)
class SegmentSample:
    """One segment of a shard: where it is, its document, and its tokens and mask."""

    phase: str
    where: str
    file: int
    row: int
    offset: int
    ids: np.ndarray
    mask: np.ndarray


def sample_segments(
    phase: str, path: str, batch: pa.RecordBatch, first: int, keep_below: int
) -> Iterator[SegmentSample]:
    """The segments of a batch whose hash is below a threshold of 2^32; the same ones at every call.

    Args:
        phase: of the shard.
        path: of the shard.
        batch: of the shard.
        first: number of its first row in the shard.
        keep_below: 2^32 for all.
    """
    length = batch["input_ids"].type.list_size
    ids, mask = (batch[name].flatten().to_numpy() for name in ("input_ids", "loss_mask"))
    doc_ids, offsets = (batch[name].flatten().to_numpy() for name in ("doc_ids", "doc_offsets"))
    ends = np.cumsum(batch["seq_lengths"].flatten().to_numpy(), dtype=np.int64)
    for number in np.flatnonzero(
        (doc_ids >= 0) & in_sample(places(path, str(first), np.arange(len(ends))), keep_below)
    ):
        start = ends[number - 1] if number else 0
        yield SegmentSample(
            phase=phase,
            where=f"{path}, row {first + int(start) // length}",
            file=int(doc_ids[number]) >> 32,
            row=int(doc_ids[number]) & (2**32 - 1),
            offset=int(offsets[number]),
            ids=ids[start : ends[number]],
            mask=mask[start : ends[number]],
        )


class DocumentChecker:
    """Compares segments with what the raw corpus gives.

    Args:
        config: of the build.
        info: the tokenizer's special ids.
        tokenizer: only its reference library is used.
        files: the raw input files by file number; None for one that no segment is of.
        scorers: for templates with classifier labels or scores.
    """

    def __init__(
        self,
        config: Config,
        info: TokenizerInfo,
        tokenizer: TextTokenizer,
        files: list[InputFile | None],
        scorers: list[Scorer],
    ) -> None:
        self.config = config
        self.info = info
        self.tokenizer = tokenizer
        self.files = files
        self.scorers = scorers

    def check(self, segments: list[SegmentSample]) -> list[str]:
        """One line for each segment that is not what its document gives."""
        by_file: dict[int, list[SegmentSample]] = defaultdict(list)
        for segment in segments:
            by_file[segment.file].append(segment)
        return [problem for file, some in sorted(by_file.items()) for problem in self._check_file(file, some)]

    def _check_file(self, number: int, segments: list[SegmentSample]) -> Iterator[str]:
        file = self.files[number]
        assert file is not None, f"segments of file {number}, which is not there"
        given = self.config.sources[file.source].score
        scorers = [scorer for scorer in self.scorers if scorer.name not in given]
        wanted: dict[int, list[SegmentSample]] = defaultdict(list)
        for segment in segments:
            wanted[segment.row].append(segment)
        for batch in read_batches(file, self.config.sources[file.source]):
            rows = batch["row"].to_numpy()
            for index in np.flatnonzero(np.isin(rows, list(wanted))):
                one = score_batch(extract_metadata(batch.slice(index, 1)), scorers)
                for segment in wanted.pop(int(rows[index])):
                    yield from self._compare(one, file, segment)
            if not wanted:
                return
        for row in sorted(wanted):
            yield f"{wanted[row][0].where}: {file.source}/{file.path} has no row {row}"

    def _compare(self, document: pa.RecordBatch, file: InputFile, segment: SegmentSample) -> Iterator[str]:
        text = document["text"][0].as_py()
        if text is None:
            yield f"{segment.where}: {file.source}/{file.path}, row {segment.row} has no text"
            return
        condition = next(phase.condition for phase in self.config.phases if phase.name == segment.phase)
        tokens = self.tokenizer.encode_by_reference(text)
        prefix = self._prefix(document, file.source, condition)
        bare = _stream(tokens, [], "before", self.info)
        full = _stream(tokens, prefix, condition.place, self.info) if condition is not None else bare
        # A document may have been dropped out, so both of its forms are right where there is dropout.
        forms = [(full, prefix)] if condition is None or condition.dropout == 0 else [(full, prefix), (bare, [])]
        found = list(zip(segment.ids.tolist(), segment.mask.tolist(), strict=True))
        if not any(_fits(found, segment.offset, form, head, self.info) for form, head in forms):
            yield (
                f"{segment.where}: the segment at offset {segment.offset} is not what {file.source}/{file.path}, row "
                f"{segment.row} gives"
            )

    def _prefix(self, document: pa.RecordBatch, source: str, condition: Condition | None) -> list[int]:
        if condition is None:
            return []
        texts, codes = filled_prefixes(document, source, condition)
        ids = self.tokenizer.encode_by_reference(texts[codes[0]])
        if len(ids) > self.config.sequence.length // 2:
            return self.tokenizer.encode_by_reference(unknown_prefix(condition))
        return ids


def _stream(tokens: list[int], prefix: list[int], place: str, info: TokenizerInfo) -> list[tuple[int, int]]:
    """(id, loss) of a document's whole stream."""
    is_masked = bool(prefix) and place == "before"
    bos = [] if info.bos_id is None else [(info.bos_id, 0 if is_masked else 1)]
    eos = [] if info.eos_id is None else [(info.eos_id, 1)]
    own = [(token, 1) for token in tokens]
    before = [(token, 0) for token in prefix] if is_masked else []
    after = [] if is_masked else [(token, 1) for token in prefix]
    return [*bos, *before, *own, *after, *eos]


def _fits(
    found: list[tuple[int, int]], offset: int, stream: list[tuple[int, int]], prefix: list[int], info: TokenizerInfo
) -> bool:
    """Whether a segment is the part of a stream that its offset says, or that part after a repeated prefix."""
    if offset == 0:
        starts = range(min(len(prefix) + 2, len(stream)))
    else:
        lead = (info.bos_id is not None) + (len(prefix) if stream[1:2] and _is_before(stream, prefix, info) else 0)
        # Behind the document's own tokens the offset stands still, through an appended prefix to EOS.
        starts = range(lead + offset, min(lead + offset + len(prefix) + 2, len(stream)))
    repeated = [(token, 0) for token in prefix]
    for start in starts:
        for head in ([], repeated):
            end = start + len(found) - len(head)
            if found == head + stream[start:end] and end <= len(stream):
                return True
    return False


def _is_before(stream: list[tuple[int, int]], prefix: list[int], info: TokenizerInfo) -> bool:
    first = int(info.bos_id is not None)
    return stream[first : first + len(prefix)] == [(token, 0) for token in prefix]
