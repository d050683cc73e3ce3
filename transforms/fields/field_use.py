"""Which columns of the token store a recipe asks of each source, and where.

```
condition: {template: "URL: {host}"}      select: {top: 0.5, by: quality}

source  column   field    where                         is_conditioned
web     host     host     phases.main.condition         True
web     quality  quality  phases.main.select            False
```
"""

from collections.abc import Iterator
from dataclasses import dataclass

from byline.schemas.config import Config
from byline.schemas.loss_weights import NumberWeight, document_weight, weights_key
from byline.schemas.recipe import Holdout, Selection, Stage
from byline.template import Template
from byline.transforms.fields.template_fields import template_field


@dataclass(frozen=True)
class FieldUse:
    """One field that a stage asks of one source.

    Attributes:
        source: the source's name.
        column: of the token store, from which the field is made.
        field: as the recipe names it.
        where: the key that does.
        is_conditioned: whether it stands in a template.
    """

    source: str
    column: str
    field: str
    where: str
    is_conditioned: bool


def field_uses(config: Config) -> list[FieldUse]:
    """Every column that a recipe asks of each source, each once: its use in a template if it has one, else the first.

    Raises:
        BylineError: a field of the user's own cannot be imported.
    """
    first: dict[tuple[str, str], FieldUse] = {}
    uses = [use for where, stage in config.located_stages() for use in _of_stage(config, where, stage)]
    for use in sorted(uses, key=lambda use: not use.is_conditioned):
        first.setdefault((use.source, use.column), use)
    return sorted(first.values(), key=lambda use: use.source)


def _of_stage(config: Config, where: str, stage: Stage) -> Iterator[FieldUse]:
    sources = config.sources_of(stage)
    if stage.condition is not None:
        for name in Template(stage.condition.template).fields:
            yield from _uses(sources, name, f"{where}.condition", is_conditioned=True)
    for step in stage.select:
        for name in _names_of(step):
            yield from _uses([s for s in sources if step.sources is None or s in step.sources], name, f"{where}.select")
    label_field = config.mixture_of(stage).label_field
    if label_field is not None:
        # Documents of a source that does not have the field are of the label `null`, and meant to be.
        key = f"{where}.mixture" if stage.mixture else "mixture"
        yield from _uses(config.sources_with(label_field), label_field, key)
    if isinstance(stage, Holdout) and stage.field is not None:
        yield from _uses(sources, stage.field, f"{where}.by")
    if stage.ordering.ranked_by is not None:
        yield from _uses(sources, stage.ordering.ranked_by, f"{where}.order")
    for source, weight in (config.weights_of(stage) or {}).items():
        number = document_weight(weight)
        if isinstance(number, NumberWeight) and source in sources:
            yield from _uses([source], number.by, weights_key(where, stage.loss_weight))


def _names_of(step: Selection) -> list[str]:
    return [*([] if step.by is None else [step.by]), *step.allow, *step.deny, *step.drop]


def _uses(sources: list[str], name: str, where: str, *, is_conditioned: bool = False) -> Iterator[FieldUse]:
    for column in template_field(name).columns:
        for source in sources:
            yield FieldUse(source, column, name, where, is_conditioned)
