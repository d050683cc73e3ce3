"""How a recipe's `filter` is read.

```
filter: [gopher_words, {words: {at_most: 9, name: brief}}, c4]
rules    gopher_words  brief (words)  c4_lorem_ipsum  c4_curly_bracket  c4_sentences
```
"""

from collections.abc import Iterator, Sequence
from typing import Any

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.filters import FilterEntry
from byline.schemas.model import first_twice
from byline.schemas.reasons import DropReason, DropReasons
from byline.transforms.filters.rules import Rule, SourceColumns, nearest, read_settings


def rules_of(config: Config, source: str) -> list[Rule]:
    """The rules of a source in order: the common ones, then its own.

    Raises:
        BylineError: an unknown rule, setting or column, or two rules with one reason.
    """
    columns = columns_of(config, source)
    rules = common_rules(config, columns) + own_rules(config, columns)
    reasons = [rule.reason for rule in rules]
    if (twice := first_twice(reasons)) is not None:
        raise BylineError(f"sources.{source}: two rules of its filter count as {twice!r}; give one a `name` of its own")
    return rules


def check_filters(config: Config) -> None:
    """Checks the rules of all sources without reading a file. Raises: BylineError, as `rules_of`."""
    for source in config.sources:
        rules_of(config, source)


def drop_reasons_of(config: Config, source: str) -> DropReasons:
    """Every reason for which a document of a source may be dropped, in the order of the steps."""
    rules = rules_of(config, source)
    before = [reason for reason in DropReason if reason is not DropReason.NO_TOKENS]
    return DropReasons(
        [*(reason.value for reason in before), *(rule.reason for rule in rules), DropReason.NO_TOKENS.value],
        [rule.reason for rule in rules if rule.gives_reasons],
    )


def common_rules(config: Config, columns: SourceColumns) -> list[Rule]:
    """The rules of the top-level `filter`; none for a source that is made."""
    return [] if config.sources[columns.source].is_made else read_rules("filter", config.filter, columns)


def own_rules(config: Config, columns: SourceColumns) -> list[Rule]:
    """The rules of `sources.NAME.filter`."""
    return read_rules(f"sources.{columns.source}.filter", config.sources[columns.source].filter, columns)


def columns_of(config: Config, source: str) -> SourceColumns:
    """The columns of a source's documents that rules may name."""
    numbers = [name for name in config.stored_numbers_of(source) if name not in ("num_tokens", "num_bytes")]
    columns = config.columns_of(source).items()
    labels = [name for name, kind in columns if kind.startswith("label ")]
    kept = [name for name, kind in columns if kind == "kept string"]
    return SourceColumns(source, numbers, ["text", "url", "host", "registered_domain", *labels, *kept])


def read_rules(where: str, entries: Sequence[FilterEntry], columns: SourceColumns) -> list[Rule]:
    """Rules as a recipe lists them, with groups expanded.

    Args:
        where: the key that lists them, for messages.
        entries: each a rule or a group, with settings.
        columns: of the documents.

    Raises:
        BylineError: as `rules_of`.
    """
    rules: list[Rule] = []
    for number, entry in enumerate(entries):
        at = f"{where}.{number}.{entry.rule}"
        for rule, settings in _named(at, entry):
            try:
                rules.append(read_settings(rule, settings))
                rules[-1].check(columns)
            except BylineError as error:
                raise BylineError(f"{at}: {error}") from None
    return rules


def _named(where: str, entry: FilterEntry) -> list[tuple[type[Rule], dict[str, Any]]]:
    """The rules that an entry names, each with its settings."""
    # Here, where there is an entry: most recipes have none, and the rules' kernels take a tenth of a second.
    from byline.transforms.filters.every_rule import GROUPS, RULES

    if entry.rule in RULES:
        return [(RULES[entry.rule], entry.settings)]
    if entry.rule not in GROUPS:
        raise BylineError(f"{where}: there is no such rule; {nearest(entry.rule, [*RULES, *GROUPS])}")
    if entry.settings:
        members = ", ".join(rule.kind for rule, _ in GROUPS[entry.rule])
        raise BylineError(f"{where}: a group takes no settings; list its rules instead: {members}")
    return list(GROUPS[entry.rule])


def all_rules(config: Config) -> Iterator[tuple[str, Rule]]:
    """Every rule with the key that lists it; the common rules once."""
    read = [source for source in config.sources if not config.sources[source].is_made]
    for source in read[:1]:
        yield from (("filter", rule) for rule in common_rules(config, columns_of(config, source)))
    for source in config.sources:
        own = own_rules(config, columns_of(config, source))
        yield from ((f"sources.{source}.filter", rule) for rule in own)


def filter_files(config: Config) -> Iterator[tuple[str, str]]:
    """The lists and models that rules name: key and location."""
    for where, rule in all_rules(config):
        yield from ((f"{where}.{rule.kind}.{setting}", uri) for setting, uri in rule.files().items())
