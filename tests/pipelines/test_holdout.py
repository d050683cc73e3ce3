"""`holdout:` in a recipe: documents that no phase and no branch reads, as rows of their own that `verify` knows."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pytest

import byline
from byline.errors import BylineError
from byline.schemas.ledger import Ledger
from tests.reference import hashing
from tests.support.builds import copy_build, manifest_of, segments_of, verify, write_manifest

# Of the documents; of the hosts, of which there are few.
SHARE, HOST_SHARE = Fraction(1, 8), Fraction(1, 2)


@pytest.fixture(scope="module")
def by_document(make_build: Callable[..., Path]) -> Path:
    branches = [{"name": "anneal", "at": [0.5, 1], "share": 0.2}]
    return make_build(holdout={"share": "1/8"}, branches=branches, tokens=6000)


@pytest.fixture(scope="module")
def by_host(make_build: Callable[..., Path]) -> Path:
    """Of two sources that are drawn from several times; packed otherwise than the phases, and conditioned."""
    holdout = {
        "name": "unseen",
        "by": "host",
        "share": "50%",
        "condition": {"template": "{host}\n"},
        "packing": "repeat_prefix",
    }
    sequence = {"length": 64, "packing": "best_fit"}
    return make_build(
        holdout=holdout, sequence=sequence, mixture={"dclm": 0.5, "c4": 0.5}, shortage="repeat", tokens=30_000
    )


def hosts_of(out: Path) -> dict[int, str | None]:
    """Shuffle key -> host of every document of two sources in the token store."""
    paths = [path for source in ("c4", "dclm") for path in sorted((out.parent / "store" / source).rglob("*.arrow"))]
    runs = [pa.ipc.open_file(path.read_bytes()).read_all() for path in paths]
    pairs = [zip(run["shuffle_key"].to_pylist(), run["host"].to_pylist(), strict=True) for run in runs]
    return {key: host for run in pairs for key, host in run}


def is_held_out(document: tuple[str, str, int]) -> bool:
    return hashing.held_out(hashing.shuffle_key(*document), None, SHARE)


def test_documents_by_hash(by_document: Path) -> None:
    shards = byline.open(by_document, verify="sha256")
    assert (shards.phases, shards.branches) == (("conditioned", "cooldown"), ("anneal-50", "anneal-100"))
    assert shards.holdout == "holdout"
    segments = list(segments_of(by_document))
    assert {segment.phase for segment in segments} == {*shards.phases, *shards.branches, "holdout"}
    assert all(is_held_out(segment.key) == (segment.phase == "holdout") for segment in segments)
    assert {segment.source for segment in segments if segment.phase == "holdout"} == {
        "c4",
        "dclm",
        "mine",
        "refinedweb",
    }


def test_it_is_read_by_its_name_alone(by_document: Path) -> None:
    held = byline.open(by_document, branch="holdout", verify="sha256")
    assert held.phases == ("holdout",)
    assert {row["phase"] for row in held} == {"holdout"}
    assert byline.open(by_document).branch_row("holdout") == 0
    with pytest.raises(BylineError, match="no phase 'holdout'; its phases are conditioned, cooldown, and its branches"):
        byline.open(by_document).phase("holdout")


def test_all_that_is_held_out_is_drawn_once(by_document: Path) -> None:
    ledger = Ledger.from_json(manifest_of(by_document)["ledger"])
    for source in ledger.sources:
        keys = [
            key
            for run in sorted((by_document.parent / "store" / source).rglob("*.arrow"))
            for key in pa.ipc.open_file(run.read_bytes()).read_all()["shuffle_key"].to_pylist()
        ]
        held = sum(hashing.held_out(key, None, SHARE) for key in keys)
        assert ledger.phases["holdout"].of(source).drawn.documents == held > 0


def test_hosts_are_held_out_whole(by_host: Path) -> None:
    shards = byline.open(by_host)
    assert (shards.holdout, shards.manifest.phases[-1].template) == ("unseen", "{host}\n")
    hosts, seen = hosts_of(by_host), {True: set[str | None](), False: set[str | None]()}
    for segment in segments_of(by_host):
        key = hashing.shuffle_key(*segment.key)
        seen[segment.phase == "unseen"].add(hosts[key])
        assert hashing.held_out(key, hosts[key], HOST_SHARE) == (segment.phase == "unseen")
    assert len(seen[True] - {None}) > 1
    assert seen[True] & seen[False] <= {None}


@pytest.mark.parametrize("name", ["by_document", "by_host"])
def test_verify_knows_it(name: str, request: pytest.FixtureRequest) -> None:
    status, found = verify(request.getfixturevalue(name))
    assert status == 0, found


def test_a_plan_that_does_not_hold_out(by_document: Path, tmp_path: Path) -> None:
    """The manifest's configuration holds out another share than the plan's rows do."""
    out = copy_build(by_document, tmp_path / "shards", bare=True)
    values = manifest_of(out)
    values["config"]["holdout"]["share"] = 0.25
    write_manifest(out, values)
    with pytest.raises(BylineError, match="its held-out documents are not those of"):
        verify(out)
