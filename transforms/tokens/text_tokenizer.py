"""A tokenizer file as Byline uses it: with gigatoken where that gives the same ids, else with tokenizers.

```
text    "a <|endoftext|> b"                     a special token's name in a text stays text:
ids     a, Ġ<, |, end, of, text, |, >, Ġb       never the id of <|endoftext|>
```

The ids are those of `tokenizers`, always. gigatoken is much faster and gives the same ones for most tokenizers
and most texts; which texts must go to `tokenizers` is found by comparing the two, once for a file (`comparing`). Both
leave the names of special tokens text, and those of the tokens that the configuration names: gigatoken gets a tokenizer
without them, `tokenizers` is told so.
"""

import re
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from byline.errors import BylineError
from byline.schemas import corpora
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.transforms.tokens.differences import Differences
from byline.transforms.tokens.known_differences import known_differences
from byline.transforms.tokens.reference_tokenizer import encode, encodings, load_reference
from byline.transforms.tokens.text_scanner import TextScanner
from byline.transforms.tokens.token_bytes import TokenBytes, token_bytes
from byline.transforms.tokens.tokenizer_file import read_tokenizer_file
from byline.transforms.tokens.trial import try_out

if TYPE_CHECKING:
    import gigatoken

# Up to this size, a list of strings costs less than the millisecond in which awkward takes in any array.
_FEW_BYTES = 64 << 10
# Prefixes that tokenizers is done with before gigatoken and awkward are loaded, which takes 0.2 s and 35 MB.
_FEW_PREFIXES = 4096
# tokenizers builds Python objects for every token, so it gets a few documents at a time.
_SLOW_SLICE = 256


class TextTokenizer:
    """Tokenizes texts of documents and prefixes without adding special tokens.

    Args:
        file: the location of a `tokenizer.json`.
        library: as `byline.schemas.corpora.Tokenizer` has it, like the other arguments.
        add: names of further tokens.
        text_only: names of tokens that no text becomes, beside the special ones.
        folder: where it is kept what comparing the libraries found; None to compare in every process.

    Raises:
        BylineError: the file is not a `tokenizer.json`, or names in `text_only` an ordinary piece of texts.
    """

    def __init__(
        self,
        file: str,
        library: str = "fastest",
        add: tuple[str, ...] = (),
        text_only: tuple[str, ...] = (),
        folder: str | None = None,
    ) -> None:
        self.file = file
        checked = read_tokenizer_file(file, text_only)
        self.sha256, self.dropout = checked.sha256, checked.dropout
        try_out(checked, folder)
        loaded = load_reference(checked, text_only)
        self.reference, self.vocabulary = loaded.tokenizer, loaded.vocabulary
        self.vocab_size = max(self.vocabulary.values()) + 1
        self.added = self._add(add)
        # Names that stay text, and those that a text becomes.
        self.special_names = [token["content"] for token in checked.added if token["special"] and token["content"]]
        self.plain_names = frozenset(token["content"] for token in checked.added if not token["special"])
        # Those that texts would become if the configuration did not name them.
        self.kept_text = tuple(sorted(checked.kept_text | loaded.renamed))
        self._file, self._library, self._folder = loaded.file, library, folder
        self._prefixes = 0
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

    @cached_property
    def differences(self) -> Differences:
        """Which texts go to tokenizers; comparing takes some seconds, once for a file in a token store."""
        if self._library == "tokenizers":
            return Differences(whole="tokenizer.library: tokenizers")
        return known_differences(self._file, self.reference, self._folder)

    @cached_property
    def fast(self) -> "gigatoken.Tokenizer | None":
        """gigatoken, for all texts without one of the differences; None if it is of no use for this file."""
        if self.differences.whole is not None:
            return None
        # Here, where a text is tokenized: most commands need no more than the ids of some names, and it loads awkward.
        from byline.transforms.tokens.fast_tokenizer import fast_tokenizer

        fast = fast_tokenizer(self._file, self.reference, frozenset(self.differences.strings))
        return None if isinstance(fast, str) else fast

    def goes_to_reference(self, texts: pa.Array) -> np.ndarray:
        """bool [n]: which texts have something that the libraries differ about, if not all go to tokenizers."""
        return self._doubtful.contains(texts)

    @cached_property
    def _doubtful(self) -> TextScanner:
        return self.differences.scanner()

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Tokenizes texts.

        Args:
            texts: large_string [n] without nulls.

        Returns:
            Ids of all texts in order (uint16 or int32, see `id_type`), and offsets into them (int64 [n + 1]).
        """
        if len(texts) == 0:
            return np.zeros(0, self.id_dtype), np.zeros(1, np.int64)
        fast = self.fast
        if fast is None:
            return self._encode_slowly(texts)
        doubtful = np.flatnonzero(self.goes_to_reference(texts))
        if 2 * len(doubtful) > len(texts):
            return self._encode_slowly(texts)
        layout = fast.encode_batch(_documents(texts), parallel=False).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        values = np.asarray(layout.content.data)[offsets[0] : offsets[-1]].astype(self.id_dtype)
        offsets = offsets - offsets[0]
        return (values, offsets) if len(doubtful) == 0 else self._replace(values, offsets, texts, doubtful)

    def encode_prefixes(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """As `encode`, for short texts, of which there may be a handful: a process has its first ones of tokenizers."""
        self._prefixes += len(texts)
        return self._encode_slowly(texts) if 0 < self._prefixes <= _FEW_PREFIXES else self.encode(texts)

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
        return encode(self.file, self.reference, [text])[0]

    def encode_all_by_reference(self, texts: pa.Array) -> list[list[int]]:
        """Likewise, for each of some texts."""
        return encode(self.file, self.reference, texts.to_pylist())

    def encode_marked_by_reference(
        self, text: str, loss: list[int] | None, special: list[int] | None, weights: list[float] | None = None
    ) -> tuple[list[int], list[float]]:
        """Ids of one document with spans, and the weight of each, 0 for one that is not trained, by `tokenizers`.

        Args:
            text: the document.
            loss, special: its spans, as in `byline.schemas.documents`.
            weights: the weight of each loss span, or of all of the text; without them 1.
        """
        ids: list[int] = []
        characters = [np.zeros((0, 2), np.int64)]
        for number, (start, stop) in enumerate(pairwise([0, *(special or ()), len(text)])):
            if number % 2 == 0:
                (encoding,) = encodings(self.file, self.reference, [text[start:stop]], with_offsets=True)
                ids += encoding.ids
                characters.append(np.array(encoding.offsets, np.int64).reshape(-1, 2) + start)
            elif stop > start:
                ids.append(self.vocabulary[text[start:stop]])
                characters.append(np.array([[start, stop]]))
        spans = [0, len(text)] if loss is None else loss
        of_characters = np.zeros(len(text) + 1)
        for number, (low, high) in enumerate(zip(spans[::2], spans[1::2], strict=True)):
            of_characters[low:high] = 1 if weights is None else weights[number]
        borders = np.concatenate(characters)
        heaviest = np.maximum.reduceat(of_characters, borders.reshape(-1))[::2]
        return ids, np.where(borders[:, 0] < borders[:, 1], heaviest, 0).tolist()

    @cached_property
    def token_bytes(self) -> TokenBytes:
        """The bytes that each token stands for; takes a fifth of a second, and only loss spans need it."""
        return token_bytes(self.vocabulary, {*self.special_names, *self.plain_names})

    def _encode_slowly(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        parts, lengths = [], []
        for start in range(0, len(texts), _SLOW_SLICE):
            documents = texts.slice(start, _SLOW_SLICE).to_pylist()
            for ids in encode(self.file, self.reference, documents):
                parts.append(np.array(ids, self.id_dtype))
                lengths.append(len(ids))
        return np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def count_special_text(self, texts: pa.Array) -> int:
        """How often the names of special tokens occur in the texts."""
        names = tuple(self.special_names)
        if not names:
            return 0
        scanner, pattern = _special_text(names)
        # Finding the few texts that have one first is far faster than counting in all of them.
        matching = texts.filter(pa.array(scanner.contains(texts)))
        return sum(len(pattern.findall(text)) for text in matching.to_pylist())


@lru_cache(maxsize=4)
def _special_text(names: tuple[str, ...]) -> tuple[TextScanner, re.Pattern[str]]:
    """What finds texts with one of the names, and each of these from left to right, the longest first."""
    return TextScanner(strings=names), re.compile("|".join(map(re.escape, sorted(names, reverse=True))))


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
def _load(
    file: str, library: str, add: tuple[str, ...], text_only: tuple[str, ...], folder: str | None
) -> TextTokenizer:
    return TextTokenizer(file, library, add, text_only, folder)


def shared_tokenizer(settings: corpora.Tokenizer) -> TextTokenizer:
    """The process's only copy of a tokenizer: loading takes a second, and its word cache warms up with use."""
    return _load(settings.file, settings.library, tuple(settings.add), settings.text_only, settings.folder)


def _documents(texts: pa.Array) -> Any:
    """Texts as gigatoken takes them."""
    if texts.nbytes <= _FEW_BYTES:
        return texts.to_pylist()
    import awkward

    return awkward.from_arrow(_unmasked(texts))


def _unmasked(texts: pa.Array) -> pa.Array:
    """Texts, none of them null, without a bitmap that says so: of a slice with one, gigatoken reads beyond its end."""
    _, offsets, data = texts.buffers()
    return pa.Array.from_buffers(texts.type, len(texts), [None, offsets, data], null_count=0, offset=texts.offset)
