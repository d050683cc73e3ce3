"""What a kind of corpus is; `byline.lab.corpora.kinds` has all of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from byline.errors import BylineError
from byline.printable import shown
from byline.schemas.model import Model


@dataclass(frozen=True)
class CorpusKind:
    """All that is asked of a kind.

    Attributes:
        name: what a recipe says.
        settings: a model with a default for each of its keys.
        write: writes the corpus of such settings into a folder that exists and is empty.
    """

    name: str
    settings: type[Model]
    write: Callable[[Any, Path], None]

    def parse(self, values: Mapping[str, Any], where: str) -> Model:
        """Checks what a recipe says; `where` names it in messages.

        Raises:
            BylineError: a key or value is wrong; one line.
        """
        try:
            return self.settings.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join((where, *map(str, first["loc"])))
            if first["type"] == "extra_forbidden":
                known = ", ".join(self.settings.model_fields)
                raise BylineError(f"{key}: unknown key; corpora of kind {self.name} have {known}") from None
            message = str(first["msg"]).removeprefix("Value error, ")
            raise BylineError(f"{key}: {message}, found {shown(str(first['input']))}") from None
