"""Files of a training: its state to go on from, and models to use.

```
state.pt       every minute, replaced: everything that the next step needs
step-250.pt    the same after step 250, kept, if a branch leaves there
model.pt       after the last step: the size, the vocabulary, the weights
```

Each is written under another name and renamed, so what is there is whole. They are read as tensors and plain values
alone (`weights_only`): a file from elsewhere runs nothing.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from byline.errors import BylineError
from byline.lab.training.model import ModelSize, Transformer
from byline.transforms.files import durable

_NOT_OURS = "is not a model of this version of the laboratory; remove its folder to train anew"


def save(values: dict[str, Any], path: Path) -> None:
    """Writes a file at once or not at all."""
    partial = path.with_name(f".{path.name}")
    torch.save(values, partial)
    durable.give_name(str(partial), str(path))


def load(path: Path) -> dict[str, Any]:
    """Reads one on the CPU.

    Raises:
        BylineError: it is not there, or is damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BylineError(f"{path}: is not there; the training that writes it has not come so far") from None
    except Exception as error:
        # zipfile, pickle and PyTorch each have errors of their own.
        raise BylineError(f"{path}: is damaged ({type(error).__name__}); remove its folder to train anew") from None


def save_model(model: Transformer, path: Path) -> None:
    """Writes `model.pt`."""
    values = {"size": dataclasses.asdict(model.size), "vocab_size": model.vocab_size, "weights": model.state_dict()}
    save(values, path)


def load_model(path: Path) -> Transformer:
    """A trained model. Raises: BylineError."""
    values = load(path)
    try:
        model = Transformer(ModelSize(**values["size"]), values["vocab_size"])
        model.load_state_dict(values["weights"])
    except (KeyError, TypeError, RuntimeError):
        raise BylineError(f"{path}: {_NOT_OURS}") from None
    return model
