"""What the ledger says is replaced in all documents of a source, counted again from the token store.

```
ledger, source web   replaced 340 tokens by 15 placeholders in 12 documents
secrets_ranges       of every run of web, united with the other columns that the recipe replaces     = the same
```
"""

from byline.schemas.ledger import Ledger, Replaced
from byline.transforms.checks.builds import Build
from byline.transforms.scans.count_runs import count_here
from byline.transforms.scans.draws import DrawCounter, replaced_of
from byline.transforms.store.state import StoreState
from byline.transforms.store.store_index import run_uris


def check_replaced(build: Build, state: StoreState) -> list[str]:
    """Where the ledger differs from the token store, whose files are right; nothing is read if nothing is replaced."""
    header = build.plan.header
    if not header.replace:
        return []
    columns = {source: list(own) for source, own in header.replace.items()}
    counts = count_here(DrawCounter([], replaced=columns), run_uris(state.runs), header.attributes, columns)
    found: dict[str, Replaced] = {}
    for row in counts.to_pylist():
        if row["what"] is not None:
            amount = replaced_of(row["what"], row["documents"], row["tokens"])
            found[row["stratum"]] = found.get(row["stratum"], Replaced()) + amount
    return [
        f"ledger, source {source}: replaced {said.replaced}, the token store has {found.get(source, Replaced())}"
        for source, said in Ledger.from_json(build.manifest.ledger).sources.items()
        if said.replaced != found.get(source, Replaced())
    ]
