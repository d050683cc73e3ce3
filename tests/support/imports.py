"""Folders of MeCo's samples, imports of them, and their checks.

```python
folders = write_folders(tmp_path)        # DCLM-w-URLs, three files; DCLM-cooldown, one that is compressed
run(out, *folders)                       # what `byline import` prints
verify(out) == (0, "ok    files ...")
```
"""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from byline.pipelines.jobs.import_ import import_folders
from byline.pipelines.jobs.verify_import import verify_import
from byline.pipelines.runners.settings import RunnerSettings
from byline.schemas.imports import NamedTokenizer
from byline.transforms.imports.planning import AskedImport, NamedFolder
from tests.reference.mds import MECO, Sample, meco_sample, write_mds

LENGTH = 8
BOS_ID, EOS_ID, PAD_ID = 1, 2, 3
PLAIN = {name: MECO[name] for name in MECO if name != "mask"}
NAMED = NamedTokenizer(bos="1", eos="2", pad="3")


def conditioned(number: int) -> Sample:
    """Two documents with prefixes of one token, the second one cut; ids show the number."""
    ids = [BOS_ID, 10, 20 + number, 21, EOS_ID, BOS_ID, 11, 30]
    return meco_sample(ids, [0, 0, 1, 1, 1, 0, 0, 1], [[0, 5], [5, 8]], "dclm-w-urls")


def plain(number: int) -> Sample:
    return meco_sample([BOS_ID, 40 + number, 41, 42, 43, EOS_ID, BOS_ID, 44], [1] * 8, [[0, 6], [6, 8]], "cooldown")


def write_folders(folder: Path) -> tuple[Path, Path]:
    """Five conditioned samples in three files, four plain ones in one that is compressed and has no mask."""
    first, second = folder / "DCLM-w-URLs", folder / "DCLM-cooldown"
    files = [[conditioned(0), conditioned(1)], [conditioned(2)], [conditioned(3), conditioned(4)]]
    write_mds(first, files, subfolders=["0-0", "0-0", "0-1"])
    write_mds(second, [[plain(number) for number in range(4)]], PLAIN, compression="zstd")
    return first, second


def run(out: Path, *words: Path | str, workers: int = 1, named: NamedTokenizer = NAMED, **asked: Any) -> str:
    """Imports, two rows a shard where files allow; returns what is printed."""
    text = io.StringIO()
    overwrite = asked.pop("overwrite", False)
    job = AskedImport(
        [NamedFolder.of(str(word)) for word in words], named, **{"vocabulary": 100, "sequences": 2, **asked}
    )
    console = Console(file=text, soft_wrap=True)
    import_folders(job, "mds-meco", str(out), RunnerSettings(workers=workers), console, overwrite=overwrite)
    return text.getvalue()


def verify(out: Path) -> tuple[int, str]:
    text = io.StringIO()
    status = verify_import(str(out), RunnerSettings(workers=1), Console(file=text, soft_wrap=True))
    return status, text.getvalue()
