"""Makes the builds that trainers are tested on: `python -m tests.trainers.builds FOLDER`.

```
FOLDER/document_start   FOLDER/concat   FOLDER/repeat_prefix   FOLDER/best_fit
FOLDER/hf/document_start  FOLDER/mds/document_start  ...      an export of each to each format that a trainer reads
FOLDER/imported                                               what an import makes of FOLDER/mds-meco/best_fit
FOLDER/weighed          FOLDER/megatron/weighed               concat with loss weights, and an export of it
```

The same corpus in each packing: a phase conditioned on the host, then a cooldown without, rows of 64 tokens. That of
best_fit has a holdout too, which no trainer gets.
"""

import shutil
import sys
from pathlib import Path

import byline
from byline.pipelines.jobs.export import export
from byline.pipelines.jobs.import_ import import_folders
from byline.schemas.imports import NamedTokenizer
from byline.transforms.imports.planning import AskedImport, NamedFolder
from tests.support.builds import ALONE, build, quiet
from tests.support.corpora import recipe, write_corpus
from tests.trainers.packings import FORMATS, PACKINGS, PHASES


def main() -> None:
    """Builds all of them anew."""
    # The manifest names the tokenizer's file, which an example reads from anywhere.
    folder = Path(sys.argv[1]).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    corpus = write_corpus(folder / "corpus")
    for packing in PACKINGS:
        sequence = {"length": 64, "packing": packing}
        holdout = {"share": 0.1} if packing == "best_fit" else None
        out = build(recipe(corpus, folder, sequence=sequence, holdout=holdout, output=str(folder / packing)))
        for name in FORMATS:
            # litdata's readers know no loss mask.
            export(str(out), name, str(folder / name / packing), ALONE, quiet(), drop_mask=name == "litdata")
        print(out)
    import_meco(folder)
    sequence = {"length": 64, "packing": "concat"}
    weights = {"c4": 0.25, "dclm": {"by": "quality", "most": 0.9, "unknown": 0.5}, "mine": 3}
    out = build(recipe(corpus, folder, sequence=sequence, loss_weight=weights, output=str(folder / "weighed")))
    export(str(out), "megatron", str(folder / "megatron/weighed"), ALONE, quiet())


def import_meco(folder: Path) -> None:
    """Imports the export of best_fit, whose rows have padding, as MeCo's data."""
    settings = byline.open(folder / "best_fit").manifest.config["tokenizer"]
    tokenizer = NamedTokenizer(*(settings[name] for name in ("file", "bos", "eos", "pad")))
    folders = [NamedFolder(str(folder / "mds-meco/best_fit" / phase), phase) for phase in PHASES]
    import_folders(AskedImport(folders, tokenizer), "mds-meco", str(folder / "imported"), ALONE, quiet())


if __name__ == "__main__":
    main()
