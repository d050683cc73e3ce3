"""fastText classifiers: scores and labels."""

from typing import TYPE_CHECKING

from byline.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from byline.transforms.scores.scoring import ScoreQuality, Scorer, open_scorer, score_batch

__all__ = ["ScoreQuality", "Scorer", "open_scorer", "score_batch"]

__getattr__ = lazy_exports(__name__, {"scoring": ("ScoreQuality", "Scorer", "open_scorer", "score_batch")})
