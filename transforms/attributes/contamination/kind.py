"""The kind `contamination`: n-grams of evaluation sets in the documents of the token store.

```
driver          evaluation files -> WORK/ngrams.arrow
FindOverlaps    an input file    -> WORK/parts/<run>    its documents' columns
                                    WORK/counts/<run>   n-gram, documents; documents by set in its metadata
driver          counts           -> summary by set
```
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import pyarrow as pa

from byline.schemas import corpora
from byline.schemas.attribute_kinds.attribute import Attribute
from byline.schemas.attribute_kinds.contamination import ContaminationAttribute
from byline.schemas.config import Config
from byline.schemas.documents import info_of
from byline.transforms.attributes.batch_files import write_batch
from byline.transforms.attributes.checksums import checksums_folder
from byline.transforms.attributes.contamination.columns import Marked, mark_documents
from byline.transforms.attributes.contamination.items import list_evaluation_files, read_items
from byline.transforms.attributes.contamination.ngram_file import NgramSets, read_ngrams, sets_of, write_ngrams
from byline.transforms.attributes.contamination.ngrams import make_ngrams
from byline.transforms.attributes.contamination.summary import DOCUMENTS_KEY, summarize
from byline.transforms.attributes.contamination.words import hash_words
from byline.transforms.attributes.rounds import AttributeKind, Context, Round, Rounds
from byline.transforms.attributes.stored_documents import Reading, StoredFile, stored_documents
from byline.transforms.attributes.values import parts_uri, write_values
from byline.transforms.documents.text_parts import text_buffers
from byline.transforms.files.checksums import sha256s_of
from byline.transforms.files.storage import join
from byline.transforms.filters.marks import unicode_version
from byline.transforms.tokens.text_tokenizer import shared_tokenizer


@dataclass(frozen=True)
class FindOverlaps:
    """Writes the values of each chunk of an input file, and what is counted of it.

    Attributes:
        reading: of the configuration.
        tokenizer: of the configuration.
        name: of the attribute.
        sets: their names, sorted.
        least: the share of its words from which on a document is contaminated.
        ngrams: where the n-grams are.
        parts: where the values go.
        counts: where the counts go.
    """

    reading: Reading
    tokenizer: corpora.Tokenizer
    name: str
    sets: tuple[str, ...]
    least: Fraction
    ngrams: str
    parts: str
    counts: str

    def __call__(self, line: str) -> None:
        """Works on one input file."""
        listed, ngrams, tokenizer = StoredFile.from_json(line), _open(self.ngrams), shared_tokenizer(self.tokenizer)
        for batch in stored_documents(listed, self.reading):
            info = info_of(batch)
            marked = mark_documents(batch, self.name, ngrams, self.sets, self.least, tokenizer)
            write_values(parts_uri(self.parts, info.source, info.path, info.chunk), batch["row"], marked.columns)
            _write_counts(parts_uri(self.counts, info.source, info.path, info.chunk), info.source, batch, marked)


def _write_counts(uri: str, source: str, batch: pa.RecordBatch, marked: Marked) -> None:
    counts = {"source": source, "documents": batch.num_rows, "sets": marked.documents.tolist()}
    schema = pa.schema([("ngram", pa.int64()), ("documents", pa.int64())], {DOCUMENTS_KEY: json.dumps(counts).encode()})
    columns = [pa.array(marked.ngrams), pa.array(marked.ngram_documents)]
    write_batch(uri, pa.RecordBatch.from_arrays(columns, schema=schema))


@lru_cache(maxsize=1)
def _open(uri: str) -> NgramSets:
    return read_ngrams(uri)


def _rounds(context: Context) -> Rounds:
    settings = context.settings
    assert isinstance(settings, ContaminationAttribute), settings
    items = read_items(f"attributes.{context.name}.sets", settings.sets)
    borders, data = text_buffers(items.texts)
    ngrams = make_ngrams(data, hash_words(data, borders), settings.words, settings.fewest)
    uri, counts = join(context.work, "ngrams.arrow"), join(context.work, "counts")
    write_ngrams(uri, sets_of(ngrams, items.sets))
    do = FindOverlaps(
        context.reading, context.config.tokenizer, context.name, tuple(items.names), settings.least_overlap,
        uri, context.parts, counts,
    )  # fmt: skip
    yield Round("FindOverlaps", context.lines, do, context.size)
    chunks = [(run.source, run.path, run.chunk) for run in context.runs if run.rows]
    return summarize(items, ngrams, [parts_uri(counts, *chunk) for chunk in chunks])


def _identity(config: Config, name: str, settings: Attribute) -> Mapping[str, Any]:
    assert isinstance(settings, ContaminationAttribute), settings
    where = f"attributes.{name}.sets"
    files = {set_: list_evaluation_files(where, set_, evaluation) for set_, evaluation in settings.sets.items()}
    uris = [file.uri for listed in files.values() for file in listed]
    digests = dict(zip(uris, sha256s_of(uris, checksums_folder(config.store)), strict=True))
    sets = {
        set_: {"fields": evaluation.fields, "files": [f"sha256 {digests[file.uri]}" for file in files[set_]]}
        for set_, evaluation in settings.sets.items()
    }
    return {"sets": sets, "unicode": unicode_version()}


CONTAMINATION = AttributeKind(rounds=_rounds, identity=_identity, paths=("sets",))
