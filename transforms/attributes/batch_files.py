"""Files of one record batch each: what rounds leave for each other, sealed, and read with all their bytes checked.

```
write_batch(uri, batch)    schema with its metadata, the batch, a seal            read_batch(uri)    the same batch
```
"""

import pyarrow as pa

from byline.transforms.files.sealed_files import SealedReader, write_sealed
from byline.transforms.store.run_pieces import reading_run


def write_batch(uri: str, batch: pa.RecordBatch) -> None:
    """Writes a batch; the file has its name when it is whole."""
    with write_sealed(uri, batch.schema) as writer:
        writer.write_batch(batch)


def read_batch(uri: str) -> pa.RecordBatch:
    """The batch of a file, with its metadata.

    Raises:
        DamagedFileError: the file is damaged, or none of these.
    """
    with reading_run(uri):
        reader = SealedReader(uri)
        batch = reader.read_next()
        reader.finish()
        return batch.replace_schema_metadata(reader.schema.metadata)


def plain(column: pa.Array) -> pa.Array:
    """A column with its values instead of a dictionary's numbers."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
