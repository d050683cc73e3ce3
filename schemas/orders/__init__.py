"""Orders of a stage's documents.

An order is a class below `Order` in a module of this package, and one line of `ORDERS`; its fields are its settings,
and it says what the planner lays out: a number to rank by, bins of its ranks, one source after the other. One of a
user's own is named `package.module:Class`. `by` names an order, or else a number (`ByNumber`).
"""

from byline.schemas.orders.by_number import ByNumber
from byline.schemas.orders.order import Order, StageSources
from byline.schemas.orders.shuffled import Shuffled
from byline.schemas.orders.source_sequence import SourceSequence

ORDERS: dict[str, type[Order]] = {
    order.kind: order
    for order in (
        Shuffled,
        ByNumber,
        SourceSequence,
    )
}

__all__ = ["ORDERS", "ByNumber", "Order", "Shuffled", "SourceSequence", "StageSources"]
