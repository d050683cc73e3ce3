"""How a recipe lists the rules of a filter; `transforms.filters.tables` says which there are.

```yaml
filter:
  - gopher_quality                          a rule or a group with its published settings
  - words: {at_least: 20}                   a rule with others
```
"""

from typing import Any

from pydantic import Field, model_serializer, model_validator

from byline.schemas.model import Model


class FilterRule(Model):
    """One item of `filter`.

    Attributes:
        rule: name of a rule or of a group.
        settings: those that are not its defaults.
    """

    rule: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """`name`, or `{name: settings}`."""
        if isinstance(value, str):
            return {"rule": value}
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError(f"expected the name of a rule, or one rule and its settings, found {value!r}")
        ((rule, settings),) = value.items()
        if not isinstance(settings, dict | None):
            raise ValueError(f"{rule}: expected settings, as in {{at_least: 1}}, found {settings!r}")
        return {"rule": rule, "settings": settings or {}}

    @model_serializer
    def _as_written(self) -> Any:
        return {self.rule: self.settings} if self.settings else self.rule
