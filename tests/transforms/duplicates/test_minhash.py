"""Signatures: bit for bit those of the reference, and their estimates as good as those of permutations."""

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.duplicates.jaccard import shared_shingles
from byline.transforms.duplicates.minhash import band_hashes, bands_of, signatures
from byline.transforms.duplicates.normalizing import Texts, normalized
from byline.transforms.duplicates.presets import PRESETS, Preset
from byline.transforms.duplicates.shingles import Shingling, shingle_sets
from tests.reference.duplicates import KINDS, bands, normal_form
from tests.support.thorough import examples
from tests.transforms.duplicates.corpora import changed, random_text


def texts_of(texts: list[str]) -> Texts:
    return normalized(pa.array(texts, pa.large_string()), "text")


@examples(60)
@given(st.lists(st.text(st.sampled_from("ab 1é漢."), max_size=60), max_size=4), st.sampled_from(sorted(PRESETS)))
def test_bands_are_those_of_the_reference(texts: list[str], name: str) -> None:
    preset = PRESETS[name]
    found, has_shingles = band_hashes(normalized(pa.array(texts, pa.large_string()), preset.form), preset)
    expected = [bands(normal_form(text, preset.form), KINDS[name]) for text in texts]
    assert has_shingles.tolist() == [bool(hashes) for hashes in expected]
    assert [row.tolist() for row, has in zip(found, has_shingles, strict=True) if has] == list(filter(None, expected))


def test_presets_are_those_of_the_reference() -> None:
    as_kinds = {
        name: (one.bands, one.rows, one.shingling.size, one.shingling.unit, one.form) for name, one in PRESETS.items()
    }
    assert as_kinds == KINDS


def test_a_text_without_words_has_no_signature() -> None:
    values, has_shingles = signatures(texts_of(["", "one", "..."]), Shingling(5, "words"), 8)
    assert has_shingles.tolist() == [False, True, False]
    assert (values[[0, 2]] == 2**64 - 1).all()
    assert (values[1] < 2**64 - 1).all()


def pairs(count: int, size: int, seed: int) -> list[tuple[str, str]]:
    """Texts and copies with so many words changed that their similarities are spread."""
    rng = np.random.default_rng(seed)
    originals = [random_text(rng, size) for _ in range(count)]
    return [(text, changed(text, rng.choice([0.01, 0.03, 0.06, 0.1]), rng)) for text in originals]


def similarities(texts: Texts, shingling: Shingling) -> np.ndarray:
    evens = np.arange(0, len(texts.borders) - 1, 2)
    shared, together = shared_shingles(shingle_sets(texts, shingling), evens, evens + 1)
    return shared / together


@pytest.mark.parametrize("size", [12, 60, 900])
def test_estimates_are_as_good_as_those_of_datasketch(size: int) -> None:
    """The error of k values has the variance J(1 - J)/k, whichever way they are made; for few shingles it is less."""
    shingling, k = Shingling(5, "words"), 112
    made = pairs(250, size, seed=size)
    texts = texts_of([text for pair in made for text in pair])
    exact = similarities(texts, shingling)
    values, _ = signatures(texts, shingling, k)
    ours = (values[::2] == values[1::2]).mean(axis=1)
    sets = shingle_sets(texts, shingling)
    theirs = np.empty(len(made))
    for number in range(len(made)):
        sketches = []
        for text in (2 * number, 2 * number + 1):
            sketch = datasketch.MinHash(num_perm=k, seed=number)
            begin, end = sets.borders[text : text + 2]
            sketch.update_batch([one.tobytes() for one in sets.shingles[begin:end]])
            sketches.append(sketch)
        theirs[number] = sketches[0].jaccard(sketches[1])
    error = np.sqrt(exact * (1 - exact) / k)
    standard = (ours - exact)[error > 0] / error[error > 0]
    other = (theirs - exact)[error > 0] / error[error > 0]
    # 250 errors: their mean is within 4 standard errors of 0, their spread that of datasketch or less.
    assert abs(standard.mean()) < 4 / np.sqrt(len(standard))
    assert abs((ours - theirs).mean()) < 4 * np.sqrt(2 * (error**2).mean() / len(made))
    assert standard.std() < 1.15
    assert 0.85 < other.std() < 1.15


@pytest.mark.parametrize("size", [30, 400])
def test_candidates_come_as_often_as_bands_and_rows_say(size: int) -> None:
    preset = Preset(14, 8, Shingling(5, "words"), "text", PRESETS["fineweb"].similarity)
    texts = texts_of([text for pair in pairs(1000, size, seed=7 + size) for text in pair])
    hashes, _ = band_hashes(texts, preset)
    shares_band = (hashes[::2] == hashes[1::2]).any(axis=1)
    chance = 1 - (1 - similarities(texts, preset.shingling) ** 8) ** 14
    assert abs(shares_band.mean() - chance.mean()) < 4 * np.sqrt((chance * (1 - chance)).sum()) / len(chance) + 0.01


def test_a_band_is_known_by_its_number_too() -> None:
    assert len(np.unique(bands_of(np.zeros((1, 6), np.uint64), 3))) == 3
