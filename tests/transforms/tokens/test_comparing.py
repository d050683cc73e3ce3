"""Each kind of tokenizer gives the reference's ids for every character and every added token, whatever is beside it."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from byline.transforms.tokens import comparing, known_differences
from byline.transforms.tokens.code_points import of_runs
from byline.transforms.tokens.comparing_characters import compare_splitting, shipped, shipped_key
from byline.transforms.tokens.text_tokenizer import TextTokenizer
from tests.support import tokenizers
from tests.support.thorough import STEP

# Not those contexts that the comparison itself uses.
CONTEXTS = ("{0}", "x{0} {0}Y7", "{0}-{0}8\r\n{0}\u00a0", "({0})\t’{0}ll", " {0}\u0323\u0301")
SURROGATES = range(0xD800, 0xE000)
# Every character but Han, Hangul, Tangut and private ones, and of these every eighth.
MANY = (*range(0x3400, 0xA000), *range(0xAC00, 0xD800), *range(0xE000, 0xF900), *range(0x17000, 0x18D00))
FEW = {*range(0x20000, 0x33800, 8), *MANY[::8], *range(0x2B730, 0x2B740), *range(0x2CEA0, 0x2CEB0), 0xE0001, 0x10FFFF}
POINTS = sorted({*range(1, 0x20000)} - {*MANY} - {*SURROGATES} | FEW)


@cache
def in_context(number: int, turn: int) -> list[str]:
    """Characters in a context, about forty in a text; where not all is tried, each is in two contexts for any turn."""
    characters = [chr(point) for point in POINTS if STEP == 1 or (point + number + turn) % len(CONTEXTS) < 2]
    return ["".join(map(CONTEXTS[number].format, characters[at : at + 40])) for at in range(0, len(characters), 40)]


@pytest.fixture(scope="module", params=tokenizers.KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    settings = tokenizers.KINDS[request.param]()
    return TextTokenizer(tokenizers.write(settings, tmp_path_factory.mktemp(request.param)))


def differing(tokenizer: TextTokenizer, texts: list[str]) -> list[str]:
    """The texts that get other ids."""
    array = pa.array(texts, pa.large_string())
    values, offsets = tokenizer.encode(array)
    expected = tokenizer.encode_all_by_reference(array)
    return [
        text
        for number, text in enumerate(texts)
        if values[offsets[number] : offsets[number + 1]].tolist() != expected[number]
    ]


def test_kinds_that_are_fast(tokenizer: TextTokenizer, request: pytest.FixtureRequest) -> None:
    assert (tokenizer.fast is not None) == (request.node.callspec.params["tokenizer"] in tokenizers.FAST)


def test_every_character_in_context(tokenizer: TextTokenizer, request: pytest.FixtureRequest) -> None:
    if tokenizer.fast is None:
        assert tokenizer.differences.whole
        return
    turn = list(tokenizers.KINDS).index(request.node.callspec.params["tokenizer"])
    for number in range(len(CONTEXTS)):
        texts = in_context(number, turn)
        # Most blocks have no character that goes to the reference, so what is compared is gigatoken.
        assert tokenizer.goes_to_reference(pa.array(texts, pa.large_string())).mean() < 0.2
        assert differing(tokenizer, texts) == []


def test_every_added_token_in_context(tokenizer: TextTokenizer) -> None:
    names = [*tokenizer.special_names, *tokenizer.plain_names]
    contexts = (*CONTEXTS, "{0}{0}{0}", " {0}", "{0} ", "  {0}  ", "a\n{0}\nb", "é{0}é", "<{0}>", "|{0}|")
    texts = [context.format(part) for name in names for part in (name, name[1:], name[:-1]) for context in contexts]
    texts += [one + between + other for one in names for other in names for between in ("", " ", "x")]
    assert differing(tokenizer, texts) == []


def test_no_text_becomes_a_special_token(tokenizer: TextTokenizer) -> None:
    ids = {tokenizer.vocabulary[name] for name in tokenizer.special_names}
    texts = [f"a {name} b{name}" for name in tokenizer.special_names if name not in ("<unk>", "[UNK]")]
    known = TextTokenizer(tokenizer.file, "fastest", (), tuple(tokenizer.special_names))
    values, _ = known.encode(pa.array(texts, pa.large_string()))
    # A word that the vocabulary lacks is unknown, whatever it spells.
    unknown = {known.vocabulary[name] for name in ("<unk>", "[UNK]") if name in known.vocabulary}
    assert {*values.tolist()} & ids <= unknown


FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
# Tokens with flags, of which no two have a common part.
FLAGGED: dict[str, dict[str, bool]] = {
    **{name: {flag: True} for name, flag in zip(("Acme", "Bolt", "Cuvy", "Dirk"), FLAGS, strict=True)},
    **{name: {flag: True, "normalized": True} for name, flag in zip(("<p>", "<q>", "<r>"), FLAGS, strict=False)},
    "\u00e9\u0301": {"normalized": True},
    "[K;`]": dict.fromkeys(FLAGS, True),
}


# Those that send every text to the reference.
ALONE: dict[str, tuple[str, ...]] = {
    "gpt_2": (),
    "gpt_neox": ("\u00e9\u0301",),
    "llama_2": ("<p>", "<q>", "<r>", "[K;`]"),
    "gemma_3": ("<p>", "<q>", "<r>", "[K;`]"),
}


def flagged(kind: str, names: Iterable[str], folder: Path) -> TextTokenizer:
    added = [tokenizers.added(name, **FLAGGED[name]) for name in names]
    return TextTokenizer(tokenizers.write(tokenizers.with_added(tokenizers.KINDS[kind](), *added), folder))


def beside_others(name: str) -> list[str]:
    spellings = ["e\u0301\u0301", "[\u212a\u037e\u1fef]", "Boltk\u0301", name + "\u0301", name + "\u0338", name.upper()]
    befores, behinds = ("", " ", "  ", "x", "\n\t"), ("", " ", " \n", "y")
    return [a + text + b for text in (name, *spellings) for a in befores for b in behinds]


@pytest.mark.parametrize("kind", ALONE)
def test_flags_of_added_tokens(kind: str, tmp_path: Path) -> None:
    names = [name for name in FLAGGED if name not in ALONE[kind]]
    tokenizer = flagged(kind, names, tmp_path)
    assert tokenizer.fast is not None
    for name in names:
        assert differing(tokenizer, beside_others(name)) == []
        assert differing(tokenizer, [text for text in beside_others(name) if name not in text]) == []


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in ALONE.items() for name in names])
def test_flags_that_send_every_text_to_the_reference(kind: str, name: str, tmp_path: Path) -> None:
    tokenizer = flagged(kind, [name], tmp_path)
    assert tokenizer.fast is None
    assert differing(tokenizer, beside_others(name)) == []


def test_texts_without_a_flagged_token_stay_fast(tmp_path: Path) -> None:
    settings = tokenizers.with_added(tokenizers.gpt_2(), tokenizers.added("<ph>", rstrip=True))
    tokenizer = TextTokenizer(tokenizers.write(settings, tmp_path))
    assert tokenizer.differences.strings == ("<ph>",)
    assert tokenizer.fast is not None


def changed(**changes: object) -> dict[str, object]:
    settings = tokenizers.gpt_2()
    return {**settings, **changes, "model": {**settings["model"], **changes.get("model", {})}}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (changed(model={"end_of_word_suffix": "</w>"}), "model.end_of_word_suffix"),
        (changed(pre_tokenizer=None), "it has no pre_tokenizer"),
        (
            changed(pre_tokenizer={**tokenizers.gpt_2()["pre_tokenizer"], "use_regex": False}),
            "pre_tokenizer.use_regex: false",
        ),
        (changed(normalizer={"type": "NFKC"}), "gigatoken cannot read it: Unsupported normalizer type: NFKC"),
    ],
)
def test_files_that_go_to_the_reference(settings: dict[str, object], reason: str, tmp_path: Path) -> None:
    tokenizer = TextTokenizer(tokenizers.write(settings, tmp_path))
    assert tokenizer.differences.whole == reason
    assert tokenizer.fast is None


def test_a_step_that_gigatoken_passes_over(tmp_path: Path) -> None:
    """It looks for regular expressions alone, so it would take this for GPT-2's."""
    settings = tokenizers.llama_3()
    steps = [{"type": "Digits", "individual_digits": True}, *settings["pre_tokenizer"]["pretokenizers"]]
    settings = {**settings, "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}
    tokenizer = TextTokenizer(tokenizers.write(settings, tmp_path))
    assert tokenizer.differences.whole == "pre_tokenizer: a step Digits"


# ---------------------------------------------------------------------------------------------------- shipped


def test_the_characters_of_every_splitting_in_use_are_shipped() -> None:
    """Else `python -m benchmarks.compared_characters` writes them."""
    assert {*shipped()} == {shipped_key(splitting) for splitting in tokenizers.splittings().values()}


def test_what_is_shipped_is_what_comparing_finds() -> None:
    splitting = tokenizers.splittings()["gpt_2"]
    assert of_runs(shipped()[shipped_key(splitting)]) == compare_splitting(splitting)


# ------------------------------------------------------------------------------------------------------- kept


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(known_differences, "_IN_PROCESS", {})
    tokenizers.write(tokenizers.gpt_2(), tmp_path)
    return tmp_path


def kept(folder: Path) -> TextTokenizer:
    return TextTokenizer(str(folder / "tokenizer.json"), folder=str(folder / "tokenizers"))


def test_the_outcome_is_kept_and_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = kept(folder).differences
    (file,) = (folder / "tokenizers").iterdir()
    assert 0x323B0 in found.characters
    assert found.characters[:3] == (0x88F, 0xC5C, 0xCDC)
    monkeypatch.setattr(known_differences, "_IN_PROCESS", {})
    monkeypatch.setattr(comparing, "compare", lambda *arguments: pytest.fail("compared again"))
    assert kept(folder).differences == found
    assert file.read_text().startswith('{"characters": [[2191, 2191], [3164, 3164], [3292, 3292], ')


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"characters": 1, "sha256": 2}', None])
def test_a_damaged_outcome_is_made_anew(folder: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = kept(folder).differences
    (file,) = (folder / "tokenizers").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"2191", b"2192") if content is None else content)
    monkeypatch.setattr(known_differences, "_IN_PROCESS", {})
    assert kept(folder).differences == found
    assert file.read_bytes() == whole


def test_other_versions_compare_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept(folder).differences.whole is None
    monkeypatch.setattr(known_differences, "version", lambda library: "99")
    assert kept(folder).differences.whole is None
    assert len([*(folder / "tokenizers").iterdir()]) == 2
