"""A fastText classifier's probabilities, the slow and obvious way: from its library, and in plain Python and float64.

```
text -> prepared line -> tokens -> rows of words and n-grams -> mean -> output matrix -> softmax
```
"""

import fasttext
import numpy as np

SHIFT = 1e-5  # the library gives exp(log(p + 1e-5))
MASK = 2**64 - 1


def prepared(text):
    return " ".join(text.strip().splitlines())


def library_probabilities(path, texts, shift=SHIFT):
    """Float64 [texts, labels], text by text; NaN where the library gives nothing."""
    library = fasttext.load_model(str(path))
    probabilities = np.full((len(texts), len(library.get_labels())), np.nan)
    for row, text in enumerate(texts):
        if text is not None:
            for label, value in zip(*library.predict(prepared(text), k=-1), strict=True):
                probabilities[row, library.get_labels().index(label)] = value - shift
    return probabilities


def fnv(token):
    value = 2166136261
    for byte in token:
        signed = byte - 256 if byte > 127 else byte
        value = ((value ^ (signed % 2**32)) * 16777619) % 2**32
    return value


def signed_hash(token):
    value = fnv(token)
    return (value - 2**32 if value >= 2**31 else value) & MASK


class PlainModel:
    """A softmax model without subwords, taken from the library and computed in float64."""

    def __init__(self, path):
        library = fasttext.load_model(str(path))
        args = library.f.getArgs()
        self.ngrams, self.bucket = args.wordNgrams, args.bucket
        self.ids = {word.encode(): number for number, word in enumerate(library.get_words())}
        self.labels = [label.encode() for label in library.get_labels()]
        self.input = library.get_input_matrix().astype(np.float64)
        self.output = library.get_output_matrix().astype(np.float64)

    def words(self, text):
        line = prepared(text).encode()
        for space in b"\t\v\f\r\0":
            line = line.replace(bytes([space]), b" ")
        tokens = [token for token in line.split(b" ") if token]
        if b"</s>" in tokens:
            tokens = tokens[: tokens.index(b"</s>")]
        known = [t for t in tokens if t in self.ids or not (t in self.labels or t.startswith(b"__label__"))]
        return [*known, b"</s>"]

    def rows(self, text):
        words = self.words(text)
        rows = [self.ids[word] for word in words if word in self.ids]
        for first in range(len(words)):
            value = signed_hash(words[first])
            for word in words[first + 1 : first + self.ngrams]:
                value = (value * 116049371 + signed_hash(word)) & MASK
                rows.append(len(self.ids) + value % self.bucket)
        return rows

    def probabilities(self, text):
        rows = self.rows(text)
        if not rows:
            return np.full(len(self.labels), np.nan)
        logits = self.output @ self.input[rows].mean(axis=0)
        mass = np.exp(logits - logits.max())
        return mass / mass.sum()
