"""Model files: what is read from them, and that no damaged one gets past the checks."""

import struct
from pathlib import Path

import fasttext
import numpy as np
import pytest

from byline.errors import BylineError
from byline.transforms.scores.fasttext_file import HIERARCHICAL_SOFTMAX, SOFTMAX, read_model_file
from tests.support.fasttext_models import train, write_examples


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The path of a bigram model."""
    return train(tmp_path_factory.mktemp("models"), "plain", 3, wordNgrams=2)


def changed(content, at, value):
    """A file's content with an int32 put into it."""
    return content[:at] + struct.pack("<i", value) + content[at + 4 :]


def test_what_is_read(plain):
    library, model = fasttext.load_model(plain), read_model_file(plain)
    assert (model.path, model.dim, model.word_ngrams, model.bucket, model.maxn) == (plain, 16, 2, 2000, 0)
    assert (model.loss, model.quantized) == (SOFTMAX, False)
    assert model.labels == library.get_labels() == ["__label__0", "__label__1", "__label__2"]
    spelled = [bytes(model.data[begin:end]).decode() for begin, end in model.bounds]
    assert spelled == [*library.get_words(), *model.labels]
    assert model.words == len(library.get_words())
    firsts, blocks = zip(*model.input.blocks(), strict=True)
    assert firsts == (0,)
    np.testing.assert_array_equal(np.concatenate(blocks), library.get_input_matrix())
    np.testing.assert_array_equal(model.output, library.get_output_matrix())


def test_settings_of_other_models(tmp_path):
    model = read_model_file(train(tmp_path, "hs", loss="hs", minn=2, maxn=4, wordNgrams=1))
    assert (model.loss, model.maxn, model.word_ngrams) == (HIERARCHICAL_SOFTMAX, 4, 1)
    assert model.input.shape == (model.words + 2000, 16)
    old = tmp_path / "old.bin"
    old.write_bytes(changed((tmp_path / "hs.bin").read_bytes(), 4, 11))
    assert read_model_file(str(old)).maxn == 0
    small = read_model_file(train(tmp_path, "small", wordNgrams=2, quantize={"cutoff": 400, "qnorm": True}))
    assert (small.quantized, small.input, small.output) == (True, None, None)


def test_damaged_files_are_refused(tmp_path, plain):
    whole = Path(plain).read_bytes()
    sizes = [0, 3, 7, 40, 70, 91, 92, 100, 300, 400, 430, 1000, len(whole) // 2, len(whole) - 1]
    cases = [whole[:size] for size in sizes]
    cases += [whole + b"x", b"PK" + whole, b"not a model\n" * 100]
    # Version, loss, dim, buckets, entries and labels of the header.
    header = [(4, 13), (32, 9), (8, 17), (40, 10**6), (40, 0), (64, 2**30), (64, -1), (72, 4), (72, 0)]
    cases += [changed(whole, at, value) for at, value in header]
    kind = int(read_model_file(plain).bounds[0, 1]) + 9  # of the first word, behind its NUL and count
    cases.append(whole[:kind] + b"\1" + whole[kind + 1 :])
    path = tmp_path / "bad.bin"
    for content in cases:
        path.write_bytes(content)
        with pytest.raises(BylineError, match=r"bad\.bin: .*expected a fastText model") as error:
            read_model_file(str(path))
        assert "\n" not in str(error.value)


KEYS = ["dim", "ws", "epoch", "min", "neg", "ngrams", "loss", "model", "bucket", "minn", "maxn"]
HEADER = {name: 8 + 4 * number for number, name in enumerate(KEYS)}


def quantizers_of(content, model):
    """Where the quantizer of the input matrix, and that of its norms, begin in a quantized file without prunings."""
    at = int(model.bounds[-1, 1]) + 10 + 1 + 1
    rows, _, codes = struct.unpack_from("<qqi", content, at)
    first = at + 20 + codes
    (dim,) = struct.unpack_from("<i", content, first)
    return at, first, first + 16 + 4 * dim * 256 + rows


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("bucket", 0, "has subwords of up to 3 characters, but 0 buckets for them"),
        ("bucket", -5, "has subwords of up to 3 characters, but -5 buckets for them"),
        ("maxn", 2**31 - 1, "has subwords of 2147483647 characters, not of 0 to 100"),
        ("maxn", -1, "has subwords of -1 characters, not of 0 to 100"),
        ("ngrams", 2**31 - 1, "has n-grams of 2147483647 words, not of 0 to 100"),
        ("ngrams", -7, "has n-grams of -7 words, not of 0 to 100"),
        ("dim", 0, "has 0 dimensions"),
        ("dim", -1, "has -1 dimensions"),
    ],
)
def test_headers_that_would_crash_the_library(tmp_path, key, value, problem):
    whole = Path(train(tmp_path, "whole", dim=4, minn=2, maxn=3)).read_bytes()
    path = tmp_path / "bad.bin"
    path.write_bytes(changed(whole, HEADER[key], value))
    with pytest.raises(BylineError, match=rf"bad\.bin: {problem}; expected a fastText model"):
        read_model_file(str(path))


def test_quantizers_that_would_crash_the_library(tmp_path):
    name = train(tmp_path, "whole", dim=4, wordNgrams=2, quantize={"qnorm": True})
    whole, path = Path(name).read_bytes(), tmp_path / "bad.bin"
    matrix, first, second = quantizers_of(whole, read_model_file(name))
    for at, numbers in ((first, 4), (second, 2)):
        for number in range(numbers):  # dim, parts, their width, the last one's
            for value in (0, -1, 3, 2**31 - 1):
                path.write_bytes(changed(whole, at + 4 * number, value))
                with pytest.raises(BylineError, match="expected a fastText model"):
                    read_model_file(str(path))
    for content in (
        changed(whole, matrix, 7),  # rows
        changed(whole, matrix + 8, 5),  # columns
        changed(whole, first + 16, struct.unpack("<i", struct.pack("<f", float("nan")))[0]),
        whole[: matrix - 1] + b"\2" + whole[matrix:],  # whether it has norms
    ):
        path.write_bytes(content)
        with pytest.raises(BylineError, match="expected a fastText model"):
            read_model_file(str(path))


def test_prunings_that_lead_out_of_the_matrix(tmp_path):
    name = train(tmp_path, "whole", dim=4, wordNgrams=2, quantize={"cutoff": 300})
    whole, path = Path(name).read_bytes(), tmp_path / "bad.bin"
    at = int(read_model_file(name).bounds[-1, 1]) + 10
    for value in (-1, 2**31 - 1, 301):
        path.write_bytes(changed(whole, at + 4, value))
        with pytest.raises(BylineError, match="has prunings that lead to no row"):
            read_model_file(str(path))


def test_labels_that_no_training_file_has(tmp_path, plain):
    whole, path = Path(plain).read_bytes(), tmp_path / "bad.bin"
    end = int(read_model_file(plain).bounds[-1, 1])
    for count in (-1, 2**62):
        path.write_bytes(whole[: end + 1] + struct.pack("<q", count) + whole[end + 9 :])
        with pytest.raises(BylineError, match="has counts of labels that no training file has"):
            read_model_file(str(path))
    path.write_bytes(whole[: end - 1] + b"1" + whole[end:])
    with pytest.raises(BylineError, match="has the label '__label__1' twice"):
        read_model_file(str(path))


def test_every_cut_of_a_quantized_file_is_refused(tmp_path):
    whole = Path(train(tmp_path, "whole", dim=4, quantize={"qnorm": True}, wordNgrams=2)).read_bytes()
    path = tmp_path / "cut.bin"
    for size in [*range(0, 600, 5), *range(600, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(BylineError, match="expected a fastText model"):
            read_model_file(str(path))


def test_word_vectors_are_refused(tmp_path):
    examples, path = tmp_path / "words.txt", str(tmp_path / "vectors.bin")
    write_examples(examples, 2)
    shape = {"dim": 4, "bucket": 10, "minCount": 1, "epoch": 1, "thread": 1, "verbose": 0}
    fasttext.train_unsupervised(str(examples), **shape).save_model(path)
    with pytest.raises(BylineError, match="is a model of word vectors; expected a classifier"):
        read_model_file(path)


def test_no_file(tmp_path):
    with pytest.raises(BylineError, match=r"none\.bin: cannot be opened"):
        read_model_file(str(tmp_path / "none.bin"))
