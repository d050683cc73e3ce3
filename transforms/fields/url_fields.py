"""Fields that a document's URL gives: itself, its host and domain, its path, and hashes of these.

```
url                 http://en.example.org/a?b      host        en.example.org     path    /a
registered_domain   example.org                    suffix      org                *_hash  16 hex digits
```
"""

import pyarrow as pa
import pyarrow.compute as pc

from byline.prompt import metadata_hash
from byline.transforms.corpora.urls import parse_paths
from byline.transforms.fields.column_fields import one_column_field, plain_texts


def _urls(values: pa.Array, salt: str) -> pa.Array:
    texts = values.cast(pa.string())
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _names(values: pa.Array, salt: str) -> pa.Array:
    return plain_texts(values)


def _suffixes(values: pa.Array, salt: str) -> pa.Array:
    return pa.array([domain and domain.partition(".")[2] for domain in values.to_pylist()], pa.string())


def _paths(values: pa.Array, salt: str) -> pa.Array:
    return parse_paths(values).cast(pa.string())


def _hashes(values: pa.Array, salt: str) -> pa.Array:
    """The salted hash of each value; null for null and for an empty text."""
    return pa.array([metadata_hash(value, salt) if value else None for value in values.to_pylist()], pa.string())


URL = one_column_field("url", "the document's URL as it was read", "url", _urls)
HOST = one_column_field("host", "the URL's host", "host", _names)
REGISTERED_DOMAIN = one_column_field(
    "registered_domain", "the host's public suffix with one label more", "registered_domain", _names
)
SUFFIX = one_column_field("suffix", "the host's public suffix", "registered_domain", _suffixes)
PATH = one_column_field("path", "the URL's path", "url", _paths)
HOST_HASH = one_column_field("host_hash", "a salted hash of the host", "host", _hashes)
URL_HASH = one_column_field("url_hash", "a salted hash of the URL", "url", _hashes)
