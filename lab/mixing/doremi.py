"""DoReMi (arXiv 2305.10429): a reference, a proxy that is trained with weights of its domains, their mean.

```
found/doremi/reference/model.pt     trained on the study's own mixture
found/doremi/proxy/excess.csv       step,domain,excess_loss     the proxy's, trained on domains drawn evenly
found/doremi/mixture.yaml           byline weights doremi found/doremi/proxy/excess.csv
```
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from byline.lab.mixing.ground import Ground
from byline.schemas.model import Model, TokenCount
from byline.transforms.weights.computing import compute_doremi
from byline.transforms.weights.doremi import ETA, SMOOTHING


class DoReMiSettings(Model):
    """`find: {method: doremi, ...}`.

    Attributes:
        tokens, steps: of the reference and of the proxy, in positions and updates.
        model: their size; None for the study's first.
        eta, smoothing: of an update of the weights.
    """

    tokens: TokenCount
    steps: int = Field(ge=1)
    model: str | None = None
    eta: float = ETA
    smoothing: float = SMOOTHING


def find(ground: Ground, settings: DoReMiSettings) -> dict[str, Any]:
    """The mixture."""
    model = settings.model or ground.study.training.models[0]
    own = ground.build("reference", {"tokens": settings.tokens})
    reference = ground.task("reference", own, model, settings.steps)
    ground.train(reference)
    even = ground.build("proxy", {"tokens": settings.tokens, "mixture": ground.uniform()})
    objective = {
        "kind": "doremi",
        "reference": f"{reference.folder}/model.pt",
        "eta": settings.eta,
        "smoothing": settings.smoothing,
    }
    proxy = replace(ground.task("proxy", even, model, settings.steps), objective=objective)
    ground.train(proxy)
    table = Path(proxy.folder, "excess.csv")
    computed = compute_doremi(table, eta=settings.eta, smoothing=settings.smoothing)
    command = f"byline weights doremi {table} --eta {settings.eta:g} --smoothing {settings.smoothing:g}"
    return ground.keep(command, computed.text)
