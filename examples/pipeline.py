"""Byline's steps in a Beam pipeline of your own: JSON lines read with plain Beam, scored, filtered, tokenized, written.

```
python examples/pipeline.py OUT

OUT/raw/part-0.jsonl   {"title": ..., "url": ..., "text": ...}     made here
OUT/runs/*.arrow       one sorted run of the token store for each file: tokens, host, quality
```

A step takes record batches with the columns that docs/parts.md lists. Only the run needs to know more: which source and
file a batch is from (`with_info`), since documents are shuffled by a hash of that.
"""

import hashlib
import json
import sys
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.io import fileio
from sample_data import EOS, write_classifier, write_documents, write_tokenizer

from byline.schemas.corpora import Classifier, Tokenizer
from byline.schemas.documents import BatchInfo, with_info
from byline.schemas.store import RunInfo
from byline.transforms.corpora import ExtractMetadata
from byline.transforms.filters import FilterDocuments
from byline.transforms.filters.sizes import Words
from byline.transforms.scores import ScoreQuality
from byline.transforms.store import WriteRuns
from byline.transforms.tokens import Tokenize


def to_batch(file: fileio.ReadableFile) -> pa.RecordBatch:
    """A file of JSON lines as one batch: row, text, url."""
    records = [json.loads(line) for line in file.read_utf8().splitlines()]
    columns = {
        "row": pa.array(range(len(records)), pa.int64()),
        "text": pa.array([record["text"] for record in records], pa.large_string()),
        "url": pa.array([record["url"] for record in records], pa.large_string()),
    }
    info = BatchInfo(source="web", path=Path(file.metadata.path).name, rows_read=len(records))
    return with_info(pa.record_batch(columns), info)


def run(out: Path) -> None:
    """Reads OUT/raw and writes OUT/runs."""
    classifier = Classifier(model=str(out / "recipes.bin"), label="__label__recipe")
    tokenizer = Tokenizer(file=str(out / "tokenizer.json"), eos=EOS)
    # Names what the runs were made with; a run of another fingerprint is never mixed with these.
    fingerprint = hashlib.sha256(b"example, version 1").hexdigest()
    with beam.Pipeline() as pipeline:
        _ = (
            pipeline
            | fileio.MatchFiles(str(out / "raw" / "*.jsonl"))
            | fileio.ReadMatches()
            | "ToBatch" >> beam.Map(to_batch).with_output_types(pa.RecordBatch)
            | ExtractMetadata()
            | ScoreQuality({"quality": classifier}, cache_folder=str(out / "models"))
            | FilterDocuments({"web": [Words(at_least=5)]})
            | Tokenize(tokenizer)
            | WriteRuns({"web": str(out / "runs")}, {"web": fingerprint})
        )


def main() -> None:
    """Makes the data in OUT, runs the pipeline and shows what is in each run."""
    out = Path(sys.argv[1]).absolute()
    write_documents(out / "raw")
    texts = [json.loads(line)["text"] for file in sorted((out / "raw").iterdir()) for line in file.open()]
    write_tokenizer(out / "tokenizer.json", texts)
    write_classifier(out / "recipes.bin")
    run(out)
    for uri in sorted(map(str, (out / "runs").glob("*.arrow"))):
        with pa.memory_map(uri) as source, pa.ipc.open_file(source) as reader:
            table, described = reader.read_all(), RunInfo.from_schema(reader.schema, uri)
            print(
                f"{described.path}: {table.num_rows} documents, {described.tokens} tokens, dropped {described.dropped}"
            )
            print(f"  columns {', '.join(table.column_names)}")


if __name__ == "__main__":
    main()
