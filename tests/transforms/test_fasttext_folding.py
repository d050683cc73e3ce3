"""Folded classifiers say what fastText's library says, on every kind of text; the others go to the library."""

import hashlib
import os
import struct
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.errors import BylineError
from tests.reference.fasttext_reference import SHIFT, PlainModel, fnv, library_probabilities, prepared
from transforms import fasttext_folding
from transforms.fasttext_folding import FoldedModel, LibraryModel

# Known words of 1 to 17 bytes, some of them beginnings of others, about the eight bytes that are compared first.
LETTERS = "abcdefghijklmnopq"
WORDS = [
    "a",
    "so",
    "good",
    "bad",
    "café",
    "naïve",
    "日本",
    "abcdefghj",
    *(LETTERS[:size] for size in (7, 8, 9, 16, 17)),
]
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


def write_examples(path, labels, prefix="__label__", lines=240):
    """Each label likes some of the words more than the others."""
    with open(path, "w") as file:
        for line in range(lines):
            liked = [WORDS[(line * 7 + step * (line % labels + 1)) % len(WORDS)] for step in range(12)]
            file.write(f"{prefix}{line % labels} {' '.join(liked)} {WORDS[line % labels % len(WORDS)]}\n")


def train(folder, name, labels=2, prefix="__label__", quantize=None, lines=240, **settings):
    examples, path = str(folder / f"{name}.txt"), str(folder / f"{name}.bin")
    write_examples(examples, labels, prefix, lines)
    shape = {"dim": 16, "bucket": 2000, "epoch": 30, "lr": 0.5, "minCount": 1, "thread": 1, "verbose": 0, **settings}
    model = fasttext.train_supervised(examples, label=prefix, **shape)
    if quantize is not None:
        model.quantize(examples, verbose=0, thread=1, **quantize)
    model.save_model(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def two_labels(folder):
    return train(folder, "two", wordNgrams=2)


def column(texts):
    return pa.array(texts, pa.large_string())


@pytest.mark.parametrize("labels", [1, 2, 10])
@pytest.mark.parametrize("ngrams", [1, 2, 3, 5])
def test_folded_model_equals_library(folder, labels, ngrams):
    path = train(folder, f"plain-{labels}-{ngrams}", labels, wordNgrams=ngrams)
    model = fasttext_folding.open_model(path, str(folder / "cache"))
    assert isinstance(model, FoldedModel)
    assert model.labels == fasttext.load_model(path).get_labels()
    found = model.probabilities(column(TEXTS))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, library_probabilities(path, TEXTS), rtol=0, atol=1e-6)
    if labels > 1:  # else a model that says nothing would pass
        assert np.ptp(found, axis=0).max() > 0.3


@pytest.mark.parametrize("ngrams", [1, 2, 4])
def test_folded_model_equals_plain_float64(folder, ngrams):
    path = train(folder, f"float64-{ngrams}", 4, wordNgrams=ngrams)
    found = fasttext_folding.open_model(path, str(folder / "cache")).probabilities(column([*TEXTS, *LONG_TEXTS]))
    plain = PlainModel(path)
    expected = [plain.probabilities(text) for text in [*TEXTS, *LONG_TEXTS]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-7)
    np.testing.assert_allclose(found, library_probabilities(path, [*TEXTS, *LONG_TEXTS]), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def trigram(folder):
    """A folded model, and a function that gives what the library says."""
    path = train(folder, "trigram", 3, wordNgrams=3)
    library = fasttext.load_model(path)

    def ask(text):
        labels, values = library.predict(prepared(text), k=-1)
        return [values[labels.index(label)] - SHIFT for label in library.get_labels()]

    return fasttext_folding.open_model(path, str(folder / "cache")), ask


TOKENS = st.sampled_from(WORDS + UNKNOWN + LABELS + ENDS)
GAPS = st.sampled_from([" "] * 20 + SPACES + EDGES)


@settings(max_examples=500, deadline=None)
@given(parts=st.lists(st.one_of(TOKENS, GAPS), max_size=40))
def test_any_text_equals_library_on_prepared_text(trigram, parts):
    model, ask = trigram
    text = "".join(parts)
    np.testing.assert_allclose(model.probabilities(column([text])), [ask(text)], rtol=0, atol=1e-6)


@settings(max_examples=300, deadline=None)
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
    found = fasttext_folding.open_model(path, str(folder / "cache")).probabilities(column(TEXTS))
    expected = np.nan_to_num(library_probabilities(path, TEXTS, shift=0.0))
    np.testing.assert_allclose(found, np.minimum(expected, 1), rtol=0, atol=1e-6)


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
    found = fasttext_folding.open_model(path, str(tmp_path)).probabilities(column(texts))
    assert not np.isclose(found[::2], found[1::2], atol=0.1).all(axis=1).any()
    np.testing.assert_allclose(found, library_probabilities(path, texts), rtol=0, atol=1e-6)


def test_text_without_any_feature_is_not_a_number(folder):
    path = train(folder, "no-eos", lines=4, minCount=5, wordNgrams=1)
    assert "</s>" not in fasttext.load_model(path).get_words()
    texts = ["zebra", "", "</s>", "a", "zebra </s> a"]
    found = fasttext_folding.open_model(path, str(folder / "cache")).probabilities(column(texts))
    expected = library_probabilities(path, texts)
    assert np.isnan(expected[:, 0]).tolist() == [True, True, True, False, True]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_slices_nulls_and_no_rows(folder, two_labels):
    model = fasttext_folding.open_model(two_labels, str(folder / "cache"))
    texts = column(["bad", None, "so good", "", "日本 so"])
    found = model.probabilities(texts)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False, False, False]
    np.testing.assert_array_equal(model.probabilities(texts.slice(2, 2)), found[2:4])
    np.testing.assert_array_equal(model.probabilities(texts.cast(pa.string())), found)
    assert model.probabilities(column([])).shape == (0, 2)
    assert np.isnan(model.probabilities(column([None, None]))).all()
    np.testing.assert_array_equal(model.probabilities(column([""])), found[3:4])


def test_folds_once_and_into_a_small_file(tmp_path, two_labels):
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


def test_digest_follows_the_file(tmp_path):
    path = tmp_path / "a.bin"
    for content in (b"one", b"other", b""):
        path.write_bytes(content)
        assert fasttext_folding.model_sha256(str(path)) == hashlib.sha256(content).hexdigest()


def test_damaged_files_are_refused(tmp_path, two_labels):
    whole = Path(two_labels).read_bytes()
    cases = [
        whole[:size] for size in (0, 3, 7, 40, 70, 91, 92, 100, 300, 400, 430, 1000, len(whole) // 2, len(whole) - 1)
    ]
    cases += [whole + b"x", b"PK" + whole, b"not a model\n" * 100]
    # Version, loss, dim, buckets, entries and labels of the header.
    for at, value in [(4, 13), (32, 9), (8, 17), (40, 10**6), (40, 0), (64, 2**30), (64, -1), (72, 3), (72, 0)]:
        cases.append(whole[:at] + struct.pack("<i", value) + whole[at + 4 :])
    for number, content in enumerate(cases):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(content)
        with pytest.raises(BylineError, match=rf"{number}\.bin: .*expected a fastText model") as error:
            fasttext_folding.open_model(str(path), str(tmp_path / "cache"))
        assert "\n" not in str(error.value)


def test_every_cut_of_a_quantized_file_is_refused(tmp_path, folder):
    path = train(folder, "cut", quantize={"qnorm": True}, wordNgrams=2)
    whole = Path(path).read_bytes()
    for size in range(0, len(whole), 97):
        (tmp_path / "cut.bin").write_bytes(whole[:size])
        with pytest.raises(BylineError, match="expected a fastText model"):
            fasttext_folding.read_model_file(str(tmp_path / "cut.bin"))


def test_numbers_that_are_not_finite_are_refused(tmp_path, two_labels):
    whole = Path(two_labels).read_bytes()
    path = tmp_path / "nan.bin"
    path.write_bytes(whole[:-4] + struct.pack("<f", float("nan")))
    with pytest.raises(BylineError, match="not finite"):
        fasttext_folding.open_model(str(path), str(tmp_path / "cache"))


def test_library_failure_is_one_line(tmp_path, folder):
    path = train(folder, "nan-ova", loss="ova")
    whole = Path(path).read_bytes()
    broken = tmp_path / "nan-ova.bin"
    broken.write_bytes(whole[:-4] + struct.pack("<f", float("nan")))
    model = fasttext_folding.open_model(str(broken), str(tmp_path / "cache"))
    with pytest.raises(BylineError, match=r"nan-ova\.bin: fastText failed"):
        model.probabilities(column(["good"]))


def test_other_files_are_refused(tmp_path, folder):
    examples = tmp_path / "words.txt"
    write_examples(examples, 2)
    vectors = fasttext.train_unsupervised(str(examples), dim=4, bucket=10, minCount=1, epoch=1, thread=1, verbose=0)
    vectors.save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(BylineError, match="is a model of word vectors; expected a classifier"):
        fasttext_folding.open_model(str(tmp_path / "vectors.bin"), str(tmp_path))
    for missing in (tmp_path / "none.bin", tmp_path):
        with pytest.raises(BylineError, match="there is no such file"):
            fasttext_folding.open_model(str(missing), str(tmp_path))


def test_folded_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "a.arrow"
    path.write_bytes(b"nothing")
    with pytest.raises(BylineError, match=r"a\.arrow: not a folded fastText model .*delete it"):
        fasttext_folding.load_folded(str(path))
    with pa.ipc.new_file(str(path), pa.schema([pa.field("a", pa.int8())])) as writer:
        writer.write_batch(pa.record_batch({"a": pa.array([1], pa.int8())}))
    with pytest.raises(BylineError, match="not a folded fastText model"):
        fasttext_folding.load_folded(str(path))
