"""gigatoken, made of a checked tokenizer.json where it understands the file, and what it must not be asked.

```
added tokens of the file                                       gigatoken gets   texts with its name
<|endoftext|>   special, so a text that spells it stays text   no               to gigatoken
"    "          a run of spaces                                yes              to gigatoken
Acme            single_word                                    no               to the reference
```

gigatoken reads what it knows and ignores the rest of a file: flags of added tokens, pre-tokenizers beside those it
looks for, settings of the model. So a file is given to it only if it consists of what gigatoken is known to understand;
whether it then gives the same ids is found by comparing (`comparing`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gigatoken
import orjson
import tokenizers

from byline.transforms.tokens.token_bytes import ALPHABET
from byline.transforms.tokens.tokenizer_file import TokenizerFile

Fast = gigatoken.Tokenizer
# Bytes that are in no UTF-8.
_IN_NO_TEXT = frozenset((0xC0, 0xC1, *range(0xF5, 0x100)))
# Added tokens of these characters are the same before and after NFC, whatever stands beside them.
_INERT = frozenset(" \n\r\t!\"#$%&'()*+,-./0123456789:?@[\\]^_{|}~")
# Characters that NFC makes ASCII; by Unicode's stability policy there will be no others.
_BECOME_ASCII = {"\u212a": "K", "\u037e": ";", "\u1fef": "`"}


def is_byte_level(file: TokenizerFile) -> bool:
    """Whether tokens are bytes, as GPT-2's are, and not characters with a fallback to bytes, as Llama 2's."""
    return not file.model.get("byte_fallback")


def not_understood(file: TokenizerFile) -> str | None:
    """What of a file gigatoken would pass over or take for something else; None if there is no such thing."""
    model = file.model
    if model.get("type") != "BPE":
        return f"its model is {model.get('type') or 'of an old kind'}, not BPE"
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            return f"model.{key}"
    if is_byte_level(file):
        for name, byte in ALPHABET.items():
            if name not in model["vocab"] and byte not in _IN_NO_TEXT:
                return f"its vocabulary lacks the byte {byte:02X}"
        return _strange_pre_tokenizer(file.settings.get("pre_tokenizer"))
    return "model.ignore_merges with byte_fallback" if model.get("ignore_merges") else None


def _strange_pre_tokenizer(settings: Any) -> str | None:
    """Why a byte-level pre-tokenizer is none of those that gigatoken takes by its regular expressions."""
    if not isinstance(settings, Mapping):
        return "it has no pre_tokenizer"
    if settings.get("type") == "ByteLevel":
        return None if settings.get("use_regex", True) is True else "pre_tokenizer.use_regex: false"
    steps = settings.get("pretokenizers")
    if settings.get("type") != "Sequence" or not isinstance(steps, list) or len(steps) < 2:
        return f"pre_tokenizer.type: {settings.get('type')}"
    *splits, last = steps
    if last.get("type") != "ByteLevel" or last.get("use_regex", True) or last.get("add_prefix_space", True):
        return "a pre_tokenizer whose last step is no ByteLevel without a pattern and prefix"
    for step in splits:
        if step.get("type") != "Split" or "Regex" not in (step.get("pattern") or {}):
            return f"pre_tokenizer: a step {step.get('type')}"
        if (step.get("behavior"), step.get("invert")) not in (("Isolated", False), ("Removed", True)):
            return f"pre_tokenizer: Split with behavior {step.get('behavior')}"
    return None


def has_normalizer(settings: Mapping[str, Any]) -> bool:
    """Whether a text may be changed before it is split; a sequence of no normalizers changes nothing."""
    normalizer = settings.get("normalizer")
    return isinstance(normalizer, Mapping) and normalizer.get("normalizers") != []


def routed_by_names(file: TokenizerFile) -> tuple[set[str], set[str]] | str:
    """What gigatoken treats otherwise than the reference because of added tokens.

    Returns:
        Strings and characters with which a text goes to the reference; or why every text must.
    """
    strings: set[str] = set()
    characters: set[str] = set()
    plain = [token for token in file.added if not token["special"]]
    for token in plain:
        content = token["content"]
        has_flags = token["single_word"] or token["lstrip"] or token["rstrip"]
        # Such a token is looked for in the normalized text, which may spell it where the text itself does not.
        is_changed = token["normalized"] and has_normalizer(file.settings) and not _INERT.issuperset(content)
        if not has_flags and not (is_changed and is_byte_level(file)):
            continue
        strings.add(content)
        if is_changed and not (content.isascii() and (is_byte_level(file) or content.isalnum())):
            return f"added_tokens: {content!r} is looked for in the normalized text"
        if is_changed:
            characters |= {character for character, ascii_one in _BECOME_ASCII.items() if ascii_one in content}
    plain = [token for token in plain if token["content"] not in strings]
    return strings | _overlapping(file, plain), characters


def _overlapping(file: TokenizerFile, plain: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names that may overlap with those of plain tokens, and that the reference looks for at another time.

    It looks for special tokens, too, though it leaves them text, and for `normalized` ones after the others.
    """
    names = set()
    for is_normalized in (False, True):
        used = {character for token in plain if token["normalized"] == is_normalized for character in token["content"]}
        for token in file.added:
            is_later = token["normalized"] and not is_normalized and is_byte_level(file)
            if (token["special"] or is_later) and used.intersection(token["content"]):
                names.add(token["content"])
    return names


def fast_tokenizer(
    file: TokenizerFile, reference: tokenizers.Tokenizer, strings: frozenset[str]
) -> gigatoken.Tokenizer | str:
    """The tokenizer in gigatoken.

    Args:
        file: of which `not_understood` says nothing.
        reference: made of it.
        strings: names of added tokens that are left out, because texts with them go to the reference.

    Returns:
        It, or why gigatoken cannot read the file.
    """
    plain = (token for token in file.added if not token["special"] and token["content"] not in strings)
    with_ids = [{**token, "id": reference.token_to_id(token["content"])} for token in plain]
    added = [token for token in with_ids if token["id"] is not None]
    return fast_tokenizer_of({**file.settings, "added_tokens": added})


def fast_tokenizer_of(settings: Mapping[str, Any]) -> gigatoken.Tokenizer | str:
    """gigatoken's tokenizer of such settings, or why it cannot read them."""
    try:
        return gigatoken.Tokenizer.from_json(orjson.dumps(settings).decode())
    except (KeyboardInterrupt, SystemExit):
        raise
    # Among others a panic of pyo3, which is no Exception.
    except BaseException as error:
        # Its messages end with a line of its own source.
        message = " ".join(str(error).split("Location:")[0].split())
        return f"gigatoken cannot read it: {message[:200]}"
