"""A tokenizer file as Byline uses it: with gigatoken if possible, else with tokenizers; one is checked by the other.

```
text    "a <|endoftext|> b"                     a special token's name in a text stays text:
ids     a, Ġ<, |, end, of, text, |, >, Ġb       never the id of <|endoftext|>
```

gigatoken always turns the name of a special token into the token. So it gets the tokenizer without its special tokens
(added tokens that are not special, such as runs of spaces, stay); tokenizers gets all of it, and is told to treat the
names as text. Texts with characters that only gigatoken's Unicode tables know go to tokenizers (see `new_characters`).
When they are loaded, both must give the same ids for a set of awkward texts.
"""

import hashlib
import json
import re
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import gigatoken
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers

from byline.errors import BylineError
from byline.schemas import corpora
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.transforms.files.storage import read_bytes
from byline.transforms.tokens.new_characters import has_new_characters
from byline.transforms.tokens.token_bytes import TokenBytes, token_bytes

# tokenizers builds Python objects for every token, so it gets a few documents at a time.
_SLOW_SLICE = 256
_AWKWARD = (
    "Hello world, it's 1,234.5 o'clock\n\n\n  def f(x):\n\t\treturn x  \r\n",
    "e\u0301 \u00e9 \ufb01 \u212b \U0001f468\u200d\U0001f469\u200d\U0001f467 \u0e01\u0e33 \u4e2d\u6587 \u0410\u0301",
    "\u00a0\u2003x",
    " leading, trailing ",
    "      ",
    "\x00\x01\ufeff\ufffd <s> </s> [INST] <|im_start|> ▁x ##y Ġz",
)


class TextTokenizer:
    """Tokenizes texts of documents and prefixes without adding special tokens.

    Raises:
        BylineError: the file is not a `tokenizer.json`.
    """

    def __init__(self, file: str, library: str = "fastest", add: tuple[str, ...] = ()) -> None:
        content = read_bytes(file)
        self.file = file
        self.sha256 = hashlib.sha256(content).hexdigest()
        try:
            settings = json.loads(content)
            self.reference = tokenizers.Tokenizer.from_str(content.decode())
        # tokenizers raises a bare Exception for a file it cannot use.
        except Exception as error:
            raise BylineError(f"{file}: not a Hugging Face tokenizer.json ({' '.join(str(error).split())})") from None
        self.reference.encode_special_tokens = True
        self.reference.no_truncation()
        self.reference.no_padding()
        self.vocabulary: dict[str, int] = self.reference.get_vocab(with_added_tokens=True)
        self.vocab_size = max(self.vocabulary.values()) + 1
        self.added = self._add(add)
        self.special_names = [token["content"] for token in settings.get("added_tokens", ()) if token["special"]]
        self.fast = None if library == "tokenizers" else _fast_tokenizer(settings, self.reference)
        self.id_type = pa.uint16() if self.vocab_size <= 2**16 else pa.int32()
        self.id_dtype = np.dtype(np.uint16 if self.vocab_size <= 2**16 else np.int32)

    def _add(self, names: tuple[str, ...]) -> dict[str, int]:
        """Gives additional tokens the ids after the last one; text never becomes one of them."""
        for name in names:
            if name in self.vocabulary:
                raise BylineError(f"tokenizer.add: {self.file} has a token {name!r} already; leave it out")
        added = {name: self.vocab_size + number for number, name in enumerate(names)}
        self.vocabulary.update(added)
        self.vocab_size += len(names)
        return added

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Tokenizes texts.

        Args:
            texts: large_string [n] without nulls.

        Returns:
            Ids of all texts in order (uint16 or int32, see `id_type`), and offsets into them (int64 [n + 1]).
        """
        if len(texts) == 0:
            return np.zeros(0, self.id_dtype), np.zeros(1, np.int64)
        if self.fast is None:
            return self._encode_slowly(texts)
        layout = ak.to_packed(self.fast.encode_batch(ak.from_arrow(texts), parallel=False)).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        values = np.asarray(layout.content.data).astype(self.id_dtype)
        doubtful = np.flatnonzero(has_new_characters(texts))
        return (values, offsets) if len(doubtful) == 0 else self._replace(values, offsets, texts, doubtful)

    def _replace(
        self, values: np.ndarray, offsets: np.ndarray, texts: pa.Array, which: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and offsets with those of the texts in `which` replaced by the reference's."""
        replaced, starts = self._encode_slowly(texts.take(pa.array(which)))
        lengths, parts, end = np.diff(offsets), [], 0
        for number, index in enumerate(which):
            parts += [values[end : offsets[index]], replaced[starts[number] : starts[number + 1]]]
            lengths[index], end = starts[number + 1] - starts[number], offsets[index + 1]
        return np.concatenate([*parts, values[end:]]), np.concatenate([[0], np.cumsum(lengths)])

    def encode_by_reference(self, text: str) -> list[int]:
        """The ids that `tokenizers` gives for one text, which `encode` must agree with."""
        return self.reference.encode(text, add_special_tokens=False).ids

    def encode_marked_by_reference(
        self, text: str, loss: list[int] | None, special: list[int] | None
    ) -> tuple[list[int], list[int]]:
        """Ids of one document with spans, and 1 for each that is trained, by `tokenizers` and its offsets.

        Args:
            text: the document.
            loss, special: its spans, as in `byline.schemas.documents`.
        """
        ids: list[int] = []
        characters = [np.zeros((0, 2), np.int64)]
        for number, (start, stop) in enumerate(pairwise([0, *(special or ()), len(text)])):
            if number % 2 == 0:
                encoding = self._with_offsets.encode(text[start:stop], add_special_tokens=False)
                ids += encoding.ids
                characters.append(np.array(encoding.offsets, np.int64).reshape(-1, 2) + start)
            elif stop > start:
                ids.append(self.vocabulary[text[start:stop]])
                characters.append(np.array([[start, stop]]))
        is_trained = np.zeros(len(text) + 1, np.int64)
        spans = [0, len(text)] if loss is None else loss
        for low, high in zip(spans[::2], spans[1::2], strict=True):
            is_trained[low + 1 : high + 1] = 1
        before = np.cumsum(is_trained)
        starts, ends = np.concatenate(characters).T
        return ids, (before[ends] > before[starts]).astype(int).tolist()

    @cached_property
    def _with_offsets(self) -> tokenizers.Tokenizer:
        """The reference without its post-processor, which may leave the spaces before a word out of its offsets."""
        tokenizer = tokenizers.Tokenizer.from_str(
            json.dumps({**json.loads(self.reference.to_str()), "post_processor": None})
        )
        tokenizer.encode_special_tokens = True
        return tokenizer

    @cached_property
    def token_bytes(self) -> TokenBytes:
        """The bytes that each token stands for; takes a fifth of a second, and only loss spans need it."""
        added = {token.content for token in self.reference.get_added_tokens_decoder().values()}
        return token_bytes(self.vocabulary, added)

    def _encode_slowly(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        parts, lengths = [], []
        for start in range(0, len(texts), _SLOW_SLICE):
            documents = texts.slice(start, _SLOW_SLICE).to_pylist()
            for encoding in self.reference.encode_batch_fast(documents, add_special_tokens=False):
                parts.append(np.array(encoding.ids, self.id_dtype))
                lengths.append(len(parts[-1]))
        return np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def count_special_text(self, texts: pa.Array) -> int:
        """How often the names of special tokens occur in the texts."""
        if not self.special_names:
            return 0
        pattern = "|".join(
            re.sub(r"([^A-Za-z0-9_])", r"\\\1", name) for name in sorted(self.special_names, reverse=True)
        )
        # Finding the few texts that have one first is ten times faster than counting in all of them.
        matching = texts.filter(pc.match_substring_regex(texts, pattern))
        return pc.sum(pc.count_substring_regex(matching, pattern)).as_py() or 0


def _fast_tokenizer(settings: dict[str, Any], reference: tokenizers.Tokenizer) -> gigatoken.Tokenizer | None:
    """The tokenizer in gigatoken, or None if it cannot read it or disagrees about the awkward texts."""
    plain = {
        **settings,
        "added_tokens": [token for token in settings.get("added_tokens", ()) if not token["special"]],
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }
    try:
        fast = gigatoken.Tokenizer.from_json(json.dumps(plain))
        ids = fast.encode_batch_list(list(_AWKWARD), parallel=False)
    except (ValueError, RuntimeError, NotImplementedError, KeyError, TypeError):
        return None
    expected = [encoding.ids for encoding in reference.encode_batch(list(_AWKWARD), add_special_tokens=False)]
    return fast if ids == expected else None


def tokenizer_info(tokenizer: TextTokenizer, settings: corpora.Tokenizer) -> TokenizerInfo:
    """Finds the configured special tokens.

    Raises:
        BylineError: the tokenizer has no such token, or no token is configured that could serve as padding.
    """
    ids = {key: _token_id(tokenizer, key, getattr(settings, key)) for key in ("bos", "eos", "pad")}
    pad = next((ids[key] for key in ("pad", "eos", "bos") if ids[key] is not None), None)
    if pad is None:
        raise BylineError("tokenizer: give one of pad, eos and bos; the rest of a sequence is filled with it")
    return TokenizerInfo(
        Path(settings.file).stem,
        tokenizer.sha256,
        tokenizer.vocab_size,
        ids["bos"],
        ids["eos"],
        pad,
        tokenizer.added,
    )


def _token_id(tokenizer: TextTokenizer, key: str, name: str | None) -> int | None:
    return None if name is None else token_id(tokenizer, f"tokenizer.{key}", name)


def token_id(tokenizer: TextTokenizer, where: str, name: str) -> int:
    """The id of a token that the configuration names.

    Raises:
        BylineError: there is no token of this name; the message says how to add one.
    """
    if name not in tokenizer.vocabulary:
        special = ", ".join(repr(token) for token in tokenizer.special_names[:10]) or "none"
        raise BylineError(
            f"{where}: {tokenizer.file} has no token {name!r}; its special tokens are: {special}. To add it, list it "
            f"under tokenizer.add: its id is then {tokenizer.vocab_size}, for which the model's embedding needs a row"
        )
    return tokenizer.vocabulary[name]


@lru_cache(maxsize=4)
def _load(file: str, library: str, add: tuple[str, ...]) -> TextTokenizer:
    return TextTokenizer(file, library, add)


def shared_tokenizer(settings: corpora.Tokenizer) -> TextTokenizer:
    """The process's only copy of a tokenizer: loading takes a second, and its word cache warms up with use."""
    return _load(settings.file, settings.library, tuple(settings.add))
