"""Reading a recipe for a command: its shape, and what only the tables of kinds know."""

from collections.abc import Sequence
from pathlib import Path

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.config_file import load_config
from byline.schemas.layouts import LAYOUTS
from byline.transforms.fields.template_fields import check_fields
from byline.transforms.filters.tables import check_filters
from byline.transforms.formatters.opening import check_weighing, open_formatters
from byline.transforms.packing import check_packings


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads and checks a configuration, the kinds that it names as well: layouts, formatters, rules, fields, policies.

    Args:
        path: the YAML file.
        overrides: settings such as `sequence.length=512`, applied in order over the file.

    Raises:
        BylineError: one line that says which key or value is wrong and what would work.
    """
    config = load_config(path, overrides)
    try:
        for name, source in config.sources.items():
            LAYOUTS.named(f"sources.{name}.format", source.format)
        check_filters(config)
        check_packings(config)
        check_fields(config)
        check_weighing(config, open_formatters(config.sources))
    except BylineError as error:
        raise BylineError(f"{path}: {error}") from None
    return config
