"""Additions that are held out by document though other documents have them, so that they are trained on as well.

```
holdout {share: 5%}     examples 60,000, digits 2     held out 3,000, of which 2,990 are among the 57,000 others
                        examples 10,000, digits 18    held out 500, of which none is
```

With M pairs of operands, each of T other additions is a given one with a probability of 1/M, so that one that is held
out is among them with 1 - (1 - 1/M)^T. Of another source with the same operands (its seed and digits are the same), all
additions are held out apart from these, so a share of 1 - `share` of them is there.
"""

import math

from byline.schemas.config import Config
from byline.schemas.corpora import Arithmetic
from byline.schemas.recipe import Holdout
from byline.transforms.fields.known_fields import FROM_URL
from byline.transforms.fields.template_fields import template_field


def held_out_warnings(config: Config) -> list[str]:
    """One line for each source of additions of which at least one that is held out is likely to be trained on, too.

    Args:
        config: the recipe; of its stages, all that they may draw from is taken for trained on.
    """
    holdout = config.holdout
    if holdout is None or not _is_by_document(holdout):
        return []
    named = config.sources_of(holdout)
    made = {name: config.sources[name].made for name in named if config.sources[name].format == "arithmetic"}
    share, lines = float(holdout.share), []
    for name, settings in made.items():
        others = [other for source, other in made.items() if source != name]
        held = settings.examples * share
        trained = held * _trained_share(settings, others, share)
        if trained >= 1:
            advice = "" if settings.has_problems else f" and sources.{name}.arithmetic.per_document: 1"
            lines.append(
                f"holdout: documents of source {name} are held out, but their additions may be in others: about "
                f"{trained:,.0f} of {held:,.0f} held-out additions are among those to train on; hold out what is never "
                f"trained on with by: problem{advice}"
            )
    return lines


def _is_by_document(holdout: Holdout) -> bool:
    """Whether each addition is held out by itself: none has a value of what comes of a URL."""
    columns = () if holdout.field is None else template_field(holdout.field).columns
    return holdout.field is None or (bool(columns) and set(columns) <= set(FROM_URL))


def _trained_share(settings: Arithmetic, others: list[Arithmetic], share: float) -> float:
    """The share of a source's held-out additions that are expected among those that are not held out."""
    absent = _absent(settings, settings, share)
    for other in others:
        if (other.seed, other.digits) == (settings.seed, settings.digits):
            absent *= 1 - (1 - share) * min(1, other.examples / settings.examples)
        absent *= _absent(settings, other, share)
    return 1 - absent


def _absent(settings: Arithmetic, other: Arithmetic, share: float) -> float:
    """The probability that an addition of one source is not among those of another that are not held out."""
    pairs = 10 ** (2 * max(settings.digits, other.digits))
    return math.exp(other.examples * (1 - share) * math.log1p(-1 / pairs))
