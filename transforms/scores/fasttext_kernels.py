"""One pass over the bytes of a document, as fastText reads it: text -> features -> sum of folded rows -> probabilities.

```
text         "\\u3000so  good\\x85"                  stripped and joined, see "Preparation"
tokens       so          good        </s>           split on fastText's white space, then the end-of-line token
hashes       h(so)       h(good)     h(</s>)        FNV-1a, 32 bits, bytes taken as signed
words        row 17      (unknown)   row 2          an unknown word has no row ...
bigrams      row W + (h(so) * M + h(good)) % B      ... but is part of n-grams (W words, B buckets)
             row W + (h(good) * M + h(</s>)) % B
logits       mean of the four rows, preceded by 0 for label 0
```

Tokens that are labels of the model, and unknown ones that begin with `__label__`, are not words and part of no n-gram.
A token `</s>` ends the document. A row holds the logits of labels 1, 2, ... minus the logit of label 0: adding the same
to all logits does not change a softmax, so one column fewer is enough.

Preparation: a classifier is trained on single lines, so a document counts as `" ".join(text.strip().splitlines())`. As
spaces are only separators, the pass gets the same tokens from the text itself: it skips Unicode white space at both
ends, and treats every line break of `str.splitlines` (\\n \\v \\f \\r \\x1c \\x1d \\x1e U+0085 U+2028 U+2029) as a
separator, besides fastText's own space, \\t and NUL.

Source of the definitions: fastText's `src/dictionary.cc` (hash, readWord, getLine, addWordNgrams) and `src/loss.cc`.

Two habits of the inner loops each double the speed: positions are uint64, because numba tests whether a signed index is
negative (they must never be added to a signed number, which would give a float); and small functions are forced inline,
because a call passes every array as seven words.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from byline.transforms.documents.white_space import strip

_TOKEN, _SEPARATOR, _LEAD = 0, 1, 2
_BYTE_KINDS = np.full(256, _TOKEN, np.uint8)
_BYTE_KINDS[list(b"\0\t\n\v\f\r \x1c\x1d\x1e")] = _SEPARATOR
_BYTE_KINDS[[0xC2, 0xE2]] = _LEAD  # the first byte of U+0085, U+2028 or U+2029, but of other characters too
_ZERO, _ONE, _TWO, _THREE, _EIGHT = (np.uint64(number) for number in (0, 1, 2, 3, 8))
_HASH_BITS, _ID_MASK, _ALL = np.uint64(32), np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFFFFFFFFFF)

_FNV_OFFSET, _FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)
_NGRAM_FACTOR = np.uint64(116049371)
_EOS = np.frombuffer(b"</s>", np.uint8)
_EOS_HEAD = np.uint64(int.from_bytes(b"</s>", "little"))  # as `_head` returns it
_LABEL_HEAD, _LABEL_LAST = np.uint64(int.from_bytes(b"__label_", "little")), ord("_")
_UNKNOWN, _NO_WORD = -1, -2  # instead of a word's id
# Tokens are split, then looked up, then summed in blocks of this size: many loads in flight, and buffers that stay in
# the L1 cache.
_BLOCK = 512


class Vocabulary(NamedTuple):
    """The dictionary of a model, an open-addressing hash table; words come first, then labels.

    Attributes:
        slots: uint64 [a power of two, 2], searched from `hash & (length - 1)` on: hash << 32 | (id + 1), or 0 if free,
            and the entry's first eight bytes (padded with zeros), which save most searches reading the spelling.
        offsets: int64 [entries + 1], where each entry begins in `spelling`.
        spelling: uint8, the bytes of all entries.
        words: how many entries are words.
    """

    slots: np.ndarray
    offsets: np.ndarray
    spelling: np.ndarray
    words: int


class _Tokens(NamedTuple):
    """Buffers for the tokens of a block: begin, end (uint64), hash (uint32), id, `_UNKNOWN` or `_NO_WORD` (int64)."""

    begins: np.ndarray
    ends: np.ndarray
    hashes: np.ndarray
    ids: np.ndarray


@njit(nogil=True, cache=True, forceinline=True)
def _add_byte(value: int, byte: int) -> int:
    return np.uint32((value ^ np.uint32(np.int8(byte))) * _FNV_PRIME)


@njit(nogil=True, cache=True)
def _hash(data: np.ndarray, begin: int, end: int) -> int:
    value = _FNV_OFFSET
    for i in range(begin, end):
        value = _add_byte(value, data[i])
    return value


@njit(nogil=True, cache=True, forceinline=True)
def _head(data: np.ndarray, begin: int, end: int) -> int:
    """The first eight bytes of `data[begin:end]` as a little-endian number, padded with zeros."""
    head = _ZERO
    if begin + _EIGHT > np.uint64(len(data)):
        for i in range(min(end - begin, _EIGHT)):
            head |= np.uint64(data[begin + np.uint64(i)]) << (_EIGHT * np.uint64(i))
        return head
    for i in range(8):  # the compiler unrolls this into one load
        head |= np.uint64(data[begin + np.uint64(i)]) << np.uint64(8 * i)
    missing = _EIGHT - min(end - begin, _EIGHT)
    return head & (_ALL >> (_EIGHT * missing)) if missing < _EIGHT else _ZERO


@njit(nogil=True, cache=True)
def scan_entries(data: np.ndarray, begin: int, count: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Finds the entries of a model file's dictionary: each a word, a zero byte, its count (8 bytes), its type (1 byte).

    Args:
        data: uint8, the file.
        begin: where the first entry begins.
        count: how many entries there are.

    Returns:
        int64 [count, 2] begin and end of each word, uint8 [count] types (0 word, 1 label), and the end of the last
        entry, or -1 if the file ends before it.
    """
    bounds = np.zeros((count, 2), np.int64)
    types = np.zeros(count, np.uint8)
    position = begin
    for entry in range(count):
        bounds[entry, 0] = position
        while position < len(data) and data[position] != 0:
            position += 1
        bounds[entry, 1] = position
        position += 10
        if position > len(data):
            return bounds, types, -1
        types[entry] = data[position - 1]
    return bounds, types, position


@njit(nogil=True, cache=True)
def join_entries(data: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`offsets` and `spelling` for a `Vocabulary`: the parts of `data` within `bounds` (int64 [entries, 2]), joined."""
    offsets = np.zeros(len(bounds) + 1, np.int64)
    for entry in range(len(bounds)):
        offsets[entry + 1] = offsets[entry] + bounds[entry, 1] - bounds[entry, 0]
    spelling = np.empty(offsets[-1], np.uint8)
    for entry in range(len(bounds)):
        for i in range(bounds[entry, 1] - bounds[entry, 0]):
            spelling[offsets[entry] + i] = data[bounds[entry, 0] + i]
    return offsets, spelling


@njit(nogil=True, cache=True)
def build_slots(offsets: np.ndarray, spelling: np.ndarray, slots: np.ndarray) -> None:
    """Fills `slots` of a `Vocabulary` (given all zeros, and more slots than entries)."""
    mask = np.uint64(len(slots) - 1)
    for entry in range(len(offsets) - 1):
        value = np.uint64(_hash(spelling, offsets[entry], offsets[entry + 1]))
        slot = value & mask
        while slots[slot, 0] != _ZERO:
            slot = (slot + _ONE) & mask
        slots[slot, 0] = (value << _HASH_BITS) | np.uint64(entry + 1)
        slots[slot, 1] = _head(spelling, np.uint64(offsets[entry]), np.uint64(offsets[entry + 1]))


@njit(nogil=True, cache=True, forceinline=True)
def _same(data: np.ndarray, begin: int, end: int, other: np.ndarray, start: int) -> bool:
    """Whether `data[begin:end]` equals as many bytes of `other` from `start` on; positions are uint64."""
    for i in range(end - begin):  # noqa: SIM110 (numba supports no generator in `all`)
        if data[begin + np.uint64(i)] != other[start + np.uint64(i)]:
            return False
    return True


@njit(nogil=True, cache=True, forceinline=True)
def _find_word(
    slots: np.ndarray,
    offsets: np.ndarray,
    spelling: np.ndarray,
    words: int,
    data: np.ndarray,
    begin: int,
    end: int,
    value: int,
    head: int,
) -> int:
    """The id of the word `data[begin:end]`, or `_UNKNOWN`, or `_NO_WORD` for one that counts as a label."""
    mask = np.uint64(len(slots) - 1)
    size = end - begin
    slot = np.uint64(value) & mask
    while slots[slot, 0] != _ZERO:
        if slots[slot, 0] >> _HASH_BITS == np.uint64(value) and slots[slot, 1] == head:
            entry = (slots[slot, 0] & _ID_MASK) - _ONE
            start = np.uint64(offsets[entry])
            # Words of fewer than eight bytes have no zero byte, so they are equal if their heads are.
            if size < _EIGHT or (
                np.uint64(offsets[entry + _ONE]) - start == size
                and _same(data, begin + _EIGHT, end, spelling, start + _EIGHT)
            ):
                return np.int64(entry) if np.int64(entry) < words else _NO_WORD
        slot = (slot + _ONE) & mask
    if head == _LABEL_HEAD and size > _EIGHT and data[begin + _EIGHT] == _LABEL_LAST:
        return _NO_WORD
    return _UNKNOWN


@njit(nogil=True, cache=True, forceinline=True)
def _line_break(data: np.ndarray, begin: int, end: int) -> int:
    """Bytes of the line break whose lead byte is at `begin`; 0 for another character. All uint64."""
    if data[begin] == 0xC2:
        return _TWO if begin + _ONE < end and data[begin + _ONE] == 0x85 else _ZERO
    third = begin + _TWO
    if third < end and data[begin + _ONE] == 0x80 and (data[third] == 0xA8 or data[third] == 0xA9):
        return _THREE
    return _ZERO


@njit(nogil=True, cache=True)
def _split(data: np.ndarray, start: int, end: int, tokens: _Tokens) -> tuple[int, int]:
    """Splits `data[start:end]` into at most `_BLOCK` tokens; returns their number and where to continue."""
    count, begin, position, value = _ZERO, start, start, _FNV_OFFSET
    while position < end and count < np.uint64(_BLOCK):
        kind = _BYTE_KINDS[data[position]]
        length = _line_break(data, position, end) if kind == _LEAD else _ONE
        if kind == _TOKEN or length == _ZERO:
            value = _add_byte(value, data[position])
            position += _ONE
            continue
        tokens.begins[count], tokens.ends[count], tokens.hashes[count] = begin, position, value
        count += np.uint64(position > begin)  # an empty token is overwritten by the next: saves a branch
        position += length
        begin, value = position, _FNV_OFFSET
    if position > begin:
        tokens.begins[count], tokens.ends[count], tokens.hashes[count] = begin, position, value
        count += _ONE
    return count, position


@njit(nogil=True, cache=True)
def _find_words(data: np.ndarray, tokens: _Tokens, count: int, vocabulary: Vocabulary) -> int:
    """Fills in the ids of the first `count` tokens; returns the number of tokens before the first `</s>`."""
    # Unpacked once a block: taking an array out of a tuple costs a reference count, too much for each token.
    slots, offsets, spelling, words = vocabulary
    begins, ends, hashes, ids = tokens
    for i in range(count):
        begin, end = begins[i], ends[i]
        head = _head(data, begin, end)
        if head == _EOS_HEAD:
            return np.uint64(i)
        ids[i] = _find_word(slots, offsets, spelling, words, data, begin, end, hashes[i], head)
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def _list_rows(tokens: _Tokens, count: int, words: int, bucket: int, chains: np.ndarray, rows: np.ndarray) -> int:
    """Lists the rows of the words and n-grams of the first `count` tokens; returns their number.

    `chains[0]` is how many words came before (at most n - 1), `chains[j]` the combined hash of the last j of them.
    """
    used, longest = 0, len(chains) - 1
    for i in range(count):
        if tokens.ids[i] == _NO_WORD:
            continue
        if tokens.ids[i] != _UNKNOWN:
            rows[used] = tokens.ids[i]
            used += 1
        token = np.uint64(np.int64(np.int32(tokens.hashes[i])))  # the library sign-extends it
        for j in range(np.int64(chains[0]), 0, -1):
            chain = chains[j] * _NGRAM_FACTOR + token
            rows[used] = words + np.int64(chain % np.uint64(bucket))
            used += 1
            if j < longest:
                chains[j + 1] = chain
        if longest > 0:
            chains[1] = token
            chains[0] = min(chains[0] + _ONE, np.uint64(longest))
    return used


@njit(nogil=True, cache=True)
def _add_rows(folded: np.ndarray, rows: np.ndarray, used: int, total: np.ndarray) -> None:
    if folded.shape[1] == 1:  # two labels: the sum stays in a register
        first = 0.0
        for i in range(used):
            first += folded[np.uint64(rows[i]), 0]
        total[0] += first
        return
    for i in range(used):
        row = folded[np.uint64(rows[i])]
        for column in range(len(total)):
            total[column] += row[column]


@njit(nogil=True, cache=True)
def _softmax(total: np.ndarray, count: int, out: np.ndarray) -> None:
    """The probabilities of one document; NaN if it has no features at all."""
    if count == 0:
        out[:] = np.nan
        return
    top = 0.0
    for column in range(len(total)):
        total[column] /= count
        top = max(top, total[column])
    mass = np.exp(-top)
    for column in range(len(total)):
        mass += np.exp(total[column] - top)
    out[0] = np.exp(-top) / mass
    for column in range(len(total)):
        out[column + 1] = np.exp(total[column] - top) / mass


@njit(nogil=True, cache=True)
def score_documents(
    data: np.ndarray,
    offsets: np.ndarray,
    vocabulary: Vocabulary,
    folded: np.ndarray,
    bucket: int,
    word_ngrams: int,
    out: np.ndarray,
) -> None:
    """Scores documents, reading each byte once.

    Args:
        data, offsets: uint8 and int64 [documents + 1], the buffers of an Arrow large_string array.
        vocabulary: the model's dictionary.
        folded: float32 [words + bucket (only words if `word_ngrams` is 1), labels - 1], the folded rows.
        bucket: how many n-gram buckets there are.
        word_ngrams: words of the longest n-gram, 1 or more.
        out: float32 [documents, labels], filled with the probability of each label.
    """
    room = _BLOCK + 1
    tokens = _Tokens(
        np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint32), np.empty(room, np.int64)
    )
    rows = np.empty(room * word_ngrams, np.int64)
    chains = np.zeros(word_ngrams, np.uint64)
    total = np.zeros(folded.shape[1], np.float64)
    slots, entry_offsets, spelling, words = vocabulary
    eos_hash, size = _hash(_EOS, 0, len(_EOS)), np.uint64(len(_EOS))
    eos = _find_word(slots, entry_offsets, spelling, words, _EOS, _ZERO, size, eos_hash, _EOS_HEAD)
    for document in range(len(offsets) - 1):
        begin, stop = strip(data, offsets[document], offsets[document + 1])
        position, end = np.uint64(begin), np.uint64(stop)
        total[:] = 0.0
        features, ended = 0, False
        chains[0] = _ZERO
        while not ended:
            split, position = _split(data, position, end, tokens)
            count = _find_words(data, tokens, split, vocabulary)
            ended = position == end or count < split
            if ended:
                tokens.hashes[count], tokens.ids[count] = eos_hash, eos
                count += _ONE
            used = _list_rows(tokens, count, words, bucket, chains, rows)
            _add_rows(folded, rows, used, total)
            features += used
        _softmax(total, features, out[document])
