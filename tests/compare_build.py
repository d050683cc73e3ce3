"""Holds a finished build against the slow reference: every row of every shard, made again from the raw files.

    python -m tests.compare_build OUT

The reference reads the raw files, tokenizes with `tokenizers`, fills, packs and masks in plain Python. Of the build it
takes the plan's integers; of the token store only the scores, for which the plan's borders were drawn. Templates may
use `url`, `host`, `registered_domain`, `path`, `source` and kept fields that are text.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

import byline
from schemas.config import Config
from schemas.config_file import parse_config
from schemas.documents import InputFile
from schemas.plan import read_plan
from tests import small
from tests.reference import assembly, documents, layout, placing
from tests.reference.urls import parse_url
from transforms.listing import list_inputs


def main(out: Path) -> None:
    """Compares, and ends with status 1 at the first row that differs."""
    shards = byline.open(out)
    config = parse_config(shards.manifest.config, str(out / "manifest.json"))
    plan = read_plan((out / "plan.arrow").read_bytes(), "plan.arrow")
    tokenizer = layout.load_tokenizer(config.tokenizer.file)
    drawn = small.drawn_by(plan, read_corpus(config, tokenizer))
    ids = plan.header["tokenizer"]
    rows = 0
    for phase in config.phases:
        found = iter(shards.phase(phase.name))
        for (name, shard), some in drawn.items():
            if name != phase.name:
                continue
            expected = assembly.assemble_shard(
                some,
                seed=config.seed,
                length=config.sequence.length,
                policy=config.sequence.packing.value,
                condition=small.reference_condition(phase.condition),
                tokenizer=tokenizer,
                bos_id=ids["bos_id"],
                eos_id=ids["eos_id"],
                pad_id=ids["pad_id"],
            )
            for number, row in enumerate(expected.rows):
                other = next(found, None)
                if other is None or {key: list(other[key]) for key in row} != row:
                    sys.exit(f"{out}: phase {name}, shard {shard}, row {number} is not the reference's")
            rows += len(expected.rows)
        if next(found, None) is not None:
            sys.exit(f"{out}: phase {phase.name} has more rows than the reference makes")
    print(f"{out}: all {rows:,} rows are the reference's ({config.sequence.packing.value})")


def read_corpus(config: Config, tokenizer: Any) -> Iterator[assembly.Document]:
    """Every document that the reference keeps."""
    files = [file for name, source in config.sources.items() for file in list_inputs(name, source)]
    numbers = placing.file_numbers([(file.source, file.path) for file in files])
    for file in files:
        source = config.sources[file.source]
        scores = read_scores(config, file)
        mapped = {**documents.FIELDS[source.format.value], **source.fields}
        for raw in documents.read_documents(file.source, source.format.value, [(file.path, file.uri)], mapped):
            if documents.drop_reason(raw) is not None:
                continue
            tokens = layout.tokenize(tokenizer, raw.text)
            if documents.drop_reason(raw, tokens) is not None:
                continue
            yield assembly.Document(
                source=raw.source,
                place=placing.place(raw.source, raw.path, raw.row),
                doc_id=placing.doc_id(numbers[file.source, file.path], raw.row),
                tokens=tokens,
                values={
                    "url": raw.url,
                    **dict(zip(("host", "registered_domain", "path"), parse_url(raw.url), strict=True)),
                    "source": raw.source,
                    **{name: raw.record.get(name) for name in source.keep},
                },
                scores={name: values.get(raw.row) for name, values in scores.items()},
            )


def read_scores(config: Config, file: InputFile) -> dict[str, dict[int, float | None]]:
    """Score -> row -> value, of one input file, read from its runs."""
    found: dict[str, dict[int, float | None]] = {name: {} for name in config.scores_of(file.source)}
    for path in Path(config.store, file.source).glob("*/*.arrow"):
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        if f'"path": "{file.path}"'.encode() in table.schema.metadata[b"byline.run"]:
            for name, values in found.items():
                values.update(zip(table["row"].to_pylist(), table[name].to_pylist(), strict=True))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
