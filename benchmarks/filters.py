"""What filters cost: MB of text a second of processor time, for each group and rule that reads texts.

    python -m benchmarks.filters CONFIG [--megabytes 64]

```
rule                                      MB/s
words                                      900
gopher_quality                             120
```

Texts are those of the configuration's sources. Each line is the best of three rounds, words and lines found anew.
"""

import argparse
import time
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from byline.schemas.config import Config
from byline.schemas.config_file import load_config
from byline.schemas.filters import FilterEntry
from byline.transforms.corpora.listing import list_inputs
from byline.transforms.corpora.reading import read_batches
from byline.transforms.filters.applying import open_rules, refusals
from byline.transforms.filters.every_rule import GROUPS, RULES
from byline.transforms.filters.filtering import drop_reasons
from byline.transforms.filters.rules import SourceColumns
from byline.transforms.filters.tables import read_rules

_NEED_FILES = ("label", "hosts", "domains", "c4_bad_words", "function", "number")
_SETTINGS = {
    "characters": {"at_least": 1},
    "words": {"at_least": 1},
    "matches": {"drop": "(?i)cookie policy"},
    "gopher_top_ngram": {"size": 2},
    "gopher_duplicate_ngrams": {"size": 10},
}


def read_texts(config: Config, size: int) -> pa.RecordBatch:
    """Texts of about so many bytes, of all sources that are read."""
    batches = list(_batches(config, size))
    texts = pa.concat_arrays([batch["text"] for batch in batches])
    return pa.record_batch({"text": texts.filter(pc.is_null(drop_reasons(texts)))})


def _batches(config: Config, size: int) -> Iterator[pa.RecordBatch]:
    for name, source in config.sources.items():
        for file in list_inputs(name, source):
            for batch in read_batches(file, source):
                yield batch
                size -= pc.sum(pc.binary_length(batch["text"])).as_py() or 0
                if size <= 0:
                    return


def measure(batch: pa.RecordBatch, names: Sequence[str]) -> float:
    """Seconds that rules take for a batch."""
    entries = [FilterEntry(name, _SETTINGS.get(name, {})) for name in names]
    rules = open_rules(read_rules("filter", entries, SourceColumns("", [], ["text"])), "")
    refusals(batch.slice(0, 10), rules)
    times = []
    for _ in range(3):
        started = time.process_time()
        refusals(batch, rules)
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--megabytes", type=int, default=64)
    arguments = parser.parse_args()
    batch = read_texts(load_config(arguments.config), arguments.megabytes * 1_000_000)
    size = pc.sum(pc.binary_length(batch["text"])).as_py() / 1e6
    print(f"{batch.num_rows:,} documents, {size:,.1f} MB")
    print(f"{'rule':<42}{'MB/s':>6}")
    everything = {"all four groups": list(GROUPS), **{name: [name] for name in (*GROUPS, *RULES)}}
    for name, rules in everything.items():
        if name not in _NEED_FILES:
            print(f"{name:<42}{size / measure(batch, rules):>6,.0f}")


if __name__ == "__main__":
    main()
