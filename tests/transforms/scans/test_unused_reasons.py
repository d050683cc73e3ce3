import numpy as np
import pytest

from byline.transforms.scans.unused_reasons import SourceDocuments, unused_by_reason


@pytest.mark.parametrize(
    ("is_mixed", "selected", "used", "reasons"),
    [
        (True, "0011", "0001", {"mixture": "0000", "selection": "1100", "budget": "0010"}),
        (False, "0000", "0000", {"mixture": "1111", "selection": "0000", "budget": "0000"}),
        (True, "11", "11", {"mixture": "00", "selection": "00", "budget": "00"}),
        (True, "", "", {"mixture": "", "selection": "", "budget": ""}),
    ],
)
def test_an_unused_document_has_one_reason(is_mixed: bool, selected: str, used: str, reasons: dict[str, str]) -> None:
    documents = SourceDocuments(is_mixed, np.array(list(selected)) == "1", np.array(list(used)) == "1")
    assert {
        name: "".join("01"[holds] for holds in mask.tolist()) for name, mask in unused_by_reason(documents)
    } == reasons
