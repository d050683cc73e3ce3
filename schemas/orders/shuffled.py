"""The order of a stage without one: documents by shuffle key."""

from typing import ClassVar

from byline.schemas.orders.order import Order


class Shuffled(Order):
    kind: ClassVar[str] = "shuffled"
    line: ClassVar[str] = "shuffled; without an `order`"
