"""`tokenizers`, whose ids are the reference, made of a checked file; the names of special tokens are text to it.

It does not look for the name of a special token in a text. But some models have the name as an ordinary piece, which a
text then becomes all the same. Where such a token is one that no text may become, the piece gets a name that no text
has:

```
Unigram pieces ▁a, </s>, x    text "a</s>"    ids ▁a, </s>       eos: </s> in the configuration    ▁a, <unk>
```
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import tokenizers

from byline.errors import BylineError
from byline.transforms.tokens.tokenizer_file import TokenizerFile, refuse


@dataclass(frozen=True)
class Reference:
    """A file in the reference.

    Attributes:
        file: the file, with names that no text has where that is needed.
        tokenizer: made of it.
        vocabulary: name, as the file has it -> id, as the reference gives it.
        renamed: names, as the file has them, of the pieces that have another one here, so texts get other ids.
    """

    file: TokenizerFile
    tokenizer: tokenizers.Tokenizer
    vocabulary: dict[str, int]
    renamed: frozenset[str] = frozenset()


def load_reference(file: TokenizerFile, text_only: Iterable[str] = ()) -> Reference:
    """The reference, which no text brings to give the id of a token in `text_only`.

    Raises:
        BylineError: `tokenizers` cannot use the file, or a name of `text_only` is an ordinary piece of texts.
    """
    tokenizer = tokenizer_of(file.uri, file.settings)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    renamed = {name: _no_text(name) for name in text_only if _is_reached(file, tokenizer, vocabulary, name)}
    if not renamed:
        return Reference(file, tokenizer, vocabulary)
    added = {token["content"] for token in file.added}
    for name in renamed:
        if name not in added:
            raise BylineError(
                f"{file.uri}: {name!r}, which the configuration names, is an ordinary piece that texts become; "
                "name one of the added tokens, or add one with tokenizer.add"
            )
    file = replace(file, settings=_with_names(file.settings, renamed))
    originals = {new: name for name, new in renamed.items()}
    tokenizer = tokenizer_of(file.uri, file.settings)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    vocabulary = {originals.get(name, name): number for name, number in vocabulary.items()}
    return Reference(file, tokenizer, vocabulary, frozenset(renamed))


def tokenizer_of(uri: str, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """A tokenizer of checked settings.

    Raises:
        BylineError: `tokenizers` cannot use them.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_str(orjson.dumps(settings).decode())
    except (KeyboardInterrupt, SystemExit):
        raise
    # A bare Exception; or a panic of pyo3, which is no Exception.
    except BaseException as error:
        refuse(uri, str(error))
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(uri: str, tokenizer: tokenizers.Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of some texts, without special tokens; arguments and errors as `encodings`."""
    return [encoding.ids for encoding in encodings(uri, tokenizer, texts)]


def encodings(
    uri: str, tokenizer: tokenizers.Tokenizer, texts: Sequence[str], *, with_offsets: bool = False
) -> list[tokenizers.Encoding]:
    """What the reference makes of some texts, without special tokens.

    Args:
        uri: of its file, for messages.
        tokenizer: the reference.
        texts: any.
        with_offsets: whether the characters of each token are needed, which takes longer.

    Raises:
        BylineError: `tokenizers` gives up on a text, as a regular expression may make it do.
    """
    try:
        if with_offsets:
            return tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if len(texts) > 1:
            # Finds the text, or gives the ids after all.
            return [encodings(uri, tokenizer, [text], with_offsets=with_offsets)[0] for text in texts]
        raise BylineError(
            f"{uri}: tokenizers gives up on a text of {len(texts[0]):,} characters that begins with {texts[0][:40]!r} "
            f"({' '.join(str(error).split())[:120]}); correct its normalizer or pre_tokenizer, or drop the text"
        ) from None


def _is_reached(file: TokenizerFile, tokenizer: tokenizers.Tokenizer, vocabulary: Mapping[str, int], name: str) -> bool:
    """Whether a text that spells the name becomes the token; that of unknown text is one that texts must become."""
    if name not in vocabulary or vocabulary[name] == file.unknown_id:
        return False
    texts = [name, f" {name} ", f"a{name}b", f".{name}."]
    return any(vocabulary[name] in ids for ids in encode(file.uri, tokenizer, texts))


def _no_text(name: str) -> str:
    """A name of characters that stand for nothing in Unicode."""
    return f"\ufdd0{hashlib.sha256(name.encode()).hexdigest()[:16]}\ufdd1"


def _with_names(settings: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """The settings with other names for some tokens, and without the merges that make these."""
    model = dict(settings["model"])
    if isinstance(model["vocab"], list):
        model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {renamed.get(name, name): number for name, number in model["vocab"].items()}
    if "merges" in model:
        parts = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        model["merges"] = [pair for pair in parts if not renamed.keys() & {"".join(pair), *pair}]
    added = [
        {**token, "content": renamed.get(token["content"], token["content"])} for token in settings["added_tokens"]
    ]
    return {**settings, "model": model, "added_tokens": added}
