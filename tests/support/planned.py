"""Plans made by hand, in the form of the planner's header and rows."""

from typing import Any

import pyarrow as pa

from byline.schemas.plan import PLAN_SCHEMA, Plan


def phase(name: str, rows: int, shares: dict[str, float], timeline: list[Any] | None = None, **settings: Any) -> dict:
    """A phase of the header that gets what it asks for, from the start of each source's stream."""
    epochs = settings.pop("epochs", {})
    return {
        "name": name,
        "branch": None,
        "packing": "document_start",
        "shards": 1,
        "slices": 1,
        "expected_rows": rows,
        "sources": {
            source: {
                "target_positions": round(share * rows * 1000),
                "expected_positions": round(share * rows * 1000),
                "requested_share": share,
                "expected_share": share,
                "epochs": epochs.get(source, [0.0, 0.5]),
            }
            for source, share in sorted(shares.items())
        },
        "timeline": timeline or [{"end": 1.0, "shares": shares}],
        **settings,
    }


def plan_of(*phases: dict, rows: list[tuple] = (), notes: list[str] = (), **drawn: Any) -> Plan:
    table = pa.Table.from_pylist(
        [dict(zip(PLAN_SCHEMA.names, row, strict=True)) for row in rows],
        PLAN_SCHEMA,
    )
    header = {
        "seed": 7,
        "sequence": {"length": 1000, "packing": "document_start"},
        "tokenizer": {"vocab_size": 50_000},
        "phases": list(phases),
        "capacity": {"c4": 400_000, "dclm": 900_000},
        "notes": list(notes),
        "drawn": {"phases": {}, "used": {}, "unused": {}, **drawn},
    }
    return Plan(table, header)


MAIN = phase("main", 900, {"c4": 0.4, "dclm": 0.6}, shards=3)
COOLDOWN = phase("cooldown", 100, {"c4": 0.4, "dclm": 0.6}, packing="concat", epochs={"c4": [0.5, 1.25]})
BRANCH = phase(
    "early-50",
    50,
    {"dclm": 1.0},
    branch={"of": "early", "at": 0.5, "phase": "main", "shards": 2},
    epochs={"dclm": [0.25, 0.3]},
)

# As in a manifest; nothing is tokenized with it.
TOKENIZER = {
    "name": "t",
    "sha256": "00",
    "vocab_size": 200,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": 2,
    "added": {},
    "markers": {},
}
