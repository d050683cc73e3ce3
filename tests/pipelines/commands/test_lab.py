"""`byline lab` where its extra is not installed, and what it refuses before it asks for that."""

import sys

import pytest
from typer.testing import CliRunner

from byline.errors import BylineError
from byline.pipelines.cli import app


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "byline.lab.running", raising=False)
    with pytest.raises(BylineError, match=r"^byline lab: torch is not installed; in a clone: make setup-lab, or pip "):
        CliRunner().invoke(app, ["lab", "meco"], catch_exceptions=False)


def test_two_forms_are_one_too_many():
    with pytest.raises(BylineError, match="--small and --smoke are two forms; give one"):
        CliRunner().invoke(app, ["lab", "meco", "--small", "--smoke"], catch_exceptions=False)
