"""The kinds of corpora that a study can have made; a recipe names one, and its settings beside it.

```
corpora: {web: {kind: sites, persons: 128, seed: 1}}     OUT/corpora/web/pages.jsonl, probes_true.jsonl, ...
```

Which files a kind writes, and with which fields, is said by its module. The same settings give the same bytes.
"""

from collections.abc import Mapping
from typing import Any

from byline.errors import BylineError
from byline.lab.corpora.corpus_kind import CorpusKind
from byline.lab.corpora.documentation import DOCUMENTATION
from byline.lab.corpora.sites import SITES
from byline.lab.corpora.skills import CHAIN, INDEPENDENT
from byline.printable import shown
from byline.schemas.model import Model

_ALL: tuple[CorpusKind, ...] = (CHAIN, INDEPENDENT, SITES, DOCUMENTATION)
KINDS = {kind.name: kind for kind in _ALL}


def corpus_of(values: Mapping[str, Any], where: str) -> tuple[CorpusKind, Model]:
    """The kind that a recipe names, and its settings, checked; `where` names them in messages.

    Raises:
        BylineError: there is no such kind, or a setting is wrong; one line.
    """
    name = values.get("kind")
    if name not in KINDS:
        raise BylineError(f"{where}.kind: expected {', '.join(KINDS)}, found {shown(name)}")
    kind = KINDS[name]
    return kind, kind.parse({key: value for key, value in values.items() if key != "kind"}, where)
