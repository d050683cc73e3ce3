"""Compares sampled segments of shards with the raw corpus, token by token, tokenized by `tokenizers` alone.

```
segment   doc id 4294967299 = file 1, row 3     offset 0     ids 0 22428 27 ...    mask 0 0 0 ...
raw       file 1, row 3  ->  text, url  ->  BOS prefix tokens EOS and mask  ->  the part that the segment should be
```

A document of more than `LONGEST_BYTES` of text is not tokenized again: `tokenizers` needs seconds for a MB of some
scripts, and memory for every token. Of a byte-level tokenizer the bytes that the segment's tokens stand for must be in
the text; whether they could be compared is counted (`Compared`).

A record of a source with a `formatter` is formatted again, and the loss mask of its own tokens follows from its spans.
Where the recipe has the weights of a formatter, the loss weight of each position is compared as well.
If the condition has `dropout` or `empty`, a document may also have no prefix or an empty one. Where the recipe replaces
ranges of tokens, a document's own tokens are those with placeholders, and of a long one the bytes between them are
looked for.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.documents import NUM_BYTES, NUM_TOKENS, InputFile
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.transforms.checks.attribute_values import AttributeValues, replaced_by, unmasked_by
from byline.transforms.checks.framing import Framed, Tokens
from byline.transforms.corpora.metadata import extract_metadata
from byline.transforms.corpora.reading import read_batches
from byline.transforms.documents.shuffle_keys import in_sample, shuffle_keys
from byline.transforms.fields.conditioning import marker_ids
from byline.transforms.fields.loss_weights import document_weights, weighs_by_formatter
from byline.transforms.fields.template_fields import filled_prefixes, unknown_prefix
from byline.transforms.formatters.formatting import format_batch
from byline.transforms.formatters.opening import open_formatters
from byline.transforms.scores.scoring import Scorer, score_batch
from byline.transforms.shards.assembling import PlannedPhase
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from byline.transforms.tokens.token_bytes import spelled_bytes

# Files read at the same time; each holds a batch of 64 MiB of text.
_FILES_AT_ONCE = min(4, os.cpu_count() or 1)
# Of text: `tokenizers` may take all of it for one word, and then seconds.
LONGEST_BYTES = 256 << 10


@dataclass(frozen=True)
class SegmentSample:
    """One segment of a shard: where it is, its document, and its tokens, mask and loss weights, if it has any."""

    phase: str
    where: str
    file: int
    row: int
    offset: int
    ids: np.ndarray
    mask: np.ndarray
    weights: np.ndarray | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        arrays = {name: value.tolist() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return {**vars(self), **arrays}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SegmentSample":
        """The segment that `to_json` made this of."""
        types = {"ids": np.int64, "mask": np.uint8, "weights": np.float64}
        arrays = {name: np.array(values[name], kind) for name, kind in types.items() if values[name] is not None}
        return cls(**{**values, **arrays})


def sample_segments(
    phase: str, path: str, batch: pa.RecordBatch, first: int, keep_below: int
) -> Iterator[SegmentSample]:
    """The segments of a batch whose 32-bit hash is below a threshold; the same ones at every call.

    Args:
        phase: of the shard.
        path: of the shard.
        batch: of the shard.
        first: number of its first row in the shard.
        keep_below: the threshold; 2^32 keeps all segments.
    """
    length = batch["input_ids"].type.list_size
    ids, mask = (batch[name].flatten().to_numpy() for name in ("input_ids", "loss_mask"))
    weights = batch["loss_weight"].flatten().to_numpy() if "loss_weight" in batch.schema.names else None
    doc_ids, offsets = (batch[name].flatten().to_numpy() for name in ("doc_ids", "doc_offsets"))
    ends = np.cumsum(batch["seq_lengths"].flatten().to_numpy(), dtype=np.int64)
    for number in np.flatnonzero(
        (doc_ids >= 0) & in_sample(shuffle_keys(path, str(first), np.arange(len(ends))), keep_below)
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
            weights=None if weights is None else weights[start : ends[number]],
        )


@dataclass(frozen=True)
class Compared:
    """What came of comparing segments.

    Attributes:
        problems: one line for each that differs.
        by_bytes: how many are of documents too long to tokenize again, and were compared by the bytes of their tokens.
        not_at_all: how many are of such documents, and could not be compared.
    """

    problems: list[str]
    by_bytes: int
    not_at_all: int


class DocumentChecker:
    """Compares segments with what the raw corpus gives.

    Args:
        config: of the build.
        phases: of the plan, by name.
        info: the tokenizer's special ids.
        tokenizer: only its reference library is used.
        files: the raw input files by file number; None for a file without segments.
        scorers: for templates with classifier labels or scores.
        attributes: their values, for templates with them and phases that mask by them.

    Raises:
        BylineError: the function of a `formatter` cannot be imported.
    """

    def __init__(
        self,
        config: Config,
        phases: dict[str, PlannedPhase],
        info: TokenizerInfo,
        tokenizer: TextTokenizer,
        files: list[InputFile | None],
        scorers: list[Scorer],
        attributes: AttributeValues | None = None,
    ) -> None:
        self.config = config
        self.phases = phases
        self.info = info
        self.tokenizer = tokenizer
        self.files = files
        self.scorers = scorers
        self.attributes = attributes
        names = {file.source for file in files if file is not None}
        # Of the recipe, so the same in each phase.
        self._replace = next(iter(phases.values())).gathering.replace if phases else {}
        self._comparing = threading.Lock()
        # Of segments of documents that are too long, whether each has its document's bytes; None where nobody can say.
        self._long: list[bool | None] = []
        self.open_formatters = open_formatters({name: config.sources[name] for name in names})

    def check(self, segments: list[SegmentSample]) -> Compared:
        """Compares segments with what their documents give."""
        by_file: dict[int, list[SegmentSample]] = defaultdict(list)
        for segment in segments:
            by_file[segment.file].append(segment)
        with ThreadPoolExecutor(_FILES_AT_ONCE) as threads:
            problems_by_file = threads.map(lambda item: self._check_file(*item), sorted(by_file.items()))
            problems = [problem for problems in problems_by_file for problem in problems]
        unknown = self._long.count(None)
        return Compared(problems, len(self._long) - unknown, unknown)

    def _check_file(self, number: int, segments: list[SegmentSample]) -> list[str]:
        file = self.files[number]
        assert file is not None, f"segments of file {number}, which was not given"
        problems: list[str] = []
        try:
            problems += self._compare_file(file, segments)
        except BylineError as error:
            problems.append(f"{file.source}/{file.path} cannot be compared: {error}")
        return problems

    def _compare_file(self, file: InputFile, segments: list[SegmentSample]) -> Iterator[str]:
        remaining: dict[int, list[SegmentSample]] = defaultdict(list)
        for segment in segments:
            remaining[segment.row].append(segment)
        for batch in read_batches(file, self.config.sources[file.source]):
            records = batch.filter(pc.is_in(batch["row"], pa.array(list(remaining), pa.int64())))
            if records.num_rows:
                by_row = {row: remaining.pop(row) for row in records["row"].to_pylist()}
                # A user's own `formatter` function need not be thread-safe.
                with self._comparing:
                    problems = list(self._compare(records, file, by_row))
                yield from problems
            if not remaining:
                return
        for row in sorted(remaining):
            yield f"{remaining[row][0].where}: {file.source}/{file.path} has no row {row}"

    def _compare(
        self, records: pa.RecordBatch, file: InputFile, by_row: dict[int, list[SegmentSample]]
    ) -> Iterator[str]:
        """Compares these records of a file with their segments."""
        formatter = self.open_formatters.get(file.source)
        documents = records if formatter is None else format_batch(records, formatter)
        documents = documents.filter(documents["text"].is_valid())
        for row in sorted(set(by_row) - set(documents["row"].to_pylist())):
            yield f"{by_row[row][0].where}: {file.source}/{file.path}, row {row} has no text"
        is_long = pc.greater(pc.binary_length(documents["text"]), LONGEST_BYTES)
        yield from self._compare_long(documents.filter(is_long), file, by_row)
        documents = documents.filter(pc.invert(is_long))
        own = [self._own_tokens(documents.slice(number, 1)) for number in range(documents.num_rows)]
        documents = self._with_fields(documents, file, own)
        for phase in sorted({segment.phase for row in documents["row"].to_pylist() for segment in by_row[row]}):
            prefixes = self._prefixes(documents, file.source, self.phases[phase])
            unmasked = self._unmasked(documents, file.source, self.phases[phase], own)
            weighed, weights = self._weighed(documents, file.source, self.phases[phase], unmasked)
            left = self._replaced(documents, file.source, weighed)
            rows = documents["row"].to_pylist()
            for row, tokens, prefix, weight in zip(rows, left, prefixes, weights, strict=True):
                for segment in by_row[row]:
                    if segment.phase == phase and not self._fits(segment, tokens, prefix, weight):
                        yield (
                            f"{segment.where}: the segment at offset {segment.offset} is not what "
                            f"{file.source}/{file.path}, row {row} gives"
                        )

    def _compare_long(
        self, documents: pa.RecordBatch, file: InputFile, by_row: dict[int, list[SegmentSample]]
    ) -> Iterator[str]:
        """Compares segments of documents that are too long to tokenize again by their bytes."""
        for row, text in zip(documents["row"].to_pylist(), documents["text"], strict=True):
            content = text.as_buffer().to_pybytes()
            for segment in by_row[row]:
                fits = self._spells(segment, content)
                self._long.append(fits)
                if fits is False:
                    yield (
                        f"{segment.where}: the tokens of the segment at offset {segment.offset} do not spell a part of "
                        f"{file.source}/{file.path}, row {row}"
                    )

    def _spells(self, segment: SegmentSample, content: bytes) -> bool | None:
        """Whether a document has the bytes of a segment's tokens; None where its tokens do not tell them."""
        reference = self.tokenizer.reference
        spelled = [spelled_bytes(part, self.tokenizer.token_bytes) for part in self._between_placeholders(segment)]
        # Its state is its section of the tokenizer.json.
        is_byte_level = reference.pre_tokenizer is not None and b'"ByteLevel"' in reference.pre_tokenizer.__getstate__()
        known = [part for part in spelled if part is not None]
        if not is_byte_level or len(known) < len(spelled) or not any(known):
            return None
        if _has_in_order(content, known):
            return True
        # A normalizer may have changed them.
        return False if reference.normalizer is None else None

    def _between_placeholders(self, segment: SegmentSample) -> list[np.ndarray]:
        """The tokens that are surely a document's own, in parts between its placeholders."""
        own = self._surely_own(segment)
        ids = [id_ for columns in self._replace.values() for id_ in columns.values()]
        at = np.flatnonzero(np.isin(own, ids))
        return [part[int(number > 0) :] for number, part in enumerate(np.split(own, at))]

    def _surely_own(self, segment: SegmentSample) -> np.ndarray:
        """The tokens of a segment that are no BOS, EOS or part of a prefix, whatever its prefix is."""
        phase = self.phases[segment.phase]
        condition = phase.gathering.condition
        longest = 0 if condition is None else self.config.sequence.length // 2
        is_before = condition is not None and condition.position == "before"
        has_head = segment.offset == 0 or (is_before and phase.policy.repeats_prefix)
        # One more for BOS, and one before whose text a tokenizer may have put a space.
        first = 2 + (longest if is_before else 0) if has_head else 0
        last = len(segment.ids) - 1 - (0 if is_before else longest)
        return segment.ids[first : max(last, 0)]

    def _own_tokens(self, document: pa.RecordBatch) -> Tokens:
        """One document's own tokens, with their loss mask and what the formatter weighs them."""
        text = document["text"][0].as_py()
        if "loss_spans" not in document.schema.names:
            return [(token, 1, 1.0) for token in self.tokenizer.encode_by_reference(text)]
        loss, special = (document[name][0].as_py() for name in ("loss_spans", "special_spans"))
        weights = document["loss_weights"][0].as_py() if "loss_weights" in document.schema.names else None
        ids, of_tokens = self.tokenizer.encode_marked_by_reference(text, loss, special, weights)
        return [(token, int(weight > 0), weight) for token, weight in zip(ids, of_tokens, strict=True)]

    def _unmasked(self, documents: pa.RecordBatch, source: str, phase: PlannedPhase, own: list[Tokens]) -> list[Tokens]:
        """The documents' own tokens without those in the loss that attributes mask in a phase."""
        columns = [documents[name].to_pylist() for name in phase.gathering.mask.get(source, ())]
        if not columns:
            return own
        unmasked = []
        for tokens, *ranges in zip(own, *columns, strict=True):
            masks = unmasked_by(ranges, [mask for _, mask, _ in tokens])
            unmasked.append([(token, mask, weight) for (token, _, weight), mask in zip(tokens, masks, strict=True)])
        return unmasked

    def _weighed(
        self, documents: pa.RecordBatch, source: str, phase: PlannedPhase, own: list[Tokens]
    ) -> tuple[list[Tokens], list[float | None]]:
        """The documents' own tokens with their loss weights as shards have them, and those of all other tokens.

        Where the recipe has no weights of a formatter, the weights are 0 and None, and not compared.
        """
        weights = phase.gathering.loss_weight
        if not weighs_by_formatter(source, weights):
            return [[(token, mask, 0.0) for token, mask, _ in tokens] for tokens in own], [None] * len(own)
        kind = self.config.shard.loss_weight
        of_documents = document_weights(documents, source, weights)
        weighed = []
        for tokens, document in zip(own, of_documents.tolist(), strict=True):
            of_tokens = np.array([document * weight * mask for _, mask, weight in tokens]).astype(kind).tolist()
            weighed.append([(token, mask, weight) for (token, mask, _), weight in zip(tokens, of_tokens, strict=True)])
        return weighed, of_documents.astype(kind).tolist()

    def _replaced(self, documents: pa.RecordBatch, source: str, own: list[Tokens]) -> list[Tokens]:
        """The documents' own tokens with placeholders for what the recipe replaces."""
        replace = self._replace.get(source, {})
        columns = [documents[name].to_pylist() for name in replace]
        if not columns:
            return own
        return [
            replaced_by(tokens, zip(ranges, replace.values(), strict=True))
            for tokens, *ranges in zip(own, *columns, strict=True)
        ]

    def _with_fields(self, documents: pa.RecordBatch, file: InputFile, own: list[Tokens]) -> pa.RecordBatch:
        """Adds the columns made by `byline prepare` and `byline attribute` that templates may name."""
        own_scores = self.config.sources[file.source].score
        scorers = [scorer for scorer in self.scorers if scorer.name not in own_scores]
        scored = score_batch(extract_metadata(documents), scorers)
        sizes = pc.cast(pc.binary_length(documents["text"]), pa.int64())
        fields = pa.schema([*scored.schema, NUM_BYTES])
        batch = pa.RecordBatch.from_arrays([*scored.columns, sizes], schema=fields)
        if self.attributes is not None:
            for name, column in self.attributes.columns(file.source, file.path, batch["row"].to_pylist()).items():
                batch = batch.append_column(name, column)
        left = [len(tokens) for tokens in self._replaced(batch, file.source, own)]
        return batch.append_column(NUM_TOKENS, pa.array(left, NUM_TOKENS.type))

    def _prefixes(self, documents: pa.RecordBatch, source: str, phase: PlannedPhase) -> list[list[int]]:
        """The whole prefix of each document."""
        condition = phase.gathering.condition
        if condition is None:
            return [[]] * documents.num_rows
        begin, end = marker_ids(condition, self.tokenizer)
        texts, codes = filled_prefixes(documents, source, condition, phase.gathering.values)
        prefixes = [[*begin, *self.tokenizer.encode_by_reference(text), *end] for text in texts]
        unknown = [*begin, *self.tokenizer.encode_by_reference(unknown_prefix(condition)), *end]
        longest = self.config.sequence.length // 2
        return [prefixes[code] if len(prefixes[code]) <= longest else unknown for code in codes]

    def _fits(self, segment: SegmentSample, own: Tokens, prefix: list[int], weight: float | None) -> bool:
        """Whether a segment is part of its document, framed in one of the ways that the phase allows.

        Args:
            segment: of a shard.
            own, prefix: the document's tokens.
            weight: of what is trained besides its own tokens; None where weights are not compared.
        """
        phase = self.phases[segment.phase]
        condition = phase.gathering.condition
        weights = np.zeros(len(segment.ids)) if weight is None or segment.weights is None else segment.weights
        tokens = list(zip(segment.ids.tolist(), segment.mask.tolist(), weights.tolist(), strict=True))
        prefixes = [prefix]
        if condition is not None and condition.empty > 0:
            begin, end = marker_ids(condition, self.tokenizer)
            prefixes.append([*begin, *end])
        if condition is not None and condition.dropout > 0:
            prefixes.append([])
        position = "before" if condition is None else condition.position
        repeats = phase.policy.repeats_prefix
        return any(
            Framed.of(own, choice, position, self.info, repeats, weight or 0.0).has(tokens, segment.offset)
            for choice in prefixes
        )


def _has_in_order(content: bytes, parts: list[bytes]) -> bool:
    """Whether these parts stand in the content, each behind the one before."""
    end = 0
    for part in parts:
        at = content.find(part, end)
        if at < 0:
            return False
        end = at + len(part)
    return True
