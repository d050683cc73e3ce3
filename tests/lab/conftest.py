"""A study so small that all of it runs in seconds: additions of one digit, a model of 0.1 M parameters."""

from pathlib import Path

import pytest
import yaml

SMALL = {
    "title": "Additions of one digit",
    "config": {
        "sources": {"addition": {"format": "arithmetic", "arithmetic": {"digits": 1, "examples": 4000}}},
        "sequence": {"length": 64, "packing": "best_fit"},
        "holdout": {"share": 0.1, "by": "problem"},
        "shortage": "repeat",
    },
    "tokens": "12K",
    "training": {"models": ["0.1M"], "steps": 24, "seeds": [0, 1], "evaluations": 3},
    "arms": {
        "plain": {"about": "1+2=3", "config": {"phases": [{"name": "main", "share": 1}]}},
        "cooled": {
            "config": {
                "phases": [{"name": "main", "share": 1, "condition": {"template": "{source}: "}}],
                "branches": [{"name": "cooldown", "at": [0.5, 1], "share": 0.25}],
                "shard": {"sequences": 8},
            }
        },
    },
    "evaluations": {"own": {"sequences": 4}},
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The recipe's file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    return path
