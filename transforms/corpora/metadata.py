"""ExtractMetadata: the host and the registered domain of each document, from its URL.

```
row  text  url                     row  text  url                     host            registered_domain
0    ...   https://EN.a.co.uk/b    0    ...   https://EN.a.co.uk/b    en.a.co.uk      a.co.uk
1    ...   https://[::1]/      ->  1    ...   https://[::1]/          [::1]           null
2    ...   null                    2    ...   null                    null            null
```

docs/metadata.md says what becomes of odd URLs; `byline.transforms.corpora.urls` does the work.
"""

import pyarrow as pa

from byline.schemas.documents import HOST, REGISTERED_DOMAIN, URL, with_columns
from byline.transforms.corpora.urls import parse_hosts


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
