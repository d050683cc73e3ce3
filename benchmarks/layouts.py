"""Where the files of a corpus in three layouts are, as `byline sample` and the tool of the other benchmarks write them.

```
CORPUS/dclm/global-shard_01_of_10/local-shard_0_of_10/shard_00000000_processed.jsonl.zst
CORPUS/c4/c4-train.00000-of-00003.json.gz                CORPUS/refinedweb/train-00000-of-00003.parquet
```
"""

# Layout, also the name of its format -> its files.
PATTERNS = {"dclm": "dclm/**/*.jsonl.zst", "c4": "c4/*.json.gz", "refinedweb": "refinedweb/*.parquet"}
