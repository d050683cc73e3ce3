"""What a recipe asks of documents, held against what the token store knows of them.

```
min_known 0.5     host of web    known 990, unknown 10              fine
                  host of chats  null 1,000                         an error: every prefix would say `unknown`
                  topic of web   known 400, null 600                a warning
```
"""

from collections.abc import Iterator, Mapping

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.field_counts import FieldCounts
from byline.transforms.fields.field_use import FieldUse, field_uses

# Where the columns of a URL come from.
FROM_URL = ("url", "host", "registered_domain")
# Source -> name of a column -> counts.
SourceFields = Mapping[str, Mapping[str, FieldCounts]]


def check_known(config: Config, fields: SourceFields) -> None:
    """Refuses a recipe whose templates ask a source for what not one of its documents has.

    Args:
        config: the recipe.
        fields: counts of every source.

    Raises:
        BylineError: names the key, the source and what to do.
    """
    for use, counts in _minded(config, fields):
        if use.is_conditioned and counts.known == 0:
            raise BylineError(f"{use.where}: {unknown_message(config, use, describe(counts))}")


def unknown_message(config: Config, use: FieldUse, why: str) -> str:
    """Says that a template asks a source for what none of its documents has; `why`: what they have."""
    stage = next(stage for where, stage in config.located_stages() if use.where == f"{where}.condition")
    unknown = "" if stage.condition is None else stage.condition.unknown
    return (
        f"{use.field!r} is known for no document of source {use.source} ({why}), so each prefix would have {unknown!r} "
        f"there; {_mend(use)}, or set min_known.{use.source} to 0"
    )


def known_warnings(config: Config, fields: SourceFields) -> list[str]:
    """One line for each field that a recipe uses of a source, and that is known for less than `min_known` of it."""
    return [
        f"source {use.source}: {use.column} is known for {counts.share_known:.2%} of the documents "
        f"({describe(counts)}), and {use.where} uses it; {_mend(use)}, or lower min_known.{use.source}"
        for use, counts in _minded(config, fields)
        if counts.share_known < config.least_known(use.source)
    ]


def describe(counts: FieldCounts) -> str:
    """Counts as text: `990 known, 10 unknown`."""
    parts = [f"{number:,} {name}" for name, number in vars(counts).items() if number]
    return ", ".join(parts) or "no document"


def _minded(config: Config, fields: SourceFields) -> Iterator[tuple[FieldUse, FieldCounts]]:
    """What a recipe uses, with its counts; without what a made source never has, and where nothing is minded."""
    for use in field_uses(config):
        counts = fields.get(use.source, {}).get(use.column)
        is_by_nature = config.sources[use.source].is_made and use.column in FROM_URL
        if counts is not None and counts.documents and not is_by_nature and config.least_known(use.source) > 0:
            yield use, counts


def _mend(use: FieldUse) -> str:
    if use.column in FROM_URL:
        return f"name where it stands in a record in sources.{use.source}.fields.url"
    return f"check where sources.{use.source} takes it from"
