"""Attributes of input files that have changed go with the runs that they stand beside.

```
x.jsonl has changed
STORE/web/5f3e.../x-00000.arrow                             deleted: it is prepared anew under this name
STORE/web/5f3e.../attributes/topic/91c3.../x-00000.arrow    deleted: it has values of the old documents
STORE/web/5f3e.../attributes/topic/91c3.../y-00000.arrow    stays
```
"""

from collections.abc import Iterable

from byline.errors import DamagedFileError
from byline.schemas.store import MERGED_PREFIX, RunFile
from byline.transforms.files import storage
from byline.transforms.store import store_index
from byline.transforms.store.attribute_columns import ATTRIBUTES_FOLDER
from byline.transforms.store.run_names import run_name


def remove_stale_attributes(folder: str, stale: Iterable[RunFile]) -> None:
    """Deletes the files of all attributes of a source that have values of stale chunks, merged or not.

    Args:
        folder: of the source's runs.
        stale: the files that are deleted next.
    """
    chunks = {(chunk.path, chunk.chunk): chunk for file in stale for chunk in file.chunks}
    names = {run_name(chunk.source, chunk.path, chunk.chunk) for chunk in chunks.values()}

    def has_stale(uri: str, size: int) -> bool:
        name = uri.rpartition("/")[2]
        if not name.startswith(MERGED_PREFIX):
            return name in names
        try:
            return any((chunk.path, chunk.chunk) in chunks for chunk in store_index.read_run_file(uri, size).chunks)
        except DamagedFileError:
            # Nothing is lost with it: it is made again.
            return True

    infos = storage.list_files(storage.join(folder, ATTRIBUTES_FOLDER))
    files = [(info.path, info.size) for info in infos if info.base_name.endswith(".arrow")]
    are_stale = storage.side_by_side(lambda file: has_stale(*file), files)
    storage.side_by_side(
        storage.delete_file, [uri for (uri, _), is_stale in zip(files, are_stale, strict=True) if is_stale]
    )
