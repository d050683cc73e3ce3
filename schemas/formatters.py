"""Formatters: another text for each record of a source, and which parts of it are trained.

```
name   reads              function
chat   messages           byline.transforms.formatters.chat
qa     question, answer   byline.transforms.formatters.question_answer
fim    text               byline.transforms.formatters.fill_in_the_middle
```

docs/formatters.md says what a function is given and what it gives.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import pyarrow as pa

from byline.errors import BylineError
from byline.schemas.documents import RECORD_FIELDS
from byline.schemas.tables import Kinds

FormatFunction = Callable[..., "pa.RecordBatch | Mapping[str, Any]"]


@dataclass(frozen=True)
class Formatter:
    """One formatter.

    Attributes:
        name: as the configuration has it.
        doc: what it is, in a line.
        reads: columns that a text is made of, of `RECORD_FIELDS`; a source with the formatter needs them.
        function: called with a batch, and with the options of the configuration as keyword arguments.
        tokens: options that name tokens. No text becomes such a token, whether the tokenizer calls it special or not.
        weighs: whether it gives a weight to each loss span; or the options, of which one that is given says so.
    """

    name: str
    doc: str
    reads: tuple[str, ...]
    function: FormatFunction
    tokens: tuple[str, ...] = ()
    weighs: bool | tuple[str, ...] = False

    def weighs_with(self, options: Mapping[str, Any]) -> bool:
        """Whether it gives weights with these options, whatever the records are."""
        if isinstance(self.weighs, bool):
            return self.weighs
        return any(options.get(option) is not None for option in self.weighs)

    def token_names(self, options: Mapping[str, Any]) -> set[str]:
        """The names of tokens in its options, with those that its function takes where none is given."""
        given = {name: option.default for name, option in signature(self.function).parameters.items()} | dict(options)
        return {given[option] for option in self.tokens if isinstance(given.get(option), str)}

    def __post_init__(self) -> None:
        for name in self.reads:
            if name not in RECORD_FIELDS:
                raise BylineError(f"formatter {self.name}: reads {name!r}; it can read {', '.join(RECORD_FIELDS)}")


FORMATTERS = Kinds(
    Formatter,
    {
        "chat": "byline.transforms.formatters.chat:CHAT",
        "qa": "byline.transforms.formatters.question_answer:QA",
        "fim": "byline.transforms.formatters.fill_in_the_middle:FIM",
    },
)
