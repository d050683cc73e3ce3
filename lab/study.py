"""A study's recipe: what is built, what is trained on it, what is measured. One YAML file of `lab/recipes/`.

```yaml
title: Does a host before each document help?
about: What is asked, and where it was published.
corpora: {sites: {kind: sites, documents: 20000}}         # made once, in OUT/corpora/sites
tokenizer: {kind: bpe, size: 2048, from: [sites/pages.jsonl]}
config:                                                    # of Byline; {corpora} is OUT/corpora
  sources: {pages: {format: jsonl, path: "{corpora}/sites/pages.jsonl"}}
  sequence: {length: 512, packing: best_fit}
  holdout: {share: 0.05}
condition: {template: "URL: {host}\\n\\n"}                # the prefix of evaluations, unless an arm has another
tokens: 4M                                                 # what each arm trains on
equal: trained                                             # tokens that count in the loss, or positions
training: {models: [0.5M], steps: 1000, learning_rate: 0.003, seeds: [0, 1, 2], evaluations: 20}
arms:
  standard: {config: {phases: [{name: main, share: 1}]}}
  conditioned: {config: {phases: [{name: main, share: 1, condition: {template: "URL: {host}\\n\\n"}}]}}
evaluations:
  none: {}                                                 # the rows that are held out, as `config` has them
  host: {prefix: true}                                     # the same with `condition` before each
figures: [{kind: curves, evaluation: none, metric: loss}]
small: {tokens: 500K, training: {steps: 200}}              # for --small, merged over the rest; `smoke` likewise
```

An arm is a build and, for each model and seed, a training on it; all arms take the same number of steps, so none is
trained with other batches or longer than another. A recipe with `parts` is several of these, on one page.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from byline.errors import BylineError
from byline.printable import shown
from byline.schemas.config_file import merge, set_value
from byline.schemas.model import Model, Name, TokenCount
from byline.schemas.yaml_text import load_yaml

RECIPES = Path(__file__).parent / "recipes"
# Recipes that are a smaller form of the whole one.
SCALES = ("small", "smoke")


class TokenizerSettings(Model):
    """`bytes`, or a BPE of `size` tokens trained on the files `from`, which lie in the folder of corpora."""

    kind: Literal["bytes", "bpe"] = "bytes"
    size: int = Field(default=2048, ge=300)
    texts: list[str] = Field(default_factory=list, alias="from")


class Training(Model):
    """How every arm is trained.

    Attributes:
        models: names of sizes (`byline.lab.training.model`); each arm is trained in each.
        steps: updates; an arm's rows are divided evenly among them.
        learning_rate: the peak; one number, or by model.
        schedule: constant, cosine, or wsd: warm-up, stable, decay.
        warmup, decay: shares of the steps; the decay is wsd's alone.
        seeds: each is a training of its own.
        evaluations: how often is evaluated, evenly, the last time after the last step.
    """

    models: list[str] = Field(default=["0.5M"], min_length=1)
    steps: int = Field(default=1000, ge=1)
    learning_rate: float | dict[str, float] = 3e-3
    schedule: str = "wsd"
    warmup: float = Field(default=0.02, ge=0, lt=1)
    decay: float = Field(default=0.2, ge=0, le=1)
    weight_decay: float = Field(default=0.1, ge=0)
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    evaluations: int = Field(default=20, ge=1)

    def rate_of(self, model: str) -> float:
        """The peak learning rate of a model's size. Raises: BylineError."""
        if not isinstance(self.learning_rate, dict):
            return self.learning_rate
        if model not in self.learning_rate:
            raise BylineError(f"training.learning_rate: there is none for {model!r}, which is one of `models`")
        return self.learning_rate[model]

    @property
    def evaluated_steps(self) -> tuple[int, ...]:
        """After which steps is evaluated."""
        times = min(self.evaluations, self.steps)
        return tuple(sorted({self.steps * number // times for number in range(1, times + 1)}))


class Arm(Model):
    """What is compared: `config` is merged over the study's.

    Attributes:
        condition: how its prefix is written in evaluations that have one; None for the study's.
        find: how its mixture is found by training first: `method`, and what that takes (`byline.lab.mixing`).
    """

    about: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    condition: dict[str, Any] | None = None
    find: dict[str, Any] | None = None


class Evaluation(Model):
    """Rows on which all models are measured: a build with `config` merged over the study's.

    Attributes:
        rows: `holdout`: what is held out, which no arm may have read. `all`: every row, for sources of their own.
        sequences: at most so many of the rows, the first ones; they are in shuffled order.
        prefix: whether documents have the arm's prefix, or the study's.
        of_arm: whether the arm's own `config` comes first, as where arms write the same things differently.
        about: for the page.
    """

    about: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    rows: Literal["holdout", "all"] = "holdout"
    sequences: int = Field(default=256, ge=1)
    prefix: bool = False
    of_arm: bool = False


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Study(Model):
    """The whole of it; `metrics` are those in its tables, `figures` and `statements` are of `byline.lab.results`."""

    name: Name
    title: str
    about: str = ""
    parts: list[Name] = Field(default_factory=list)
    corpora: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    tokenizer: TokenizerSettings = TokenizerSettings()
    config: dict[str, Any] = Field(default_factory=dict)
    condition: dict[str, Any] | None = None
    tokens: TokenCount = "all"
    equal: Literal["trained", "positions"] = "trained"
    training: Training = Training()
    arms: dict[Name, Arm] = Field(default_factory=dict)
    evaluations: dict[Name, Evaluation] = Field(default_factory=dict)
    metrics: list[Literal["loss", "accuracy", "exact"]] = Field(default=["loss"], min_length=1)
    figures: list[dict[str, Any]] = Field(default_factory=list)
    statements: list[dict[str, Any]] = Field(default_factory=list)
    notes: Annotated[list[str], BeforeValidator(_listed)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _whole(self) -> "Study":
        if self.parts:
            if self.arms or self.evaluations or self.config:
                raise ValueError("parts: a recipe of parts has no arms, evaluations and config of its own")
            return self
        for key, values in (("arms", self.arms), ("evaluations", self.evaluations), ("config", self.config)):
            if not values:
                raise ValueError(f"{key}: a study needs at least one, unless it has `parts`")
        for name, evaluation in self.evaluations.items():
            if evaluation.prefix and self.condition is None:
                raise ValueError(f"evaluations.{name}.prefix: say how it is written, `condition: {{template: ...}}`")
        if self.tokens == "all":
            raise ValueError("tokens: say how many each arm trains on, as in 4M")
        return self


def read_study(recipe: str, scale: str | None = None, overrides: Sequence[str] = ()) -> Study:
    """A recipe by its name or path.

    Args:
        recipe: `meco`, or the path of a YAML file.
        scale: `small` or `smoke`: the section merged over the rest; None for the whole.
        overrides: settings such as `training.steps=100`, applied last.

    Raises:
        BylineError: there is none, or a key or value is wrong; one line.
    """
    path = recipe_path(recipe)
    values = load_yaml(path)
    if not isinstance(values, dict):
        raise BylineError(f"{path}: expected keys and values, as in `title: ...`")
    scales = {name: values.pop(name, None) for name in SCALES}
    if scale is not None:
        if scales[scale] is None and not values.get("parts"):
            raise BylineError(f"{path}: has no section `{scale}`, so there is no --{scale} of it")
        values = merge(values, scales[scale] or {})
    for override in overrides:
        set_value(values, override)
    return parse_study({"name": path.stem, **values}, str(path))


def recipe_path(recipe: str) -> Path:
    """Where a recipe is. Raises: BylineError: nowhere."""
    known = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    if recipe in known:
        return RECIPES / f"{recipe}.yaml"
    path = Path(recipe)
    if not path.is_file():
        near = difflib.get_close_matches(recipe, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BylineError(f"{recipe}: no recipe of that name ({', '.join(known)}), and no such file{hint}")
    return path


def parse_study(values: Mapping[str, Any], name: str) -> Study:
    """Checks plain values; `name` says where they come from. Raises: BylineError."""
    try:
        return Study.model_validate(dict(values))
    except ValidationError as error:
        first = next((item for item in error.errors() if item["type"] == "extra_forbidden"), error.errors()[0])
        where = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"unknown key {shown(str(first['loc'][-1]))}"
        raise BylineError(f"{name}: {where + ': ' if where else ''}{message}") from None
