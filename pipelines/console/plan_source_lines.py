"""What `byline plan` says of the documents of each source: which no stage draws, and what placeholders stand for.

```
unused of dclm (budget): 1,298 documents, 4.7 M tokens
replaced of c4: 8,120 tokens by 410 placeholders in 122 documents, 0.21% of the source
warning source chat: 61.0% of its tokens are replaced by placeholders (secrets_ranges); check the spans, or ...
```
"""

from collections.abc import Iterator

from byline.pipelines.console.plan_picture import short
from byline.schemas.ledger import Amount
from byline.schemas.plan import Drawn, PlanHeader

# Of the tokens of a source; passages that placeholders are meant for are fewer.
MUCH_REPLACED = 0.5


def unused_lines(drawn: Drawn) -> list[str]:
    """What no stage draws, by source and reason."""
    return [
        f"unused of {source} ({reason}): {left.documents:,} documents, {short(left.tokens)} tokens"
        + (f", {left.tokens / _tokens_of(drawn, source):.2%} of the source" if reason.startswith("dropped_") else "")
        for source, reasons in sorted(drawn.unused.items())
        for reason, left in reasons.items()
        if left.documents
    ]


def _tokens_of(drawn: Drawn, source: str) -> int:
    """All tokens of a source, after replacing."""
    amounts = [drawn.used.get(source, Amount()), *drawn.unused.get(source, {}).values()]
    return sum(amount.tokens for amount in amounts)


def replaced_lines(drawn: Drawn) -> list[str]:
    """What placeholders stand for in all documents of each source."""
    return [
        f"replaced of {source}: {found}, {_share_replaced(drawn, source):.2%} of the source"
        for source, found in sorted(drawn.replaced.items())
    ]


def _share_replaced(drawn: Drawn, source: str) -> float:
    """Of the tokens of a source in the token store."""
    found = drawn.replaced[source]
    return found.tokens / max(_tokens_of(drawn, source) + found.gone, 1)


def replaced_warnings(header: PlanHeader) -> Iterator[str]:
    """Where nothing is replaced though the recipe asks for it, or most of a source is."""
    drawn = header.drawn
    if header.replace and not drawn.replaced:
        columns = sorted({column for columns in header.replace.values() for column in columns})
        yield f"replace: no document has a range of {', '.join(columns)}, so nothing is replaced"
    for source in sorted(drawn.replaced):
        share = _share_replaced(drawn, source)
        if share > MUCH_REPLACED:
            yield (
                f"source {source}: {share:.1%} of its tokens are replaced by placeholders "
                f"({', '.join(header.replace[source])}); check the spans, or drop such documents"
            )
