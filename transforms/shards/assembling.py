"""One shard from the plan: read its ranges, order, condition, pack, fill and write, alone and again if need be.

```
plan rows of (conditioned, 3)  ->  OUT/conditioned/00003-of-00012.arrow   and  OUT/.byline/conditioned-00003.json
```

The small JSON file says that the shard is whole: rows, bytes, sha256 and counts. It is what the manifest is made
from, and what a build that was stopped goes on from. Condition, values, packing and predicates come from the header
of OUT/_plan.ipc, which each worker reads once: lists of a million hosts never travel in the pipeline's graph.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from byline.schemas import corpora
from byline.schemas.config import Config
from byline.schemas.ledger import DrawCounts, ShardRecord
from byline.schemas.plan import Plan, shard_path
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.shards import PADDING_DOC_ID, shard_schema
from byline.transforms.files.durable import WriteBehind
from byline.transforms.files.storage import join
from byline.transforms.packing import PackingPolicy, Segments, policy_of
from byline.transforms.shards.filling import Layout, count_draws, count_labels, fill_rows, lay_out
from byline.transforms.shards.gathering import Documents, GatherPhase, gather
from byline.transforms.shards.records import (
    WORK_FOLDER,
    ShardMaker,
    check_current,
    finished_record,
    record_path,
    write_record,
)
from byline.transforms.shards.run_index import RunIndex
from byline.transforms.shards.shard_writing import (
    SegmentLists,
    ShardDescription,
    row_batch,
    rows_per_batch,
    write_shard,
)
from byline.transforms.shards.weighing import weigh_rows
from byline.transforms.tokens.text_tokenizer import shared_tokenizer

INDEX_NAME = "runs.arrow"


@dataclass(frozen=True)
class AssembleJob:
    """What every worker must know; small, whatever the recipe lists and the corpus holds.

    Attributes:
        output: where the build goes.
        seed: the recipe's.
        length: L.
        ids: type of the ids in shards, `int32` or `uint16`.
        settings: of the tokenizer, which each worker loads for prefixes.
        tokenizer: special ids, for rows and metadata.
        maker: the plan that the shards belong to, and the version of Byline.
        hashed_from: nanoseconds since 1970; a shard whose record is as young or younger was perhaps not all on the disk
            when the build before lost its power, so its sha256 is compared before it is taken over.
        salts: of the conditions; the plan has their digests alone.
        loss_weight: type of the column of that name, `float16` or `float32`; None without one.
    """

    output: str
    seed: int
    length: int
    ids: str
    settings: corpora.Tokenizer
    tokenizer: TokenizerInfo
    maker: ShardMaker
    hashed_from: int | None = None
    salts: tuple[str, ...] = ()
    loss_weight: str | None = None

    @classmethod
    def of(
        cls, config: Config, tokenizer: TokenizerInfo, maker: ShardMaker, hashed_from: int | None = None
    ) -> "AssembleJob":
        """What assembling needs of a recipe besides its plan."""
        return cls(
            output=config.output,
            salts=config.salts,
            seed=config.seed,
            length=config.sequence.length,
            ids=config.shard.ids,
            settings=config.tokenizer,
            tokenizer=tokenizer,
            maker=maker,
            hashed_from=hashed_from,
            loss_weight=config.weight_type,
        )

    def schema(self, metadata: dict[str, Any] | None = None) -> pa.Schema:
        """Of a shard; `metadata` is what it says about itself."""
        return shard_schema(self.length, self.ids, metadata, self.loss_weight)

    @property
    def work(self) -> str:
        """The folder of what is only needed until the manifest is written."""
        return join(self.output, WORK_FOLDER)


@dataclass(frozen=True)
class PlannedPhase:
    """A phase, or a branch at one point, as the plan's header has it.

    Attributes:
        name: also of its folder.
        shards: how many it has.
        packing: name of the policy.
        gathering: what its documents are taken by and get.
    """

    name: str
    shards: int
    packing: str
    gathering: GatherPhase

    @property
    def policy(self) -> PackingPolicy:
        """The policy of that name."""
        return policy_of(self.packing)


def planned_phases(plan: Plan) -> dict[str, PlannedPhase]:
    """Every phase and branch of a plan, by name."""
    predicates = plan.predicates
    return {
        stage.name: PlannedPhase(
            stage.name,
            stage.shards,
            stage.packing,
            GatherPhase(
                stage.condition,
                stage.values,
                predicates,
                plan.header.attributes,
                stage.mask,
                stage.loss_weight,
                [*stage.strata.values()] if stage.labels else [],
                plan.header.replace,
            ),
        )
        for stage in plan.header.stages
    }


def assemble_shard(
    rows: pa.RecordBatch, job: AssembleJob, phase: PlannedPhase, index: RunIndex, behind: WriteBehind | None = None
) -> ShardRecord:
    """Writes one shard unless it is written already; returns its record.

    Args:
        rows: the plan's rows of the shard.
        job: what to make.
        phase: the shard's.
        index: where the runs are.
        behind: what ends the shard's file, and then writes its record, while the caller goes on.

    Raises:
        BylineError: the output no longer belongs to the job, or cannot be written.
    """
    shard = rows["shard"][0].as_py()
    uri = join(job.output, shard_path(phase.name, shard, phase.shards))
    record_uri = record_path(job.work, phase.name, shard)
    check_current(job.output, job.maker)
    finished = finished_record(record_uri, uri, job.maker, job.hashed_from)
    if finished is not None:
        return finished
    return write_packed(pack_shard(rows, job, phase, index), job, phase, shard, behind)


def write_packed(
    packed: "PackedShard", job: AssembleJob, phase: PlannedPhase, shard: int, behind: WriteBehind | None = None
) -> ShardRecord:
    """Fills and writes a packed shard; arguments and errors as for `assemble_shard`, `shard` is its number."""
    path = shard_path(phase.name, shard, phase.shards)
    counts = packed.counts(job)
    metadata = _description(job, phase, shard).metadata(counts, packed.padding, packed.label_counts(job))
    schema = job.schema(metadata)
    loss_tokens = sum(count.loss_tokens for count in counts.values())
    entry = write_shard(job.output, path, schema, packed.batches(job, schema), loss_tokens, job.maker, behind)
    record = ShardRecord.of(metadata, entry)
    if behind is None:
        write_record(job.work, record)
    else:
        behind.then(lambda: write_record(job.work, record))
    return record


@dataclass(frozen=True)
class PackedShard:
    """The documents of a shard and where each part of them goes."""

    documents: Documents
    layout: Layout
    segments: Segments
    policy: PackingPolicy
    padding: int

    def counts(self, job: AssembleJob) -> dict[str, DrawCounts]:
        """What the shard takes from each source."""
        has_bos = job.tokenizer.bos_id is not None
        return count_draws(self.documents, self.layout, self.segments, has_bos, self.policy, job.loss_weight)

    def label_counts(self, job: AssembleJob) -> dict[str, DrawCounts]:
        """The same by the labels that its phase's mixture is by."""
        has_bos = job.tokenizer.bos_id is not None
        return count_labels(self.documents, self.layout, self.segments, has_bos, self.policy, job.loss_weight)

    def batches(self, job: AssembleJob, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The shard's record batches, each filled when it is asked for."""
        lists = _segment_lists(self.documents, self.layout, self.segments, job)
        step = rows_per_batch(job.length, job.ids, job.loss_weight)
        for first in range(0, self.segments.rows, step):
            rows = min(step, self.segments.rows - first)
            yield _row_batch(first, rows, self, lists, job, schema)


def pack_shard(rows: pa.RecordBatch, job: AssembleJob, phase: PlannedPhase, index: RunIndex) -> PackedShard:
    """Gathers, conditions and packs the documents of one shard."""
    documents = gather(rows, index, phase.gathering, job.seed, job.length, shared_tokenizer(job.settings))
    return pack_documents(documents, job, phase)


def pack_documents(documents: Documents, job: AssembleJob, phase: PlannedPhase) -> PackedShard:
    """Packs what was gathered for one shard."""
    layout = lay_out(documents, job.tokenizer.bos_id, job.tokenizer.eos_id)
    bos = int(job.tokenizer.bos_id is not None)
    segments = phase.policy.pack(layout.framed_length, documents.masked_prefix, bos, job.length, documents.slice)
    return PackedShard(documents, layout, segments, phase.policy, int(segments.padding(job.length).sum()))


def shard_batches(
    rows: pa.RecordBatch, job: AssembleJob, phase: PlannedPhase, index: RunIndex
) -> Iterator[pa.RecordBatch]:
    """The record batches of a shard, without writing it."""
    yield from pack_shard(rows, job, phase, index).batches(job, job.schema())


def _description(job: AssembleJob, phase: PlannedPhase, shard: int) -> ShardDescription:
    condition = phase.gathering.condition
    return ShardDescription(
        maker=job.maker,
        phase=phase.name,
        shard=shard,
        length=job.length,
        ids=job.ids,
        template=None if condition is None else condition.template,
        packing=phase.packing,
        seed=job.seed,
        tokenizer=job.tokenizer,
        loss_weight=job.loss_weight,
    )


def _segment_lists(documents: Documents, layout: Layout, segments: Segments, job: AssembleJob) -> SegmentLists:
    padding = segments.padding(job.length)
    padded = np.flatnonzero(padding)
    row = np.concatenate([segments.row, padded])
    order = np.argsort(row, kind="stable")
    d = segments.document
    own_offsets = np.clip(segments.start - layout.lead[d], 0, documents.token_count[d])
    nothing = np.zeros(len(padded), np.int64)
    weights = np.concatenate([documents.loss_weight[d], np.zeros(len(padded))])[order]
    return SegmentLists(
        offsets=np.searchsorted(row[order], np.arange(segments.rows + 1)),
        lengths=np.concatenate([segments.lengths, padding[padded]])[order].astype(np.int32),
        doc_ids=np.concatenate([documents.doc_id[d], nothing + PADDING_DOC_ID])[order],
        doc_offsets=np.concatenate([own_offsets, nothing])[order].astype(np.int32),
        loss_weights=None if job.loss_weight is None else weights.astype(job.loss_weight),
    )


def _row_batch(
    first: int, rows: int, packed: PackedShard, lists: SegmentLists, job: AssembleJob, schema: pa.Schema
) -> pa.RecordBatch:
    documents, segments = packed.documents, packed.segments
    ids = np.full((rows, job.length), job.tokenizer.pad_id, job.ids)
    mask = np.zeros((rows, job.length), np.uint8)
    low, high = segments.row.searchsorted([first, first + rows])
    parts = (segments.row, segments.document, segments.start, segments.take, segments.head)
    own = tuple(part[low:high] for part in parts)
    fill_rows(
        ids,
        mask,
        first,
        own,
        documents.tokens,
        documents.prefix_values,
        documents.masked_ranges,
        (
            documents.token_start,
            documents.token_count,
            documents.prefix_start,
            documents.prefix_count,
            documents.masked_prefix,
            documents.masked_start,
            documents.masked_count,
        ),
        -1 if job.tokenizer.bos_id is None else job.tokenizer.bos_id,
        -1 if job.tokenizer.eos_id is None else job.tokenizer.eos_id,
    )
    weights = lists.position_weights(first, rows)
    if weights is not None and len(documents.weighed.ranges):
        weigh_rows(weights, first, own, packed.layout.lead, documents.weighed)
    return row_batch(ids, mask, first, lists, schema, weights)
