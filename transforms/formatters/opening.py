"""Formatters as a recipe names them, found and ready: `chat`, `qa`, `fim`, or the user's own `package.module:object`.

```
formatter: {name: fim, rate: 0.9}                 Formatter "fim", options rate
formatter: {name: "lessons:with_hint", hint: x}   the function `with_hint` of lessons.py as a Formatter, options hint
```
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from byline.errors import BylineError
from byline.schemas.config import Config
from byline.schemas.corpora import FormatterSettings, Malformed, Source
from byline.schemas.formatters import FORMATTERS, Formatter
from byline.schemas.loss_weights import FormatterWeight, weights_key
from byline.schemas.own_objects import import_own
from byline.transforms.documents.own_functions import check_options, module_sha256


@dataclass(frozen=True)
class OpenFormatter:
    """The formatter of one source, opened.

    Attributes:
        source: the source's name.
        formatter: what formats a batch.
        options: keyword arguments of its function.
        malformed: what a record that cannot be formatted does.
    """

    source: str
    formatter: Formatter
    options: Mapping[str, Any]
    malformed: Malformed

    @property
    def weighs(self) -> bool:
        """Whether it gives a weight to each loss span."""
        return self.formatter.weighs_with(self.options)


def open_formatter(source: str, settings: FormatterSettings, malformed: Malformed = Malformed.ERROR) -> OpenFormatter:
    """Finds the function of a source's formatter.

    Args:
        source: the source's name.
        settings: its formatter.
        malformed: what a record that cannot be formatted does.

    Raises:
        BylineError: it cannot be imported, or does not take the options.
    """
    where = f"sources.{source}.formatter"
    formatter = _formatter(where, settings.name)
    check_options(where, settings.name, formatter.function, settings.options)
    return OpenFormatter(source, formatter, settings.options, malformed)


def open_formatters(sources: Mapping[str, Source]) -> dict[str, OpenFormatter]:
    """The formatters of the sources that have one.

    Raises:
        BylineError: as `open_formatter`, or a field that a formatter reads is not given.
    """
    opened = {
        name: open_formatter(name, source.formatter, source.malformed)
        for name, source in sources.items()
        if source.formatter is not None
    }
    for name, formatter in opened.items():
        for needed in formatter.formatter.reads:
            if needed != "text" and needed not in sources[name].fields:
                raise BylineError(
                    f"sources.{name}.formatter: {formatter.formatter.name} needs fields.{needed}: where it stands in a "
                    "record"
                )
    return opened


def check_weighing(config: Config, opened: Mapping[str, OpenFormatter]) -> None:
    """Refuses weights of a formatter that gives none.

    Args:
        config: the configuration.
        opened: its formatters, of `open_formatters`.

    Raises:
        BylineError: names the key that asks for them, and what would give them.
    """
    for where, stage in config.located_stages():
        for source, weight in (config.weights_of(stage) or {}).items():
            if isinstance(weight, FormatterWeight) and (source not in opened or not opened[source].weighs):
                key = f"{weights_key(where, stage.loss_weight)}.{source}"
                raise BylineError(f"{key}: {_no_weights(source, opened.get(source))}")


def _no_weights(source: str, opened: OpenFormatter | None) -> str:
    if opened is None:
        return f"source {source!r} has no formatter that could weigh its texts; give it a number, or a formatter"
    formatter = opened.formatter
    if isinstance(formatter.weighs, tuple):
        return (
            f"the formatter {formatter.name} of {source!r} gives no weights; give it "
            f"{' or '.join(f'sources.{source}.formatter.{option}' for option in formatter.weighs)}"
        )
    own = "" if formatter.name in FORMATTERS else "; one of your own that does is a Formatter(..., weighs=True)"
    return f"the formatter {formatter.name} of {source!r} gives no weights{own}"


def _formatter(where: str, name: str) -> Formatter:
    """A formatter by its name; a function of the user's own may be one."""
    if name in FORMATTERS:
        return FORMATTERS.named(where, name)
    own = import_own(where, name, "function")
    if isinstance(own, Formatter):
        return replace(own, name=name)
    if not callable(own):
        raise BylineError(f"{where}: {name} is {type(own).__name__}, not a function or a Formatter")
    return Formatter(name, "", (), own)


def formatter_sha256(source: str, settings: FormatterSettings) -> str | None:
    """The SHA-256 of the file that a formatter of the user's own is in; None for one that comes with Byline.

    Raises:
        BylineError: there is no such module, or it is no file.
    """
    if settings.name in FORMATTERS:
        return None
    return module_sha256(f"sources.{source}.formatter", settings.name)
