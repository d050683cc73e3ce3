"""ExtractMetadata: the host and the registered domain of each document, from its URL.

```
row  text  url                     row  text  url                     host            registered_domain
0    ...   https://EN.a.co.uk/b    0    ...   https://EN.a.co.uk/b    en.a.co.uk      a.co.uk
1    ...   https://[::1]/      ->  1    ...   https://[::1]/          [::1]           null
2    ...   null                    2    ...   null                    null            null
```

docs/metadata.md says what becomes of odd URLs; `byline.transforms.corpora.urls` does the work.
"""

import hashlib
import pkgutil
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

import byline.transforms.documents.coder  # noqa: F401 (registers the coder of the edges)
from byline.schemas.documents import HOST, REGISTERED_DOMAIN, URL, with_columns
from byline.transforms.corpora.urls import parse_hosts, suffix_list


def extract_metadata(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Adds the columns `host` and `registered_domain` (see `byline.schemas.documents`) behind the others.

    Args:
        batch: documents with a column `url`; its schema metadata is kept.

    Raises:
        BylineError: there is no column `url`.
    """
    batch = with_columns(batch, "ExtractMetadata", URL)
    schema = batch.schema.append(HOST).append(REGISTERED_DOMAIN)
    return pa.RecordBatch.from_arrays([*batch.columns, *parse_hosts(batch.column("url"))], schema=schema)


def snapshot_id() -> str:
    """Names the public suffix list in use: 16 hex digits of its sha256. Another list gives other registered domains."""
    snapshot = pkgutil.get_data("tldextract", ".tld_set_snapshot")
    assert snapshot is not None, "the package tldextract came without its copy of the public suffix list"
    return hashlib.sha256(snapshot).hexdigest()[:16]


class _ExtractMetadata(beam.DoFn):
    def setup(self) -> None:
        suffix_list()("example.org")  # parses the list once, so that no batch pays for it

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield extract_metadata(batch)


class ExtractMetadata(beam.PTransform):
    """Adds host and registered domain to batches of documents; one batch in, one batch out."""

    def expand(self, documents: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        return documents | "ParseUrls" >> beam.ParDo(_ExtractMetadata())
