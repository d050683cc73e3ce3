"""Folded classifiers say what fastText's library says, on every kind of text; the others go to the library."""

import hashlib
import os
import struct
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.errors import BylineError
from byline.transforms.scores import fasttext_folding
from byline.transforms.scores.fasttext_file import read_model_file
from byline.transforms.scores.fasttext_folding import FoldedModel, LibraryModel
from tests.reference.fasttext_reference import SHIFT, PlainModel, fnv, library_probabilities, prepared
from tests.support.fasttext_models import WORDS, train
from tests.support.thorough import examples

UNKNOWN = [
    "zebra",
    "abcdefghk",
    "abcdefghijklmnopr",
    "ж",
    "😀",
    "a\x1fb",
    "a\u00a0b",
    "\u00a0",
    "\u00c2",
    "\u201cso\u201d",
]
LABELS = ["__label__0", "__label__1", "__label__none", "__label__", "__label_"]
ENDS = ["</s>", "</s", "</s>>", "<s>"]
SPACES = [" ", "\n", "\r\n", "\r", "\t", "\v", "\f", "\0", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029"]
EDGES = ["\u00a0", "\u1680", "\u2000", "\u200a", "\u200b", "\u202f", "\u205f", "\u3000", "\ufeff"]
TEXTS = [
    "",
    " ",
    "\n",
    "\0",
    "good",
    "so good so bad",
    "zebra good zebra zebra",
    "so __label__none good __label__1 bad",
    "so __label__ good __label_ bad",
    "so good </s> bad bad bad",
    "</s> bad",
    "so\u2028good\x85bad\u2029a\x1cso\x1dgood\x1ebad\x1fa",
    "so\r\ngood\n\n\nbad\ta\vso\fgood\0bad",
    "\u3000\u00a0 so good \u2003\u3000",
    "\0\u3000so good\u3000\0",
    "\u2028\x85\x1f",
    "\u200bso good\ufeff",
    "naïve café 日本 日 本日 \u201cso\u201d",
    " ".join(WORDS),
    "x" * 3000 + " good",
]
# About and beyond the tokens that are taken at a time. Here the library's float32 sums are off by up to 1e-4.
LONG_TEXTS = [
    "so good " * 1500,
    "bad " * 511 + "__label__0 " + "good " * 3,
    "bad " * 511 + "</s>",
    "bad " * 512,
    "bad " * 512 + "</s> " + "good " * 600,
    " ".join(WORDS[step * step % len(WORDS)] for step in range(5000)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def column(texts):
    return pa.array(texts, pa.large_string())


# Labels and the longest n-gram: none, one and several columns; words alone, pairs, and chains of every length.
SHAPES = [(1, 2), (2, 1), (2, 2), (2, 5), (4, 1), (4, 3), (10, 2)]


@pytest.fixture(scope="module")
def shaped(folder):
    """A function that gives the path of a softmax model of so many labels and words in an n-gram."""
    return lru_cache(lambda labels, ngrams: train(folder, f"shape-{labels}-{ngrams}", labels, wordNgrams=ngrams))


@pytest.mark.parametrize(("labels", "ngrams"), SHAPES)
def test_folded_model_equals_library(folder, shaped, labels, ngrams):
    path = shaped(labels, ngrams)
    model = fasttext_folding.open_model(path, str(folder / "cache"))
    assert isinstance(model, FoldedModel)
    assert model.labels == fasttext.load_model(path).get_labels()
    probabilities = model.probabilities(column(TEXTS))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, library_probabilities(path, TEXTS), rtol=0, atol=1e-6)
    if labels > 1:  # else a model that says nothing would pass
        assert np.ptp(probabilities, axis=0).max() > 0.3


@pytest.mark.parametrize(("labels", "ngrams"), [(2, 2), (4, 1), (4, 3)])
def test_folded_model_equals_plain_float64(folder, shaped, labels, ngrams):
    path = shaped(labels, ngrams)
    probabilities = fasttext_folding.open_model(path, str(folder / "cache")).probabilities(
        column([*TEXTS, *LONG_TEXTS])
    )
    plain = PlainModel(path)
    expected = [plain.probabilities(text) for text in [*TEXTS, *LONG_TEXTS]]
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=5e-7)
    np.testing.assert_allclose(probabilities, library_probabilities(path, [*TEXTS, *LONG_TEXTS]), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def trigram(folder, shaped):
    """A folded model, and a function that gives what the library says."""
    path = shaped(4, 3)
    library = fasttext.load_model(path)

    def ask(text):
        labels, values = library.predict(prepared(text), k=-1)
        return [values[labels.index(label)] - SHIFT for label in library.get_labels()]

    return fasttext_folding.open_model(path, str(folder / "cache")), ask


TOKENS = st.sampled_from(WORDS + UNKNOWN + LABELS + ENDS)
GAPS = st.sampled_from([" "] * 20 + SPACES + EDGES)


@examples(300)
@given(parts=st.lists(st.one_of(TOKENS, GAPS), max_size=40))
def test_any_text_equals_library_on_prepared_text(trigram, parts):
    model, ask = trigram
    text = "".join(parts)
    np.testing.assert_allclose(model.probabilities(column([text])), [ask(text)], rtol=0, atol=1e-6)


@examples(200)
@given(text=st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_characters_equal_library(trigram, text):
    model, ask = trigram
    texts = [text, f"so {text} good", f"{text}so{text}"]
    np.testing.assert_allclose(model.probabilities(column(texts)), [ask(text) for text in texts], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "labels", "settings", "reason"),
    [
        ("subwords", 2, {"minn": 2, "maxn": 4}, "subwords of up to 4"),
        ("ova", 3, {"loss": "ova"}, "ova loss"),
        ("ns", 3, {"loss": "ns"}, "ns loss"),
        ("quantized", 2, {"quantize": {}}, "is quantized"),
        ("pruned", 2, {"quantize": {"cutoff": 400, "qnorm": True}, "wordNgrams": 2}, "is quantized"),
        ("many", 20, {"dim": 8}, "20 labels and 8 dimensions"),
    ],
)
def test_others_go_to_the_library(folder, name, labels, settings, reason):
    path = train(folder, name, labels, **{"wordNgrams": 2, **settings})
    cache = str(folder / "no-cache")
    with pytest.raises(BylineError, match=reason):
        fasttext_folding.fold(path, cache)
    model = fasttext_folding.open_model(path, cache)
    assert isinstance(model, LibraryModel)
    assert not os.path.exists(cache)
    texts = [*TEXTS, None]
    np.testing.assert_allclose(
        model.probabilities(column(texts)), library_probabilities(path, texts), rtol=0, atol=1e-6
    )


def test_hierarchical_softmax_is_as_the_library_gives_it(folder):
    path = train(folder, "hs", 5, loss="hs")
    probabilities = fasttext_folding.open_model(path, str(folder / "cache")).probabilities(column(TEXTS))
    expected = np.nan_to_num(library_probabilities(path, TEXTS, shift=0.0))
    np.testing.assert_allclose(probabilities, np.minimum(expected, 1), rtol=0, atol=1e-6)


def test_quantized_output(folder):
    path = train(folder, "qout", 260, dim=8, lines=1040, quantize={"qout": True}, wordNgrams=2)
    model = fasttext_folding.open_model(path, str(folder / "cache"))
    np.testing.assert_allclose(
        model.probabilities(column(TEXTS)), library_probabilities(path, TEXTS), rtol=0, atol=1e-6
    )


def test_another_label_prefix(folder):
    path = train(folder, "prefix", prefix="#", wordNgrams=2)
    texts = [*TEXTS, "#0 so good", "so #1 good", "so #2 good"]
    model = fasttext_folding.open_model(path, str(folder / "cache"))
    assert model.labels == ["#0", "#1"]
    np.testing.assert_allclose(
        model.probabilities(column(texts)), library_probabilities(path, texts), rtol=0, atol=1e-6
    )


def test_words_of_one_hash_are_told_apart(tmp_path):
    """The first two pairs have different beginnings, the others the same eight bytes."""
    pairs = [("costarring", "liquid"), ("zinke", "altarage"), ("tokenizenlbvz", "tokenizepacxh")]
    pairs.append(("tokenizeneevu", "tokenizepzfxg"))
    assert all(fnv(known.encode()) == fnv(other.encode()) for known, other in pairs)
    examples, path = tmp_path / "a.txt", str(tmp_path / "a.bin")
    examples.write_text("".join(f"__label__{known[0]} {known} the\n" for known, _ in pairs) * 9)
    fasttext.train_supervised(str(examples), dim=8, epoch=50, lr=0.5, thread=1, verbose=0).save_model(path)
    texts = [word for pair in pairs for word in pair]
    probabilities = fasttext_folding.open_model(path, str(tmp_path)).probabilities(column(texts))
    assert not np.isclose(probabilities[::2], probabilities[1::2], atol=0.1).all(axis=1).any()
    np.testing.assert_allclose(probabilities, library_probabilities(path, texts), rtol=0, atol=1e-6)


def test_text_without_any_feature_is_not_a_number(folder):
    path = train(folder, "no-eos", lines=4, minCount=5, wordNgrams=1)
    assert "</s>" not in fasttext.load_model(path).get_words()
    texts = ["zebra", "", "</s>", "a", "zebra </s> a"]
    probabilities = fasttext_folding.open_model(path, str(folder / "cache")).probabilities(column(texts))
    expected = library_probabilities(path, texts)
    assert np.isnan(expected[:, 0]).tolist() == [True, True, True, False, True]
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)


def test_slices_nulls_and_no_rows(folder, shaped):
    model = fasttext_folding.open_model(shaped(2, 2), str(folder / "cache"))
    texts = column(["bad", None, "so good", "", "日本 so"])
    probabilities = model.probabilities(texts)
    assert np.isnan(probabilities).all(axis=1).tolist() == [False, True, False, False, False]
    np.testing.assert_array_equal(model.probabilities(texts.slice(2, 2)), probabilities[2:4])
    np.testing.assert_array_equal(model.probabilities(texts.cast(pa.string())), probabilities)
    assert model.probabilities(column([])).shape == (0, 2)
    assert np.isnan(model.probabilities(column([None, None]))).all()
    np.testing.assert_array_equal(model.probabilities(column([""])), probabilities[3:4])


def test_folds_once_and_into_a_small_file(tmp_path, shaped):
    two_labels = shaped(2, 2)
    path = fasttext_folding.fold(two_labels, str(tmp_path / "cache"))
    digest = hashlib.sha256(Path(two_labels).read_bytes()).hexdigest()
    assert os.path.basename(path) == f"fasttext-v1-{digest}.arrow"
    assert os.path.getsize(path) < os.path.getsize(two_labels) / 8
    before = os.stat(path).st_mtime_ns
    assert fasttext_folding.fold(two_labels, str(tmp_path / "cache")) == path
    assert os.stat(path).st_mtime_ns == before
    texts = column(TEXTS)
    opened = fasttext_folding.open_model(two_labels, str(tmp_path / "cache"))
    np.testing.assert_array_equal(fasttext_folding.load_folded(path).probabilities(texts), opened.probabilities(texts))
    assert fasttext_folding.open_model(two_labels, str(tmp_path / "cache")) is opened


def test_numbers_that_are_not_finite_are_refused(tmp_path, shaped):
    whole = Path(shaped(2, 2)).read_bytes()
    path = tmp_path / "nan.bin"
    path.write_bytes(whole[:-4] + struct.pack("<f", float("nan")))
    with pytest.raises(BylineError, match="not finite"):
        fasttext_folding.open_model(str(path), str(tmp_path / "cache"))


def test_numbers_that_are_not_finite_never_reach_the_library(tmp_path, folder):
    whole = Path(train(folder, "nan-ova", loss="ova")).read_bytes()
    broken = tmp_path / "nan-ova.bin"
    for number in ("nan", "inf"):
        broken.write_bytes(whole[:-4] + struct.pack("<f", float(number)))
        with pytest.raises(BylineError, match=r"nan-ova\.bin: has values that are not finite numbers"):
            fasttext_folding.open_model(str(broken), str(tmp_path / "cache"))


def test_library_failure_is_one_line(tmp_path, folder, monkeypatch):
    class Failing:
        def multilinePredict(self, *_):  # noqa: N802 (the library's name)
            raise RuntimeError("Encountered NaN.")

    model = LibraryModel(read_model_file(train(folder, "failing", loss="ova")))
    monkeypatch.setattr(model, "_library", Failing())
    with pytest.raises(
        BylineError, match=r"failing\.bin: fastText failed \(Encountered NaN\.\); train the model again"
    ):
        model.probabilities(column(["good"]))


def test_no_file(tmp_path):
    with pytest.raises(BylineError, match="there is no such file"):
        fasttext_folding.open_model(str(tmp_path / "none.bin"), str(tmp_path))


def test_folded_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "a.arrow"
    path.write_bytes(b"nothing")
    with pytest.raises(BylineError, match=r"a\.arrow: not a folded fastText model .*delete it"):
        fasttext_folding.load_folded(str(path))
    with pa.ipc.new_file(str(path), pa.schema([pa.field("a", pa.int8())])) as writer:
        writer.write_batch(pa.record_batch({"a": pa.array([1], pa.int8())}))
    with pytest.raises(BylineError, match="not a folded fastText model"):
        fasttext_folding.load_folded(str(path))


FOLDS = """
import resource, sys
from byline.transforms.scores.fasttext_folding import fold
unit = 1 if sys.platform == "darwin" else 1024
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
small, large, folder = sys.argv[1:]
fold(small, folder)
before = peak()
fold(large, folder)
print(peak() - before)
"""


def test_folding_takes_a_part_of_the_model_into_memory(tmp_path):
    """Of 60 MB a block of rows is held at a time (1.6 MB, and 3.3 MB as float64), and the folded rows (0.6 MB)."""
    small = train(tmp_path, "small", wordNgrams=2)
    large = train(tmp_path, "large", wordNgrams=2, dim=100, bucket=150_000, epoch=1, lines=20)
    size = os.path.getsize(large)
    assert size > 60e6
    done = subprocess.run(
        [sys.executable, "-c", FOLDS, small, large, str(tmp_path / "cache")],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < size / 2


def test_a_model_that_is_not_what_it_was_hashed_as_is_refused(tmp_path, folder, shaped, monkeypatch):
    """Only an in-place change that leaves size and times as they were gets that far."""
    monkeypatch.setattr(fasttext_folding, "sha256_of", lambda *_, **__: "5f3e" * 16)
    quantized = train(folder, "quantized", wordNgrams=2, quantize={})
    for model in (shaped(2, 2), train(folder, "unfolded", loss="ova"), quantized):
        with pytest.raises(
            BylineError, match=r"has sha256 \w{12}\.\.\., but 5f3e5f3e5f3e\.\.\. when .*checksums\.json"
        ):
            fasttext_folding.open_model(model, str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_all_of_a_file_is_hashed_as_it_is_folded(shaped):
    for labels, ngrams in ((2, 1), (3, 2)):
        path = shaped(labels, ngrams)
        rows = []
        digest = read_model_file(path).read_through(lambda first, block: rows.append((first, len(block))))  # noqa: B023
        assert digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()
        assert rows == [(0, read_model_file(path).input.shape[0])]
