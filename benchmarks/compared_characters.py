"""Writes transforms/tokens/compared_characters.json: the characters about which gigatoken and `tokenizers` differ.

```
python -m benchmarks.compared_characters
gpt_2           4,657 code points in 5.5 s, key ea929c69...
gpt_neox        4,829 code points in 11.0 s, key bf296edb...
```

To be run when requirements.txt names another version of one of the libraries, or the comparison changes. The file has
the normalizers and pre-tokenizers of the published byte-level tokenizers, which tests/support/tokenizers.py has too.
"""

import json
import time
from pathlib import Path

from byline.transforms.tokens.code_points import to_runs
from byline.transforms.tokens.comparing_characters import SHIPPED, compare_splitting, shipped_key
from tests.support.tokenizers import splittings

FILE = Path(__file__).parents[1] / "transforms/tokens" / SHIPPED


def main() -> None:
    """Writes the file, one line for each splitting."""
    lines = []
    for kind, splitting in splittings().items():
        started = time.process_time()
        points = compare_splitting(splitting)
        key = shipped_key(splitting)
        lines.append(f"{json.dumps(key)}: {json.dumps(to_runs(points))}")
        seconds = time.process_time() - started
        print(f"{kind:<12}{len(points):>9,} code points in {seconds:.1f} s, key {key[:8]}...", flush=True)
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")


if __name__ == "__main__":
    main()
