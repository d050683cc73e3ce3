"""What a plan may hold: a number that is a slip of the pen is told at once, not laid out until the memory is full.

```
tokens: 99T     sequence.length 128     shard.sequences 16      48,339,843,750 shards, at most 1,000,000
tokens: 1T      a source of 400 tokens  shortage: repeat        2,500,000,000 epochs, at most 100,000
```
"""

from collections.abc import Sequence
from fractions import Fraction

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.recipe import Shortage
from byline.transforms.plans.budgeting import Demand

# Ten times the shards of 4 T tokens in shards of 4096 sequences of 8192.
MOST_SHARDS = 1_000_000
MOST_EPOCHS = 100_000


def check_asked(config: Config) -> None:
    """Likewise, as far as the recipe alone says it: before a source is prepared for hours.

    Raises:
        BylineError: its `tokens` are more shards than a plan holds.
    """
    if config.tokens != "all" and config.shortage is not Shortage.SHRINK:
        _check_shards(config, config.tokens, [int(phase.share * config.tokens) for phase in config.phases])


def check_plan_size(config: Config, demand: Demand) -> None:
    """Holds what a recipe asks for against what a plan may hold.

    Args:
        config: the recipe.
        demand: what it asks for.

    Raises:
        BylineError: it would be more; says how much.
    """
    _check_shards(config, demand.total, demand.positions)
    for source, capacity in demand.capacity.items():
        asked = sum(
            int(positions * blend.given(source, Fraction(1)))
            for positions, blend in zip(demand.positions, demand.blends, strict=False)
        )
        epochs = asked // max(capacity, 1)
        if epochs > MOST_EPOCHS:
            raise BylineError(
                f"tokens: {asked:,} tokens of source {source} are {epochs:,} epochs of its {capacity:,}; a plan "
                f"holds at most {MOST_EPOCHS:,}, so ask for fewer `tokens` or change the mixture"
            )


def _check_shards(config: Config, total: int, phases: Sequence[int]) -> None:
    """Refuses too many shards; `phases` has the positions of each."""
    length, most = config.sequence.length, config.shard.sequences
    rows = [-(-positions // length) for positions in phases]
    rows += [int(branch.share * at * sum(rows)) for branch in config.branches for at in branch.at]
    shards = sum(-(-count // most) for count in rows)
    if shards > MOST_SHARDS:
        raise BylineError(
            f"tokens: {total:,} tokens are {shards:,} shards of {most:,} sequences of {length:,}; a plan holds "
            f"at most {MOST_SHARDS:,}, so ask for fewer `tokens` or raise `shard.sequences`"
        )
