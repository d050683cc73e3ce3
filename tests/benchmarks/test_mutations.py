"""`benchmarks.mutations`: damage is found or harmless; a few of the mutations that the command makes by the hundred."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.mutations import Mutation, files_of, make_build, make_mutation, meaning, try_mutation
from byline.manifest import read_manifest
from byline.transforms.store.run_reading import forget_runs


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield make_build(tmp_path_factory.mktemp("mutations"))
    forget_runs()


def test_a_mutation_follows_from_its_number(out: Path) -> None:
    files = files_of(out)
    assert [make_mutation(files, 3, number) for number in range(20)] == [
        make_mutation(files, 3, number) for number in range(20)
    ]
    assert {make_mutation(files, 3, number).kind for number in range(60)} == set(files)


def test_what_is_not_damaged_is_harmless(out: Path) -> None:
    path = out / "_manifest.json"
    spaced = path.read_bytes().replace(b'": ', b'":  ')
    assert try_mutation(out, Mutation("manifest", "spaces", path, spaced))[0] == "harmless"
    assert meaning(spaced) == meaning(path.read_bytes())
    assert meaning(b"ARROW1 nothing") is None


# At least one of each kind of file.
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 10, 11, 15, 18, 32)


def test_the_numbers_are_of_every_kind_of_file(out: Path) -> None:
    files = files_of(out)
    assert {make_mutation(files, 11, number).kind for number in NUMBERS} == set(files)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_mutation_is_found_or_harmless(out: Path, number: int) -> None:
    before = read_manifest(out)
    outcome, said = try_mutation(out, make_mutation(files_of(out), 11, number))
    assert outcome in ("found", "not compared", "harmless"), said
    assert read_manifest(out) == before
