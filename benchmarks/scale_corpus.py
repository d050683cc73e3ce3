"""The corpora of `benchmarks.scale`: published sizes, and prototype runs whose documents stand for many.

```
DCLM          27,838 files of 107,766 documents    9 runs of 64 MiB a file    250,542 runs
prototypes    250 runs of 11,974 documents         each document counts for 1,002
```

A prototype run is a file like those in the token store, but without url and tokens, which no scan reads. Shuffle keys
are the usual hashes, so they are spread as in a real corpus. Lengths, hosts and scores are derived from them: lengths
log-normal, hosts with frequency 1/rank (Zipf), scores arbitrary. `counted` runs a scan's own counter over the
prototypes, and multiplies the counts by the number of documents that each stands for.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas import store
from byline.schemas.store import RunFile, RunInfo
from byline.splitmix import splitmix64
from byline.transforms.corpora.chunks import TARGET_BYTES
from byline.transforms.documents.shuffle_keys import shuffle_keys
from byline.transforms.fields.ranking import next_digits, number_keys
from byline.transforms.fields.selecting import predicate_columns
from byline.transforms.files.sealed_files import write_sealed
from byline.transforms.scans.counting import RunCounter, one_batch
from byline.transforms.scans.digit_counting import DigitCounter, Question
from byline.transforms.scans.draws import DrawCounter
from byline.transforms.scans.measuring import SampleCounter, ShuffleKeyCounter
from byline.transforms.scans.value_counts import ValueCounter
from byline.transforms.store.run_reading import open_run
from byline.transforms.store.runs import batch_borders

FINGERPRINT = "0123456789abcdef" * 4
# Salts of the hashes that the fields of a prototype's documents are made from.
_LENGTH, _HOST, _SCORE, _COPY = (np.uint64(word) for word in (0x11C7, 0x2A35, 0x3F09, 0x4D81))
_QUANTILES = 4096
# The planner packs a sample of two million documents, and all of them must be in the prototypes.
PROTOTYPE_DOCUMENTS = 2_400_000
_FEWEST_PROTOTYPES = 4


@dataclass(frozen=True)
class Published:
    """A corpus as its authors describe it, rounded; text in bytes of UTF-8.

    Attributes:
        files: input files.
        file_bytes: bytes of one file, compressed.
        documents: in all files.
        tokens: mean number in a document.
        spread: standard deviation of the logarithm of a document's tokens; assumed.
        token_bytes: bytes of text in a token.
        hosts: number of distinct hosts; assumed.
    """

    files: int
    file_bytes: int
    documents: int
    tokens: int
    spread: float = 1.1
    token_bytes: float = 4.4
    hosts: int = 20_000_000


# Sizes: arXiv 2406.11794 and its dataset card; the C4 card (`en`) and arXiv 1910.10683; the RefinedWeb card.
PUBLISHED = {
    "dclm": Published(files=27_838, file_bytes=240_000_000, documents=3_000_000_000, tokens=1_290, token_bytes=4.3),
    "c4": Published(files=1_024, file_bytes=305_000_000, documents=364_868_892, tokens=428),
    "refinedweb": Published(files=5_534, file_bytes=90_000_000, documents=968_000_015, tokens=620),
}


@dataclass(frozen=True)
class Population:
    """One source of a simulated corpus.

    Attributes:
        source: its name.
        corpus: the published corpus that it is part of.
        files: how many of the corpus's files it has.
        chunks: runs that preparing makes of a file.
        prototypes: number of prototype runs.
        rows: documents in a prototype.
        weight: documents that each document of a prototype stands for.
    """

    source: str
    corpus: Published
    files: int
    chunks: int
    prototypes: int
    rows: int
    weight: int

    @classmethod
    def make(cls, source: str, share: float, prototypes: int) -> "Population":
        """A share of a published corpus; `prototypes` is about the number of documents in prototypes."""
        corpus = PUBLISHED[source]
        files = max(round(corpus.files * share), 1)
        documents = corpus.documents * files // corpus.files
        chunks = math.ceil(documents / files * corpus.tokens * corpus.token_bytes / TARGET_BYTES)
        runs = files * chunks
        count = min(max(round(prototypes * runs / documents), _FEWEST_PROTOTYPES), runs)
        weight = max(runs // count, 1)
        return cls(source, corpus, files, chunks, count, max(documents // (count * weight), 1), weight)

    @property
    def documents(self) -> int:
        return self.prototypes * self.rows * self.weight

    @property
    def runs(self) -> int:
        """Runs as preparing writes them."""
        return self.files * self.chunks

    @property
    def text_bytes(self) -> int:
        return int(self.documents * self.corpus.tokens * self.corpus.token_bytes)

    def path(self, file: int) -> str:
        """The path of an input file, as long as those of the real corpus."""
        return f"global-shard_{file % 10:02d}_of_10/local-shard_{file // 10 % 10}_of_10/shard_{file:08d}_processed"

    def rows_of_runs(self) -> np.ndarray:
        """int64 [runs]: documents of each; they sum to `documents`."""
        return np.diff(np.arange(self.runs + 1) * self.documents // self.runs)


def make_documents(population: Population, name: str, rows: int) -> pa.RecordBatch:
    """Documents of an input file of this name, in order of shuffle key, with all columns of a run except tokens."""
    shuffle_key = shuffle_keys(population.source, name, np.arange(rows))
    order = np.argsort(shuffle_key)
    shuffle_key = shuffle_key[order]
    tokens = _lengths(_uniform(shuffle_key, _LENGTH), population.corpus)
    ranks = np.exp(_uniform(shuffle_key, _HOST) * math.log(population.corpus.hosts)).astype(np.int64)
    domain = _names(ranks)
    host = pc.binary_join_element_wise("www", domain, ".")
    url = pc.binary_join_element_wise("https:/", host, "2022/01/01", pa.array(shuffle_key).cast(pa.string()), "/")
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array(shuffle_key),
            pa.array(order),
            url.cast(pa.large_string()),
            host,
            domain,
            pa.array((_uniform(shuffle_key, _SCORE) ** 3).astype(np.float32)),
            pa.array((tokens * population.corpus.token_bytes).astype(np.int64)),
            pa.array(tokens.astype(np.int32)),
        ],
        names=["shuffle_key", "row", "url", "host", "registered_domain", "quality", "num_bytes", "num_tokens"],
    )
    return store.in_order(batch)


def _uniform(shuffle_key: np.ndarray, salt: np.uint64) -> np.ndarray:
    return (splitmix64(shuffle_key ^ salt) >> np.uint64(11)).astype(np.float64) / 2**53


def _lengths(uniform: np.ndarray, corpus: Published) -> np.ndarray:
    grid = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    normal = np.array([NormalDist().inv_cdf(quantile) for quantile in grid])
    lengths = np.exp(corpus.spread * normal)
    return np.maximum(np.interp(uniform, grid, lengths * corpus.tokens / lengths.mean()), 1).astype(np.int64)


def _names(ranks: np.ndarray) -> pa.Array:
    distinct, inverse = np.unique(ranks, return_inverse=True)
    return pa.array([f"site{rank}.example" for rank in distinct.tolist()], pa.string()).take(pa.array(inverse))


def write_prototypes(population: Population, folder: Path) -> list[str]:
    """Writes the prototypes as runs of one record batch each, without tokens; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    uris = []
    for number in range(population.prototypes):
        uris.append(str(folder / f"{population.source}-{number:05d}.arrow"))
        batch = make_documents(population, f"prototype {number}", population.rows)
        _write([batch], batch.schema, describe(population.source, uris[-1], batch), uris[-1])
    return uris


def write_whole_run(population: Population, rows: int, merged: int, uri: str) -> None:
    """Writes a run exactly as in the token store, with `rows` documents from `merged` runs; all tokens are 0."""
    batch = make_documents(population, "a whole run", rows)
    names, columns = batch.schema.names, list(batch.columns)
    if merged > 1:
        names.insert(2, store.FILE.name)
        columns.insert(2, pa.array(np.arange(rows) % merged, pa.int32()))
    index = pa.RecordBatch.from_arrays(columns, names)
    kind = pa.large_list(pa.field("item", pa.uint16(), nullable=False))
    schema = pa.schema([*index.schema, pa.field("tokens", kind, nullable=False)])
    borders = batch_borders(batch["num_tokens"].to_numpy(), 2)
    starts = [batch["shuffle_key"][first].as_py() for first in borders[:-1]]
    chunks = [describe(population.source, f"{uri}-{chunk}", batch) for chunk in range(merged)]
    info = replace(chunks[0], batch_shuffle_keys=starts).to_metadata()
    if merged > 1:
        info = RunFile(chunks, starts, 0, "").to_metadata()
    _write((_with_tokens(index.slice(low, high - low), schema) for low, high in pairwise(borders)), schema, info, uri)


def _with_tokens(index: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    ends = np.cumsum(index["num_tokens"].to_numpy(), dtype=np.int64)
    values = pa.array(np.zeros(ends[-1], np.uint16))
    lists = pa.LargeListArray.from_arrays(
        pa.array(np.concatenate([[0], ends])), values, type=schema.field("tokens").type
    )
    return pa.RecordBatch.from_arrays([*index.columns, lists], schema=schema)


def describe(source: str, path: str, batch: pa.RecordBatch) -> RunInfo:
    """The description of a run of one record batch, as far as it matters here."""
    rows, first = batch.num_rows, batch["shuffle_key"][:1].to_pylist()
    return RunInfo(FINGERPRINT, source, path, 0, True, 10**8, rows, 10**8, {"empty": 3}, 7, rows, 10**8, 10**8, first)


def _write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, info: RunInfo | dict[bytes, bytes], uri: str) -> None:
    full_schema = schema.with_metadata(info if isinstance(info, dict) else info.to_metadata())
    with write_sealed(uri, full_schema) as writer:
        for batch in (batch for batch in batches if batch.num_rows):
            writer.write_batch(batch.replace_schema_metadata(full_schema.metadata))


def batch_shuffle_keys(population: Population, rows: int) -> list[int]:
    """First shuffle keys of a run's record batches: evenly spread, and different for each run as real ones are."""
    width = 2 * population.corpus.tokens
    batches = max(math.ceil(rows * width / store.BATCH_TOKEN_BYTES), 1)
    return [number * 2**64 // batches + rows for number in range(batches)]


# ------------------------------------------------------------------------------------------------------------- scans


@dataclass(frozen=True)
class Prototypes:
    """The prototypes of a source, and how many documents each of their documents stands for."""

    uris: tuple[str, ...]
    weight: int


def counted(counter: RunCounter, prototypes: Mapping[str, Prototypes], folder: str) -> pa.RecordBatch:
    """Runs a scan over the prototypes.

    A sample is not multiplied; instead its threshold is raised, so that it is as large as the sample of the corpus.

    Args:
        counter: of the scan.
        prototypes: by source.
        folder: for additional files that a scan needs.
    """
    if isinstance(counter, SampleCounter):
        batches = [
            replace(counter, threshold=min(counter.threshold * group.weight, 2**32)).count(uri)
            for group in prototypes.values()
            for uri in group.uris
        ]
        return counter.merge(batches)
    if isinstance(counter, DigitCounter):
        return counter.merge([_digits(counter, number, prototypes, folder) for number in range(len(counter.questions))])
    return counter.merge([_multiplied(_count(counter, group.uris), group.weight) for group in prototypes.values()])


def _count(counter: RunCounter, uris: tuple[str, ...]) -> pa.RecordBatch:
    return counter.merge([counter.count(uri) for uri in uris])


def _multiplied(counts: pa.RecordBatch, weight: int) -> pa.RecordBatch:
    columns = [
        pc.multiply(counts[name], weight) if name in ("documents", "tokens") else counts[name]
        for name in counts.schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=counts.schema)


def _digits(counter: DigitCounter, number: int, prototypes: Mapping[str, Prototypes], folder: str) -> pa.RecordBatch:
    """The counts for one question of a scan.

    Once the question is about ties, its few documents are copied as many times as they stand for, each with its own
    shuffle key and thus its own tie: otherwise no scan could ever single out one document.
    """
    question = counter.questions[number]
    alone = replace(counter, questions=[question])
    is_of_ties = len(question.heads[0] if question.heads else ()) >= question.number.key_digits
    chunks = []
    for source, group in prototypes.items():
        if source not in dict(question.population):
            continue
        if is_of_ties:
            chunks.append(_count(alone, (_write_copies(alone, source, group, f"{folder}/copies-{source}"),)))
        else:
            chunks.append(_multiplied(_count(alone, group.uris), group.weight))
    merged = counter.merge(chunks)
    key = merged.schema.field("question")
    column = merged.schema.get_field_index(key.name)
    return merged.set_column(column, key, pa.array([number] * merged.num_rows, key.type))


def _write_copies(counter: DigitCounter, source: str, group: Prototypes, uri: str) -> str:
    """A run with the documents at a question's head, repeated once for each document that they stand for."""
    question = counter.questions[0]
    at_head = [_at_head(open_run(run, columns_of(counter)).whole(), question) for run in group.uris]
    batch = one_batch(pa.Table.from_batches(at_head).unify_dictionaries())
    repeated = batch.take(pa.array(np.repeat(np.arange(batch.num_rows), group.weight)))
    copies = np.tile(np.arange(group.weight, dtype=np.uint64), batch.num_rows)
    shuffle_key = splitmix64(
        splitmix64(batch["shuffle_key"].to_numpy().repeat(group.weight)) ^ splitmix64(copies ^ _COPY)
    )
    column = repeated.schema.get_field_index("shuffle_key")
    # A different name for each head, since runs stay open.
    uri = f"{uri}-{question.number.field}-{'-'.join(map(str, question.heads[0]))}.arrow"
    copied = repeated.set_column(column, "shuffle_key", pa.array(shuffle_key)).take(pa.array(np.argsort(shuffle_key)))
    _write([copied], copied.schema, describe(source, uri, copied), uri)
    return uri


def _at_head(batch: pa.RecordBatch, question: Question) -> pa.RecordBatch:
    number, key = question.number, question.heads[0][: question.number.key_digits]
    keys, _ = number_keys(batch[number.field], number.kind, number.descending)
    rows, last = next_digits(keys, batch["shuffle_key"].to_numpy(), number.kind, (key[:-1],))
    return batch.take(pa.array(rows[last == key[-1]]))


def columns_of(counter: RunCounter) -> list[str]:
    """The columns of a run that a scan reads."""
    names: set[str] = set()
    if isinstance(counter, DigitCounter):
        names = predicate_columns(counter.predicates.values()) | {asked.number.field for asked in counter.questions}
    elif isinstance(counter, DrawCounter):
        names = names.union(*(stage.predicate_columns for stage in counter.stages))
    elif isinstance(counter, (ShuffleKeyCounter, SampleCounter, ValueCounter)):
        names = names.union(*(stage.columns for stage in counter.stages))
    return sorted({"shuffle_key", "num_tokens", *names})
