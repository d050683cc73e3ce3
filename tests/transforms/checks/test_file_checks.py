"""Which raw files are compared by checksum, and which cannot be."""

from byline.schemas.documents import InputFile
from byline.schemas.store import RunInfo
from byline.transforms.checks.file_checks import FileToCheck, raw_files_to_check
from byline.transforms.store.state import StoreState


def run(source: str, path: str, checksum: str = "", chunk: int = 0, *, last: bool = True) -> RunInfo:
    return RunInfo(
        "f" * 64, source, path, chunk, last, 7, 1, 1, {}, 0, 1, 1, 1, [0], f"{path}.arrow", input_checksum=checksum
    )


def test_files_with_a_checksum_are_compared_and_those_of_made_sources_have_none() -> None:
    inputs = [InputFile("a", "x", "/raw/x", 7), InputFile("a", "y", "/raw/y", 7), InputFile("sums", "0", "", 7)]
    runs = [run("a", "x", last=False), run("a", "x", "12", 1), run("a", "y"), run("a", "gone", "34"), run("sums", "0")]
    state = StoreState({}, {}, inputs, runs)
    assert raw_files_to_check(state, 5, {"sums"}) == (
        [FileToCheck(5, "/raw/x", "12", True, 7)],
        ["a/y", "a/gone"],
    )
