"""fastText classifiers: scores and labels."""

from typing import TYPE_CHECKING

from byline.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from byline.transforms.scores.scoring import Scorer, open_scorer, score_batch
    from byline.transforms.scores.scoring_transform import ScoreQuality

__all__ = ["ScoreQuality", "Scorer", "open_scorer", "score_batch"]

__getattr__ = lazy_exports(
    __name__, {"scoring": ("Scorer", "open_scorer", "score_batch"), "scoring_transform": ("ScoreQuality",)}
)
