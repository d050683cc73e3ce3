"""What a recipe asks of its sources, held against what their documents have."""

from typing import Any

import pytest

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.config_file import parse_config
from byline.schemas.field_counts import FieldCounts
from byline.transforms.fields.field_use import field_uses
from byline.transforms.fields.known_fields import check_known, known_warnings

SOURCE = {"format": "jsonl", "path": "*", "keep": ["license"], "score": {"quality": "q"}}
HOST = {"template": "URL: {host}\n", "unknown": "?"}


def config_of(phase: dict[str, Any], **changes: Any) -> Config:
    values = {
        "sources": {"web": SOURCE, "sums": {"format": "arithmetic"}},
        "tokenizer": {"file": "tokenizer.json"},
        "phases": [{"name": "main", "share": 1, **phase}],
    }
    return parse_config({**values, **changes}, "test")


def counted(**columns: tuple[int, int, int]) -> dict[str, dict[str, FieldCounts]]:
    nothing = {"url": FieldCounts(0, 9, 0), "host": FieldCounts(0, 9, 0)}
    return {"web": {name: FieldCounts(*counts) for name, counts in columns.items()}, "sums": nothing}


def test_each_column_of_each_source_once_templates_first() -> None:
    select = [{"top": 0.5, "by": "quality", "sources": ["web"]}, {"deny": {"suffix": ["org"], "host": ["a.org"]}}]
    uses = field_uses(config_of({"select": select, "condition": HOST, "order": {"by": "num_tokens"}}))
    assert [(use.source, use.column, use.field, use.where, use.is_conditioned) for use in uses] == [
        ("sums", "host", "host", "phases.main.condition", True),
        ("sums", "registered_domain", "suffix", "phases.main.select", False),
        ("sums", "num_tokens", "num_tokens", "phases.main.order", False),
        ("web", "host", "host", "phases.main.condition", True),
        ("web", "quality", "quality", "phases.main.select", False),
        ("web", "registered_domain", "suffix", "phases.main.select", False),
        ("web", "num_tokens", "num_tokens", "phases.main.order", False),
    ]


def test_a_template_with_what_no_document_has() -> None:
    config, fields = config_of({"condition": HOST}), counted(host=(0, 3, 1))
    with pytest.raises(BylineError) as error:
        check_known(config, fields)
    assert str(error.value) == (
        "phases.main.condition: 'host' is known for no document of source web (3 null, 1 unknown), so each prefix "
        "would have '?' there; name where it stands in a record in sources.web.fields.url, or set min_known.web to 0"
    )
    check_known(config_of({"condition": HOST}, min_known={"web": 0}), fields)
    check_known(config_of({"condition": HOST}, min_known=0), fields)
    check_known(config_of({"select": {"deny": {"host": ["a.org"]}}}), fields)
    check_known(config, counted(host=(1, 9999, 0)))
    # There is nothing to condition.
    check_known(config, counted(host=(0, 0, 0)))


def test_the_stage_is_that_of_the_name() -> None:
    """One name may be the beginning of another."""
    phases = [
        {"name": "a", "share": 0.5, "condition": {"template": "{source}", "unknown": "wrong"}},
        {"name": "a.b", "share": 0.5, "condition": {"template": "{host}", "unknown": "right"}},
    ]
    with pytest.raises(BylineError, match=r"^phases\.a\.b\.condition: .* would have 'right' there"):
        check_known(config_of({}, phases=phases), counted(host=(0, 3, 1)))


@pytest.mark.parametrize(
    ("min_known", "counts", "is_warned_of"),
    [
        (0.5, (5, 5, 0), False),
        (0.5, (5, 5, 1), True),
        ({"web": 0.9}, (5, 1, 0), True),
        ({"sums": 0.9}, (5, 1, 0), False),
        ({"sums": 0.9}, (1, 5, 0), True),
        ({"web": "90%"}, (5, 1, 0), True),
        ("80 %", (5, 1, 0), False),
        (0, (1, 5, 0), False),
    ],
)
def test_a_field_that_few_documents_have(min_known: Any, counts: tuple[int, int, int], is_warned_of: bool) -> None:
    config = config_of(
        {"condition": {"template": "{license}"}}, min_known=min_known, sources={"web": SOURCE, "sums": SOURCE}
    )
    fields = counted(license=counts, quality=(0, 9, 0))
    warnings = known_warnings(config, fields)
    assert len(warnings) == is_warned_of
    assert all(warning.startswith("source web: license is known for ") for warning in warnings)


def test_unknown_sources_are_named() -> None:
    for key, value in (("min_known", {"wep": 0.5}), ("allow_empty", ["wep"])):
        with pytest.raises(BylineError, match=rf"{key}: there is no source 'wep'; the sources are sums, web"):
            config_of({}, **{key: value})
