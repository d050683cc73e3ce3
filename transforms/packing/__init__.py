"""Packing: which part of which document stands where in which sequence. Only lengths count.

```
L = 8    a = 5 tokens   b = 6   c = 2
document_start    row 0  a a a a a b b b     row 1  c c . . . . . .      3 tokens of b discarded
concat            row 0  a a a a a b b b     row 1  b b b c c . . .
best_fit          row 0  a a a a a . . .     row 1  b b b b b b c c
  c in slice 1    row 0  a a a a a . . .     row 1  b b b b b b . .     row 2  c c . . . . . .
```

A policy is an object below `PackingPolicy` in a module of this package, and one line of `POLICIES`; `sequence.packing`
names it. One of a user's own is named `package.module:object`. docs/formats.md defines the policies;
`tests/reference/packing.py` is the slow form that they are held against. All of it runs in numba without the GIL: a
shard of 134 M tokens has some 100,000 documents and is packed in milliseconds.
"""

from functools import cache

from byline.schemas.config import Config
from byline.schemas.own_objects import object_named
from byline.transforms.documents.own_functions import module_sha256
from byline.transforms.packing.best_fit import BestFit
from byline.transforms.packing.concat import Concat, RepeatPrefix
from byline.transforms.packing.document_start import DocumentStart
from byline.transforms.packing.policy import PackingPolicy
from byline.transforms.packing.segments import Segments, ShardSegments

POLICIES: dict[str, PackingPolicy] = {
    policy.name: policy
    for policy in (
        DocumentStart(),
        Concat(),
        RepeatPrefix(),
        BestFit(),
    )
}

__all__ = ["POLICIES", "PackingPolicy", "Segments", "ShardSegments", "check_packings", "own_sha256", "policy_of"]


@cache
def policy_of(name: str, where: str = "packing") -> PackingPolicy:
    """The policy of a name; `where` is the key that has it. Raises: BylineError where there is none."""
    return object_named(where, name, POLICIES, PackingPolicy)


def own_sha256(name: str) -> str | None:
    """The SHA-256 of the file that a policy of a user's own is in; None for one of Byline's. Raises: BylineError."""
    return None if name in POLICIES else module_sha256("packing", name)


def check_packings(config: Config) -> None:
    """Refuses a policy that there is not. Raises: BylineError."""
    policy_of(config.sequence.packing, "sequence.packing")
    for where, stage in config.located_stages():
        policy_of(config.packing_of(stage), f"{where}.packing")
