"""A slow disk, for processes with this folder on PYTHONPATH: each file gets its name some time later.

So a random moment of a small build finds it in the middle of its work, as it would a large one.
"""

import os
import time

SECONDS = 0.15


def be_slow() -> None:
    """Has every file of this process get its name later."""
    replace = os.replace

    def replace_later(source: str, target: str) -> None:
        time.sleep(SECONDS)
        replace(source, target)

    vars(os)["replace"] = replace_later


if __name__ == "sitecustomize":
    be_slow()
