"""Applying rules in order; the first that refuses a document gives the reason.

```
rules       words: {at_least: 2}    matches: {drop: cat}
text        "a cat"    "cat"     "a dog"
reason      filter_matches   filter_words   null
```
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from byline.transforms.filters.document_view import DocumentView, blocks
from byline.transforms.filters.rules import Rule, Test


@dataclass(frozen=True)
class OpenRule:
    """A rule with its test loaded."""

    rule: Rule
    test: Test


def open_rules(rules: Sequence[Rule], cache_folder: str) -> list[OpenRule]:
    """Loads the lists, models and functions of rules.

    Args:
        rules: in order.
        cache_folder: where folded models are kept.

    Raises:
        BylineError: one of them cannot be loaded.
    """
    return [OpenRule(rule, rule.open(cache_folder)) for rule in rules]


def refusals(batch: pa.RecordBatch, rules: Sequence[OpenRule]) -> pa.Array:
    """The reason of the first rule that refuses each document (string), null where none does.

    Args:
        batch: with `text` and the columns that the rules name.
        rules: in order.
    """
    reasons = [_refusals_in(DocumentView(block), rules) for block in blocks(batch)]
    return pa.concat_arrays(reasons) if reasons else pa.nulls(0, pa.string())


def _refusals_in(documents: DocumentView, rules: Sequence[OpenRule]) -> pa.Array:
    reasons = pa.nulls(len(documents), pa.string())
    for rule in rules:
        if reasons.null_count == 0:
            break
        if rule.rule.is_costly and reasons.null_count < len(reasons):
            left = reasons.is_null()
            refused = pc.replace_with_mask(reasons, left, _reasons_of(rule, documents.only(left)))
        else:
            refused = _reasons_of(rule, documents)
        reasons = pc.coalesce(reasons, refused)
    return reasons


def _reasons_of(rule: OpenRule, documents: DocumentView) -> pa.Array:
    """Why a rule refuses each document (string), null where it does not."""
    verdict = rule.test(documents)
    if isinstance(verdict, np.ndarray):
        reason = pa.scalar(rule.rule.reason)
        return pc.if_else(pa.array(verdict, pa.bool_()), pa.scalar(None, pa.string()), reason)
    return pc.binary_join_element_wise(rule.rule.reason, verdict, "_")
