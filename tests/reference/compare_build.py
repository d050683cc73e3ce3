"""Compares a finished build with the slow reference: every row of every shard, made again from the raw files.

    python -m tests.reference.compare_build OUT

The reference reads the raw files, formats, filters, tokenizes with `tokenizers`, fills templates, packs and masks in
plain Python. From the build it takes only the plan's decisions: ranges, predicates, kept values and borders of bins;
from the token store only the scores, labels and kept numbers that these depend on. Templates may use `url`, `host`,
`registered_domain`, `path`, `source`, sizes, labels, kept fields of type string or int, and any number in bins.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from tokenizers import Tokenizer

import byline
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.corpora import Source
from byline.schemas.documents import InputFile
from byline.schemas.filters import write_entry
from byline.schemas.plan import Plan, read_plan
from byline.transforms.corpora.listing import list_inputs
from tests.reference import assembly, documents, filters, hashing, layout
from tests.reference.urls import parse_url
from tests.support import small


def main(out: Path) -> None:
    """Compares all rows; exits with status 1 at the first one that differs."""
    manifest = byline.read_manifest(out)
    config = parse_config(manifest.config, str(out / "_manifest.json"))
    plan = read_plan((out / "_plan.ipc").read_bytes(), "_plan.ipc")
    tokenizer = layout.load_tokenizer(config.tokenizer.file)
    drawn = small.drawn_by(plan, read_corpus(config, tokenizer, manifest.tokenizer["added"]))
    names = [phase.name for phase in manifest.phases]
    rows = sum(_compare(out, config, plan, name, drawn, tokenizer) for name in names)
    print(f"{out}: all {rows:,} rows are the reference's ({', '.join(names)})")


def _compare(
    out: Path,
    config: Config,
    plan: Plan,
    name: str,
    drawn: Mapping[tuple[str, int], list[assembly.Document]],
    tokenizer: Tokenizer,
) -> int:
    """Compares a phase, or a branch at one point; returns its rows."""
    manifest = byline.read_manifest(out)
    branches = (*manifest.branches, manifest.holdout)
    built_rows = iter(byline.open(out, branch=name if name in branches else None).phase(name))
    rows = 0
    for (phase, shard), uses in drawn.items():
        if phase != name:
            continue
        expected = small.reference_shard(config, plan, name, uses, tokenizer)
        for number, row in enumerate(expected.rows):
            built = next(built_rows, None)
            if built is None or {key: list(built[key]) for key in row} != row:
                sys.exit(f"{out}: phase {name}, shard {shard}, row {number} is not the reference's")
        rows += len(expected.rows)
    if next(built_rows, None) is not None:
        sys.exit(f"{out}: phase {name} has more rows than the reference makes")
    return rows


def read_corpus(config: Config, tokenizer: Tokenizer, added: Mapping[str, int]) -> Iterator[assembly.Document]:
    """Every document that the reference keeps.

    Args:
        added: name -> id of the tokens that the configuration adds to those of the tokenizer.
    """
    files = [file for name, source in config.sources.items() for file in list_inputs(name, source)]
    numbers = hashing.file_numbers([(file.source, file.path) for file in files])
    names = {**tokenizer.get_vocab(), **added}
    for file in files:
        source = config.sources[file.source]
        stored = read_stored(config, file)
        for raw in read_raw(file, source):
            text, loss_spans, special_spans = documents.formatted(raw, source)
            raw = replace(raw, text=text)
            if documents.drop_reason(raw) is not None or is_refused(raw, config, stored.get(raw.row, {})):
                continue
            tokens, masked = layout.tokenize_marked(tokenizer, raw.text, loss_spans, special_spans, names)
            if documents.drop_reason(raw, tokens) is not None:
                continue
            yield _document(raw, numbers[file.source, file.path], tokens, masked, source, stored.get(raw.row, {}))


def is_refused(raw: documents.RawDocument, config: Config, stored: Mapping[str, Any]) -> bool:
    """Whether a rule of the source's filter refuses a document.

    Scores and labels of classifiers come from the token store, so those of a document that is not in it are unknown.
    """
    source = config.sources[raw.source]
    entries = [*([] if source.is_made else config.filter), *source.filter]
    fields = {**source.score, **source.kept_paths}
    own = {name: documents.value_at(raw.record, field) for name, field in fields.items()}
    values = {"url": raw.url, **dict(zip(("host", "registered_domain"), parse_url(raw.url), strict=False))}
    document = filters.Filtered(raw.text or "", {**own, **stored}, {**own, **stored, **values})
    return filters.reason([write_entry(entry) for entry in entries], document) is not None


def read_raw(file: InputFile, source: Source) -> Iterator[documents.RawDocument]:
    """Every record of an input file, or of a stretch of a made source."""
    if source.format == "arithmetic":
        return documents.made_documents(file.source, file.path, source.made)
    return documents.read_documents(file.source, source.format, [(file.path, file.uri)], dict(source.fields))


def _document(
    raw: documents.RawDocument,
    file_number: int,
    tokens: list[int],
    masked: list[tuple[int, int]],
    source: Source,
    stored: Mapping[str, Any],
) -> assembly.Document:
    """A document for the reference; `stored` are its values from the token store."""
    sizes = {"num_tokens": len(tokens), "num_bytes": len(raw.text.encode())}
    texts = {name: value for name, value in stored.items() if value is None or isinstance(value, (str, int))}
    return assembly.Document(
        source=raw.source,
        shuffle_key=hashing.shuffle_key(raw.source, raw.path, raw.row),
        doc_id=hashing.doc_id(file_number, raw.row),
        tokens=tokens,
        masked=masked,
        values={
            "url": raw.url,
            **dict(zip(("host", "registered_domain", "path"), parse_url(raw.url), strict=True)),
            **{name: None if value is None else str(value) for name, value in {**texts, **sizes}.items()},
            **{name: raw.record.get(name) for name, kept in source.keep.items() if kept.type == "string"},
            **({"problem": documents.problem_of(raw, source.made)} if source.format == "arithmetic" else {}),
        },
        numbers={**{name: value for name, value in stored.items() if not isinstance(value, str)}, **sizes},
    )


def read_stored(config: Config, file: InputFile) -> dict[int, dict[str, Any]]:
    """Row -> scores, labels and kept numbers of one input file, read from its runs."""
    columns = config.columns_of(file.source)
    names = ["row", *(name for name, kind in columns.items() if kind not in ("kept string", "kept bool"))]
    by_row: dict[int, dict[str, Any]] = {}
    for path in Path(config.store, file.source).glob("*/*.arrow"):
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        description = json.loads(table.schema.metadata[b"byline.run"])
        # A merged run has documents of several files.
        paths = [chunk["path"] for chunk in description.get("chunks", [description])]
        chunks = table["file"].to_pylist() if "file" in table.schema.names else [0] * table.num_rows
        for chunk, row in zip(chunks, table.select(names).to_pylist(), strict=True):
            if paths[chunk] == file.path:
                by_row[row.pop("row")] = row
    return by_row


if __name__ == "__main__":
    main(Path(sys.argv[1]))
