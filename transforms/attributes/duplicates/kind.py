"""The kind `duplicates`: its rounds.

```
HashTexts      texts -> hashes, bands           files        equal.py
GroupEqual     groups of equal documents        partitions
SpreadBands    bands of one document a group    files        candidates.py
PairBands      pairs that share a band          partitions
SendTexts      texts of pairs                   files        verifying.py
ComparePairs   pairs that are similar           partitions
Settle         what is removed                  partitions   settling.py    again until all is decided
Unite          clusters                         partitions   clusters.py
TellMembers    to the equals of their members   partitions
WriteMarks     values and counts                files        marking.py
```

Without near duplicates the second is followed by the last. Texts are read twice, the second time of files with
candidates alone. A partition of rows has some million, one of texts some ten MB; the driver reads counts.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from byline.errors import BylineError
from byline.schemas.attribute_kinds.attribute import Attribute
from byline.schemas.attribute_kinds.duplicates import DuplicatesAttribute
from byline.schemas.config import Config
from byline.transforms.attributes.duplicates.candidates import pair_bands, spread_bands
from byline.transforms.attributes.duplicates.clusters import tell_members, unite
from byline.transforms.attributes.duplicates.equal import group_equal, hash_texts
from byline.transforms.attributes.duplicates.largest import ReadBeginnings, name_of, read_beginnings, read_largest
from byline.transforms.attributes.duplicates.layout import Layout
from byline.transforms.attributes.duplicates.marking import read_counts, write_marks
from byline.transforms.attributes.duplicates.settling import Settle, undecided
from byline.transforms.attributes.duplicates.verifying import compare_pairs, send_texts
from byline.transforms.attributes.exchange import MOST_PARTITIONS, partitions_for
from byline.transforms.attributes.notes import read_notes
from byline.transforms.attributes.rounds import AttributeKind, Context, Round, Rounds
from byline.transforms.duplicates.normalizing import coarsest
from byline.transforms.duplicates.presets import PRESETS

# Of the forms, hashes and bands as docs/duplicates.md defines them.
_HASHES = 2
# Texts of a partition, were all documents candidates.
_TEXT_BYTES = 64 << 20
_ROW_BYTES = 40


@dataclass(frozen=True)
class _Sizes:
    """How many rows, of how much text, are in the token store."""

    rows: int
    text_bytes: int


def _rounds(context: Context) -> Rounds:
    settings = context.settings
    assert isinstance(settings, DuplicatesAttribute), settings
    layout, sizes = layout_of(context, settings)
    if not layout.chunks:
        return {}
    partitions, rows = [str(number) for number in range(layout.partitions)], sizes.rows * _ROW_BYTES
    yield Round("HashTexts", context.lines, partial(hash_texts, layout), context.size)
    yield Round("GroupEqual", partitions, partial(group_equal, layout), rows)
    pairs: dict[str, int] = {}
    if layout.preset is not None:
        yield from _near(context, layout, sizes)
        pairs = _compared(layout)
    yield Round("WriteMarks", context.lines, partial(write_marks, layout), rows)
    counts, largest = read_counts(layout), read_largest(layout)
    too_many = [
        source for source, of in counts.items() if of["removed"] > settings.max_removed * max(of["documents"], 1)
    ]
    if too_many:
        yield from _beginnings(context, layout, largest)
        raise BylineError(_too_many(layout, settings, counts[too_many[0]], too_many[0], largest))
    return _summary(layout, counts, pairs, largest)


def layout_of(context: Context, settings: DuplicatesAttribute) -> tuple[Layout, _Sizes]:
    """The layout of an attribute's rounds, and the sizes that it is for.

    Raises:
        BylineError: `priority` names a source that there is not.
    """
    files = sorted(((file.source, file.path) for file in context.inputs), key=_bytes)
    unknown = [name for name in settings.priority if name not in context.config.sources]
    if unknown:
        known = ", ".join(sorted(context.config.sources))
        raise BylineError(f"attributes.{context.name}.priority: there is no source {unknown[0]!r}; there are: {known}")
    behind = len(settings.priority)
    order = {name: number for number, name in enumerate(settings.priority)}
    runs = [run for run in context.runs if run.rows]
    sizes = _Sizes(sum(run.rows for run in runs), sum(run.text_bytes for run in runs))
    preset = None if settings.near is None else PRESETS[settings.near]
    layout = Layout(
        name=context.name,
        work=context.work,
        parts=context.parts,
        reading=context.reading,
        files=tuple(files),
        chunks=tuple(sorted({(run.source, run.path, run.chunk) for run in runs}, key=_bytes)),
        priorities={source: order.get(source, behind) for source, _ in files},
        form=settings.normalization,
        preset=preset,
        similarity=settings.similarity or (preset.similarity if preset else settings.max_removed),
        partitions=partitions_for(sizes.rows),
        band_partitions=partitions_for(sizes.rows * (preset.bands if preset else 1)),
        text_partitions=partitions_for(sizes.text_bytes, _TEXT_BYTES),
        buckets=min(len(files), MOST_PARTITIONS),
    )
    return layout, sizes


def _bytes(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Names in order of their bytes, numbers as they are."""
    return tuple(one.encode() if isinstance(one, str) else one for one in key)


def _near(context: Context, layout: Layout, sizes: _Sizes) -> Iterator[Round]:
    """The rounds between groups of equal documents and the values."""
    assert layout.preset is not None
    rows = sizes.rows * _ROW_BYTES
    bands = rows * layout.preset.bands
    partitions = [str(number) for number in range(layout.partitions)]
    of_bands = [str(number) for number in range(layout.band_partitions)]
    of_texts = [str(number) for number in range(layout.text_partitions)]
    yield Round("SpreadBands", context.lines, partial(spread_bands, layout), bands)
    yield Round("PairBands", of_bands, partial(pair_bands, layout), bands)
    yield Round("SendTexts", context.lines, partial(send_texts, layout), context.size)
    yield Round("ComparePairs", of_texts, partial(compare_pairs, layout), sizes.text_bytes // 4)
    turn = 0
    yield Round("Settle", partitions, Settle(layout, turn), rows)
    while undecided(layout, turn):
        turn += 1
        yield Round("Settle", partitions, Settle(layout, turn), rows)
    do: Callable[[str], None] = partial(unite, layout, f"settled-{turn}")
    yield Round("Unite", partitions, do, rows)
    yield Round("TellMembers", partitions, partial(tell_members, layout), rows)


def _compared(layout: Layout) -> dict[str, int]:
    counts = read_notes(layout.work, "compared", range(layout.text_partitions))
    return {name: sum(one[name] for one in counts) for name in ("compared", "similar")}


def _beginnings(context: Context, layout: Layout, largest: list[tuple[int, int]]) -> Iterator[Round]:
    """The round that reads how the largest clusters begin."""
    documents = tuple(kept for _, kept in largest)
    files = {layout.files[kept >> 32] for kept in documents}
    lines = [file.to_json() for file in context.files if (file.file.source, file.file.path) in files]
    yield Round("ReadBeginnings", lines, ReadBeginnings(layout, documents), context.size)


def _too_many(
    layout: Layout,
    settings: DuplicatesAttribute,
    counts: dict[str, int],
    source: str,
    largest: list[tuple[int, int]],
) -> str:
    beginnings = read_beginnings(layout, sorted({kept >> 32 for _, kept in largest}))
    share, most = 100 * counts["removed"] / counts["documents"], 100 * float(settings.max_removed)
    clusters = [f"{size:,} like {name_of(layout, kept)} {beginnings[kept]!r}" for size, kept in largest]
    return (
        f"attributes.{layout.name}: {counts['removed']:,} of {counts['documents']:,} documents of {source} "
        f"({share:.1f}%) are duplicates, more than `max_removed` ({most:g}%); raise it if that is as it should be. The "
        f"largest clusters: {', '.join(clusters)}"
    )


def _summary(
    layout: Layout, counts: dict[str, dict[str, int]], pairs: dict[str, int], largest: list[tuple[int, int]]
) -> dict[str, Any]:
    lines = [
        f"{source}: {of['removed']:,} of {of['documents']:,} documents are duplicates, {of['equal']:,} of them equal; "
        f"{of['matched']:,} occur in other sources"
        for source, of in counts.items()
    ]
    if pairs:
        lines.append(f"{pairs['similar']:,} of {pairs['compared']:,} candidates are similar")
    clusters = [{"documents": size, "kept": name_of(layout, kept)} for size, kept in largest]
    return {"sources": counts, "pairs": pairs, "largest": clusters, "lines": lines}


def _identity(config: Config, name: str, settings: Attribute) -> Mapping[str, Any]:
    """What a preset stands for, so that values are made again if it should ever stand for something else."""
    assert isinstance(settings, DuplicatesAttribute), settings
    if settings.near is None:
        return {"hashes": _HASHES}
    preset = PRESETS[settings.near]
    shingles = f"{preset.shingling.size} {preset.shingling.unit} of {coarsest(settings.normalization, preset.form)}"
    similarity = str(settings.similarity or preset.similarity)
    return {"hashes": _HASHES, "bands": [preset.bands, preset.rows], "shingles": shingles, "least": similarity}


DUPLICATES = AttributeKind(rounds=_rounds, identity=_identity)
