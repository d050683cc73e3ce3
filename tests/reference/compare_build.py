"""Compares a finished build with the slow reference: every row of every shard, made again from the raw files.

    python -m tests.reference.compare_build OUT

The reference reads the raw files, formats, filters, tokenizes with `tokenizers`, fills templates, packs and masks in
plain Python. From the build it takes only the plan's decisions: ranges, predicates, kept values and borders of bins;
from the token store only the scores, labels, kept numbers and attributes that these depend on. Templates may use `url`,
`host`, `registered_domain`, `path`, `source`, sizes, labels, kept fields of type string or int, and any number in bins.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
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
from byline.schemas.plan import Plan, PlanHeader, read_plan
from byline.transforms.corpora.listing import list_inputs
from tests.reference import assembly, documents, filters, hashing, layout
from tests.reference.replacing import with_placeholders
from tests.reference.urls import parse_url
from tests.support import slow_shards


def main(out: Path) -> None:
    """Compares all rows; exits with status 1 at the first one that differs."""
    manifest = byline.read_manifest(out)
    config = parse_config(manifest.config, str(out / "_manifest.json"))
    plan = read_plan((out / "_plan.ipc").read_bytes(), "_plan.ipc")
    tokenizer = layout.load_tokenizer(config.tokenizer.file)
    corpus = read_corpus(config, tokenizer, manifest.tokenizer["added"], plan.header)
    drawn = slow_shards.drawn_by(plan, corpus)
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
        mask = next(stage.mask for stage in plan.header.stages if stage.name == name)
        uses = [_as_trained(use, mask.get(use.source, []), plan.header.replace.get(use.source, {})) for use in uses]
        expected = slow_shards.reference_shard(config, plan, name, uses, tokenizer)
        for number, row in enumerate(expected.rows):
            built = next(built_rows, None)
            if built is None or {key: list(built[key]) for key in row} != row:
                sys.exit(f"{out}: phase {name}, shard {shard}, row {number} is not the reference's")
        rows += len(expected.rows)
    if next(built_rows, None) is not None:
        sys.exit(f"{out}: phase {name} has more rows than the reference makes")
    return rows


def _as_trained(document: assembly.Document, mask: list[str], replaced: Mapping[str, int]) -> assembly.Document:
    """A document of the token store with what its phase masks, and then what the recipe replaces."""
    masked = [pair for column in mask for pair in _pairs(document, column)]
    return _replaced(replace(document, masked=[*document.masked, *masked]), replaced)


def _replaced(document: assembly.Document, columns: Mapping[str, int]) -> assembly.Document:
    """A document with placeholders in place of the ranges of these columns."""
    return with_placeholders(document, [(_pairs(document, column), columns[column]) for column in sorted(columns)])


def _pairs(document: assembly.Document, column: str) -> list[tuple[int, int]]:
    """The ranges of tokens that an attribute has of a document."""
    borders: Any = document.numbers[column]
    return layout.pairs_of(borders)


def read_corpus(
    config: Config, tokenizer: Tokenizer, added: Mapping[str, int], header: PlanHeader
) -> Iterator[assembly.Document]:
    """Every document that the reference keeps, as in the token store but for its number of tokens after replacing.

    Args:
        added: name -> id of the tokens that the configuration adds to those of the tokenizer.
        header: of the plan, which says what is replaced and where attributes are.
    """
    files = [file for name, source in config.sources.items() for file in list_inputs(name, source)]
    numbers = hashing.file_numbers([(file.source, file.path) for file in files])
    names = {**tokenizer.get_vocab(), **added}
    for file in files:
        source = config.sources[file.source]
        stored = read_stored(config, file)
        for row, values in read_attributes(config, file, header.attributes.get(file.source, {})).items():
            stored.setdefault(row, {}).update(values)
        for raw in read_raw(file, source):
            text, loss_spans, special_spans = documents.formatted(raw, source)
            raw = replace(raw, text=text)
            if documents.drop_reason(raw) is not None or is_refused(raw, config, stored.get(raw.row, {})):
                continue
            marks = (tokenizer, raw.text, loss_spans, special_spans, names)
            tokens, masked = layout.tokenize_marked(*marks)
            weights = layout.token_weights(*marks, documents.loss_weights(raw, source))
            if documents.drop_reason(raw, tokens) is not None:
                continue
            stored_values = stored.get(raw.row, {})
            own = _document(raw, numbers[file.source, file.path], tokens, masked, source, stored_values)
            own = replace(own, weights=weights)
            left = _replaced(own, header.replace.get(file.source, {}))
            yield replace(own, numbers=left.numbers, values=left.values)


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
    return _by_row(Path(config.store, file.source).glob("*/*.arrow"), file, names)


def read_attributes(config: Config, file: InputFile, folders: Mapping[str, str]) -> dict[int, dict[str, Any]]:
    """Row -> values of the columns of attributes; a column of true or false as a text."""
    by_row: dict[int, dict[str, Any]] = {}
    for column, folder in folders.items():
        paths = Path(config.store, file.source).glob(f"*/{folder}/*.arrow")
        for row, values in _by_row(paths, file, ["row", column]).items():
            value = values[column]
            by_row.setdefault(row, {})[column] = str(value).lower() if isinstance(value, bool) else value
    return by_row


def _by_row(paths: Iterable[Path], file: InputFile, names: list[str]) -> dict[int, dict[str, Any]]:
    """Row -> columns of one input file, `row` among them, from files of the token store."""
    by_row: dict[int, dict[str, Any]] = {}
    for path in paths:
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
