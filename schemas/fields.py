"""Template fields: what a template, or a list of a selection, may ask of a document of the token store.

```
name        columns              text
suffix      registered_domain    en.example.org -> org
url_hash    url                  http://a.org/  -> 0f31...
source                           the source's name
```

A column of the token store is a field of its own name, too: a score, a label, a kept field, `num_tokens`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from byline.schemas.tables import Kinds


@dataclass(frozen=True)
class FieldQuestion:
    """What a field is asked about, besides the documents.

    Attributes:
        source: name of the source that all of them are of.
        salt: key of hashes.
    """

    source: str
    salt: str


@dataclass(frozen=True)
class TemplateField:
    """One field.

    Attributes:
        name: as a template has it.
        doc: what it is, in a line.
        columns: of the token store, from which it is made.
        texts: called with a batch of these columns and a `FieldQuestion`; gives the text of each document, a string or
            a dictionary of strings, null where it is unknown.
    """

    name: str
    doc: str
    columns: tuple[str, ...]
    texts: Callable[[pa.RecordBatch, FieldQuestion], pa.Array]


FIELDS = Kinds(
    TemplateField,
    {
        "url": "byline.transforms.fields.url_fields:URL",
        "host": "byline.transforms.fields.url_fields:HOST",
        "registered_domain": "byline.transforms.fields.url_fields:REGISTERED_DOMAIN",
        "suffix": "byline.transforms.fields.url_fields:SUFFIX",
        "path": "byline.transforms.fields.url_fields:PATH",
        "host_hash": "byline.transforms.fields.url_fields:HOST_HASH",
        "url_hash": "byline.transforms.fields.url_fields:URL_HASH",
        "source": "byline.transforms.fields.source_field:SOURCE",
    },
)
