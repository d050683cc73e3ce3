"""docs/duplicates.md has the presets, forms and columns that there are."""

from pathlib import Path
from typing import get_args

from byline.schemas.attribute_kinds.duplicates import DuplicatesAttribute
from byline.transforms.duplicates.normalizing import FORMS
from byline.transforms.duplicates.presets import PRESETS

TEXT = (Path(__file__).parents[3] / "docs" / "duplicates.md").read_text(encoding="utf-8")


def test_presets() -> None:
    for name, preset in PRESETS.items():
        size, unit = preset.shingling.size, preset.shingling.unit
        settings = f"{preset.bands} x {preset.rows} | {size} {unit} | `{preset.form}` | {float(preset.similarity):g}"
        assert f"| `{name}` | {settings} |" in TEXT


def test_chances() -> None:
    for similarity, label in ((0.7, "chance at 0.7"), (0.8, "at 0.8"), (0.9, "at 0.9")):
        chances = [1 - (1 - similarity**one.rows) ** one.bands for one in PRESETS.values()]
        assert f"| {label} | {' | '.join(f'{chance:.2f}' for chance in chances)} |" in TEXT


def test_names_are_those_of_the_settings() -> None:
    fields = DuplicatesAttribute.model_fields
    assert get_args(get_args(fields["near"].annotation)[0]) == tuple(PRESETS)
    assert get_args(fields["normalization"].annotation) == FORMS
    assert all(f"| `{name}` |" in TEXT for name in (*FORMS, *DuplicatesAttribute().column_types("twins")))
    assert all(f"{name}:" in TEXT for name in fields if name != "sources")
