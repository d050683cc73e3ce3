"""A `tokenizer.json`, checked before a library sees it, and as the libraries get it.

```
model.vocab {"a": 0, "b": 2147483647}    error: an id far beyond the number of tokens, whose embedding nobody has
model.dropout 0.1                        null: tokens are drawn at random with it, so there are no ids to agree on
added_tokens <|fim_middle|>              special: true where the configuration names it as a sentinel
truncation, padding, post_processor      null: the ids of a text have nothing to do with them
pre_tokenizer ByteLevel                  trim_offsets: true; use_regex: true where it is left out: one spelling for all
```

The libraries are written in Rust and give up on a wrong file in ways that Python cannot catch: they abort, or take all
memory. So the types and the bounds of everything that they read are checked here first. What cannot be checked so
(a regular expression, a table of characters in binary) is tried in a process of its own (`trial`).
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from byline.errors import BylineError
from byline.transforms.files.storage import read_bytes

# Gemma 3's file, of 262,144 tokens, is 33 MB.
MOST_BYTES = 1 << 29
# Ids may have gaps: a small vocabulary whose special tokens stand where a large one has them.
MOST_UNUSED_IDS = 1 << 18
_MOST_DEPTH = 64
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_MODELS = ("BPE", "WordPiece", "WordLevel", "Unigram")


@dataclass(frozen=True)
class TokenizerFile:
    """A tokenizer.json whose types and bounds are right.

    Attributes:
        uri: where it is.
        sha256: of the file.
        settings: as the libraries get them; not to be changed.
        dropout: the BPE dropout that the file asks for and that is not used; 0 if there is none.
        kept_text: names of added tokens that the file does not call special, and that no text becomes all the same.
    """

    uri: str
    sha256: str
    settings: Mapping[str, Any]
    dropout: float = 0.0
    kept_text: frozenset[str] = frozenset()

    @property
    def model(self) -> Mapping[str, Any]:
        return self.settings["model"]

    @property
    def added(self) -> list[Mapping[str, Any]]:
        """The added tokens, each with all its flags."""
        return self.settings["added_tokens"]

    @property
    def unknown_id(self) -> int | None:
        """The id of what the vocabulary does not have, if there is one."""
        if "unk_id" in self.model:
            return self.model["unk_id"]
        return self.model["vocab"].get(self.model.get("unk_token")) if isinstance(self.model["vocab"], dict) else None


def read_tokenizer_file(uri: str, text_only: Iterable[str] = ()) -> TokenizerFile:
    """Reads and checks a tokenizer.json.

    Args:
        uri: where it is.
        text_only: names of tokens that no text becomes, whether the file calls them special or not.

    Raises:
        BylineError: it cannot be read, or is no tokenizer.json.
    """
    return read_content(uri, read_bytes(uri), text_only)


def read_content(uri: str, content: bytes, text_only: Iterable[str] = ()) -> TokenizerFile:
    """Likewise, of a file that is read already."""
    try:
        return checked_file(uri, content, frozenset(text_only))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BylineError):
            raise
        reason = "its lists and mappings are nested too deeply" if isinstance(error, RecursionError) else str(error)
        refuse(uri, reason)


def refuse(uri: str, reason: str) -> NoReturn:
    """Raises the error for a file that is no usable tokenizer.json."""
    line = " ".join(reason.split())
    raise BylineError(f"{uri}: not a Hugging Face tokenizer.json ({line[:300]})") from None


def checked_file(uri: str, content: bytes, text_only: frozenset[str] = frozenset()) -> TokenizerFile:
    """The file with that content.

    Raises:
        ValueError: it is no tokenizer.json.
        RecursionError: it is nested more deeply than Python reads.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"{len(content):,} bytes, more than {MOST_BYTES:,}")
    settings = json.loads(content.decode(), parse_float=_finite, parse_constant=_no_constant)
    _check_depth(settings, _MOST_DEPTH)
    top = _mapping("the file", settings)
    model = _mapping("model", top.get("model"))
    kind = _kind(model)
    ids = _unigram_ids(model) if kind == "Unigram" else _ids(_mapping("model.vocab", model.get("vocab")))
    added = [_added_token(number, token) for number, token in enumerate(_list("added_tokens", top.get("added_tokens")))]
    _check_ids(ids, added)
    _check_model(kind, model)
    used = {
        **top,
        "added_tokens": [{**token, "special": token["special"] or token["content"] in text_only} for token in added],
        "model": {**model, "dropout": None} if kind == "BPE" else model,
        "pre_tokenizer": _spelled_out(top.get("pre_tokenizer")),
        "truncation": None,
        "padding": None,
        "post_processor": None,
        "decoder": None,
    }
    dropout = model.get("dropout") if kind == "BPE" else None
    kept_text = text_only & {token["content"] for token in added if not token["special"]}
    return TokenizerFile(uri, hashlib.sha256(content).hexdigest(), used, float(dropout or 0), kept_text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is too large a number")
    return value


def _check_depth(value: Any, remaining: int) -> None:
    if isinstance(value, (dict, list)):
        if remaining == 0:
            raise ValueError(f"its lists and mappings are nested more than {_MOST_DEPTH} deep")
        for item in value.values() if isinstance(value, dict) else value:
            # Vocabularies are large, and most of what is in them is no list.
            if isinstance(item, (dict, list)):
                _check_depth(item, remaining - 1)


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a mapping, found {_shown(value)}")
    return value


def _list(where: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list, found {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return repr(value) if value is None or isinstance(value, (bool, int, float)) else type(value).__name__


def _kind(model: dict[str, Any]) -> str:
    """The kind of the model; old files do not name it."""
    kind = model.get("type")
    if kind is None:
        kind = "Unigram" if "unk_id" in model else "WordPiece" if "max_input_chars_per_word" in model else "BPE"
    if kind not in _MODELS:
        raise ValueError(f"model.type: expected one of {', '.join(_MODELS)}, found {str(kind)[:40]!r}")
    return str(kind)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _ids(vocabulary: dict[str, Any]) -> dict[str, int]:
    for name, number in vocabulary.items():
        if not _is_whole(number) or number < 0:
            raise ValueError(f"model.vocab: the id of {name[:40]!r} is {_shown(number)[:40]}, not a whole number")
    return vocabulary


def _unigram_ids(model: dict[str, Any]) -> dict[str, int]:
    ids = {}
    pieces = _list("model.vocab", model.get("vocab"))
    for number, entry in enumerate(pieces):
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise ValueError(f"model.vocab: entry {number} is no list of a piece and its score")
        score = entry[1]
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not abs(score) < 1e30:
            raise ValueError(
                f"model.vocab: the score of {entry[0][:40]!r} is {_shown(score)[:40]}, not a usable number"
            )
        ids[entry[0]] = number
    unknown = model.get("unk_id")
    if unknown is not None and not (_is_whole(unknown) and 0 <= unknown < len(pieces)):
        raise ValueError(f"model.unk_id: {_shown(unknown)[:40]} is no number of a piece; there are {len(pieces):,}")
    return ids


def _spelled_out(step: Any) -> Any:
    """A pre-tokenizer, whose ByteLevel may leave out a setting, and has one that is for post-processors alone."""
    if not isinstance(step, dict):
        return step
    if isinstance(steps := step.get("pretokenizers"), list):
        return {**step, "pretokenizers": [_spelled_out(one) for one in steps]}
    if step.get("type") != "ByteLevel":
        return step
    always = {"trim_offsets": True} if isinstance(step.get("trim_offsets"), bool) else {}
    return {"use_regex": True, **step, **always}


def _added_token(number: int, token: Any) -> dict[str, Any]:
    where = f"added_tokens.{number}"
    token = _mapping(where, token)
    if not isinstance(token.get("content"), str):
        raise ValueError(f"{where}.content: expected text, found {_shown(token.get('content'))}")
    if not _is_whole(token.get("id")) or token["id"] < 0:
        raise ValueError(f"{where}.id: expected a whole number, found {_shown(token.get('id'))[:40]}")
    for flag in _FLAGS:
        if not isinstance(token.get(flag, False), bool):
            raise ValueError(f"{where}.{flag}: expected true or false, found {_shown(token[flag])}")
    return {**dict.fromkeys(_FLAGS, False), **token}


def _check_ids(ids: Mapping[str, int], added: list[dict[str, Any]]) -> None:
    """Bounds ids by the number of tokens, and refuses two tokens with one id."""
    contents = {token["content"] for token in added}
    if not ids and not contents:
        raise ValueError("model.vocab: there are no tokens")
    bound = len(ids.keys() | contents) + MOST_UNUSED_IDS
    largest = max(ids.items(), key=lambda item: item[1], default=("", 0))
    for name, number in (largest, *((token["content"], token["id"]) for token in added)):
        if number >= bound:
            count = len(ids.keys() | contents)
            raise ValueError(f"the token {name[:40]!r} has the id {str(number)[:40]}, but there are {count:,} tokens")
    if len({*ids.values()}) < len(ids):
        names: dict[int, str] = {}
        for name, number in ids.items():
            if number in names:
                raise ValueError(f"model.vocab: {names[number][:40]!r} and {name[:40]!r} have the same id {number}")
            names[number] = name


def _check_model(kind: str, model: dict[str, Any]) -> None:
    """The keys of a model whose wrong values abort a library instead of being refused by it."""
    for key in ("continuing_subword_prefix", "end_of_word_suffix", "unk_token"):
        if not isinstance(model.get(key), str | None):
            raise ValueError(f"model.{key}: expected text or null, found {_shown(model[key])}")
    for key in ("fuse_unk", "byte_fallback", "ignore_merges"):
        if not isinstance(model.get(key), bool | None):
            raise ValueError(f"model.{key}: expected true or false, found {_shown(model[key])}")
    dropout = model.get("dropout")
    if dropout is not None and (
        isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1
    ):
        raise ValueError(f"model.dropout: expected a number from 0 to 1, found {_shown(dropout)[:40]}")
    if kind == "BPE":
        for number, merge in enumerate(_list("model.merges", model.get("merges"))):
            parts = merge.split(" ") if isinstance(merge, str) else merge
            if not (isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts)):
                raise ValueError(f"model.merges: entry {number} is not two tokens")
