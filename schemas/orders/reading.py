"""Orders as a recipe writes them.

```
{by: source, sources: [code, web]}      ORDERS["source"]
{by: num_tokens, bins: 4}               ByNumber, as `by` names no order
{by: "mine:Folded", bins: 4}            a class of a user's own below Order
```
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from byline.schemas.kinds import class_named, read_section
from byline.schemas.orders import ORDERS, ByNumber, Order
from byline.schemas.own_objects import is_own_name


def read_order(value: Any) -> Order:
    """An order of the kind that `by` names. Raises: ValueError, ValidationError for one that is none."""
    by = value.get("by") if isinstance(value, Mapping) else None
    if isinstance(value, Order) or not isinstance(by, str):
        return Order.model_validate(value)
    is_named = by in ORDERS or is_own_name(by)
    kind = class_named("by", by, ORDERS, Order) if is_named else ByNumber
    return read_section(value, kind, ORDERS, f"`by: {by}`")


# A key of the configuration that holds an order of any kind.
AnyOrder = Annotated[SerializeAsAny[Order], BeforeValidator(read_order)]
