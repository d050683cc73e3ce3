"""Where a token store has classifiers as they are folded, and the checksums of the files that they are made of.

```
STORE/models/fasttext-v1-62ebb8....arrow   checksums.json
```
"""

from byline.transforms.files.storage import join

# What a file is said to be expected to be.
A_MODEL = "a fastText model"


def models_folder(store: str) -> str:
    """The folder of a token store."""
    return join(store, "models")
