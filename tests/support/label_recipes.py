"""Random recipes whose mixtures are by labels, and what the slow reference says of the labels of a plan.

```python
recipe = data.draw(label_recipes(names, tokens))        # as `recipes`, some or all mixtures by a host, a year, bins
made = MadeByLabel(config, store, plan)
made.label(mixture, document)                           # of a document, by the reference
```
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from hypothesis import strategies as st

from byline.schemas.mixtures import Mixture
from byline.schemas.planned_stage import PlannedStage
from tests.reference import assembly, labels, planner
from tests.support.recipes import HOSTS, Made, mixtures, recipes

# What a mixture is by -> labels that documents may have.
BY: list[tuple[dict[str, Any], list[str]]] = [
    ({"by": "host"}, [*HOSTS, "null"]),
    ({"by": "host"}, [*HOSTS[:2]]),
    ({"by": "year"}, ["2020", "2021"]),
    ({"by": "quality", "bins": 2}, ["0", "1"]),
    ({"by": "quality", "bins": ["0.25", "0.6"]}, ["0", "1", "2"]),
    ({"by": "ratio", "bins": 3}, ["0", "1", "2", "null"]),
    ({"by": "num_tokens", "bins": 4}, ["0", "1", "2", "3"]),
]


@st.composite
def label_mixtures(draw: st.DrawFn) -> dict[str, Any]:
    by, names = draw(st.sampled_from(BY))
    return {**draw(mixtures(names)), **by}


@st.composite
def label_recipes(draw: st.DrawFn, names: Sequence[str], tokens: int) -> dict[str, Any]:
    """As `recipes`; one mixture at least is by a label."""
    recipe = draw(recipes(names, tokens))
    stages = [*recipe["phases"], *recipe["branches"]]
    chosen = [recipe, *(stage for stage in stages if draw(st.integers(0, 2)) == 0)]
    for section in chosen if draw(st.booleans()) else chosen[-1:]:
        section["mixture"] = draw(label_mixtures())
    for stage in stages:
        mixture = stage.get("mixture", recipe["mixture"])
        if "by" in mixture and stage.get("order", {}).get("by") == "source":
            del stage["order"]
    return recipe


class MadeByLabel(Made):
    """A plan with labels."""

    def mixture(self, entry: PlannedStage) -> Mixture:
        """Of a stage."""
        return self.config.mixture_of(self.config.stages[entry.number])

    def label(self, mixture: Mixture, document: assembly.Document) -> str:
        """What a mixture knows a document by: its source, or its label."""
        if mixture.label_field is None:
            return document.source
        if mixture.bins is None:
            return labels.text_label(document, mixture.label_field)
        return labels.bin_label(document, mixture.label_field, self._borders[mixture.label_field, str(mixture.bins)])

    @cached_property
    def _borders(self) -> Mapping[tuple[str, str], Sequence[Any]]:
        kinds = self.config.numbers_of("a")
        found = {}
        for stage in self.config.stages:
            mixture = self.config.mixture_of(stage)
            if mixture.label_field is not None and mixture.bins is not None:
                name = mixture.label_field
                borders = labels.borders_of(self.store.documents, name, kinds[name], mixture.bins)
                found[name, str(mixture.bins)] = borders
        return found

    def has_weight(self, mixture: Mixture, document: assembly.Document) -> bool:
        """Whether a mixture gives a document's source, or label, a weight somewhere."""
        return mixture.named is None or self.label(mixture, document) in mixture.named

    def counts(self) -> dict[str, Any]:
        """The plan header's `drawn`, document by document."""
        nothing_replaced: dict[str, Any] = {"replaced": {}, "stages_replaced": {}}
        counts: dict[str, Any] = {"stages": {}, "used": {}, "unused": {}, "labels": {}, **nothing_replaced}
        used: set[int] = set()
        for entry in self.entries:
            uses = self.uses_of(entry.name)
            used |= {use.doc_id for use in uses}
            for source, epoch in sorted({(use.source, use.epoch) for use in uses}):
                of_source = counts["stages"].setdefault(entry.name, {}).setdefault(source, {})
                of_source[epoch] = planner.count(use for use in uses if (use.source, use.epoch) == (source, epoch))
            mixture = self.mixture(entry)
            for label in sorted({self.label(mixture, use) for use in uses}) if mixture.label_field else ():
                of_stage = counts["labels"].setdefault(entry.name, {})
                of_stage[label] = planner.count(use for use in uses if self.label(mixture, use) == label)
        fates: dict[tuple[str, str | None], list[assembly.Document]] = {}
        for document in self.store.documents:
            fate = None if document.doc_id in used else self._reason(document)
            fates.setdefault((document.source, fate), []).append(document)
        for (source, reason), documents in fates.items():
            of_kind = planner.count(documents)
            if reason is None:
                counts["used"][source] = of_kind
            else:
                counts["unused"].setdefault(source, {})[reason] = of_kind
        return counts

    def _reason(self, document: assembly.Document) -> str:
        mixing = [
            number
            for number, stage in enumerate(self.config.stages)
            if self.has_weight(self.config.mixture_of(stage), document)
        ]
        if not mixing:
            return "mixture"
        chosen = (one for number in mixing for one in self.selected[number][document.source])
        return "budget" if any(one.doc_id == document.doc_id for one in chosen) else "selection"
