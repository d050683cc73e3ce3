"""datatrove's tokenizing pipeline over the layouts of a corpus; runs in datatrove's environment, without Byline.

    python datatrove_pipeline.py '{"corpus": ..., "layouts": {"c4": "*.json.gz", ...}, "tokenizer": ..., "eos": ...,
                                   "output": ..., "tasks": 4, "workers": 2, "batch_size": 10000}'

The readers stand one behind another in one pipeline: each task reads its share of the files of each, then shuffles the
documents of the file that it wrote. Of Parquet only the text and the URL are read.
"""

import json
import sys

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer


def main() -> None:
    """Tokenizes with an end of text after each document, and shuffles within each task's file."""
    given = json.loads(sys.argv[1])
    corpus, output = given["corpus"], given["output"]
    readers = []
    for name, pattern in given["layouts"].items():
        own = {"glob_pattern": pattern, "id_key": "url"}
        if name == "refinedweb":
            readers.append(ParquetReader(f"{corpus}/{name}", text_key="content", read_metadata=False, **own))
        else:
            readers.append(JsonlReader(f"{corpus}/{name}", **own))
    tokenizer = DocumentTokenizer(
        f"{output}/tokens",
        tokenizer_name_or_path=given["tokenizer"],
        eos_token=given["eos"],
        batch_size=given["batch_size"],
        seed=0,
    )
    executor = LocalPipelineExecutor(
        [*readers, tokenizer],
        tasks=given["tasks"],
        workers=given["workers"],
        logging_dir=f"{output}/logs",
    )
    executor.run()


if __name__ == "__main__":
    main()
