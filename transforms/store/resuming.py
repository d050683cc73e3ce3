"""Leaves out what has been written to the token store since a job's list of input files was made.

An engine repeats a task whose worker was lost, and some repeat a whole job:

```
listed      a, done ()                   b, done (0,)      c, done ()
store now   a-00000  a-00001 (last)      b-00000  b-00001
read                                     b, done (0, 1)    c, done ()
```
"""

from dataclasses import replace
from itertools import count

from byline.schemas.documents import InputFile
from byline.transforms.files.storage import exists, join
from byline.transforms.store.run_names import run_name
from byline.transforms.store.store_index import read_run_info


def without_written(file: InputFile, folder: str) -> InputFile | None:
    """An input file, with the chunks that were written in order since it was listed as done; None if all are.

    Args:
        file: as it was listed.
        folder: of its source's runs.
    """
    done = set(file.done)
    for chunk in count():
        if chunk not in done:
            uri = join(folder, run_name(file.source, file.path, chunk))
            if not exists(uri):
                return replace(file, done=tuple(sorted(done)))
            info = read_run_info(uri)
            # The driver has deleted the runs of a file that was changed and kept its size.
            if info.input_size != file.size:
                return file
            if info.last:
                return None
            done.add(chunk)
    raise AssertionError("unreachable")
