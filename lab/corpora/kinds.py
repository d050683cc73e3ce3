"""The kinds of corpora that a study can have made; a recipe names one, and its settings beside it.

```
corpora: {web: {kind: sites, persons: 128, seed: 1}}     OUT/corpora/web/pages.jsonl, probes_true.jsonl, ...
```

Which files a kind writes, and with which fields, is said by its module. The same settings give the same bytes.
"""

from byline.lab.corpora.corpus_kind import CorpusKind
from byline.lab.corpora.documentation import DOCUMENTATION
from byline.lab.corpora.sites import SITES
from byline.lab.corpora.skills import CHAIN, INDEPENDENT

_ALL: tuple[CorpusKind, ...] = (CHAIN, INDEPENDENT, SITES, DOCUMENTATION)
KINDS = {kind.name: kind for kind in _ALL}
