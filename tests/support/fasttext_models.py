"""Tiny fastText classifiers for tests, trained in a few hundredths of a second each.

```python
path = train(tmp_path, "two", labels=2, wordNgrams=2)      # tmp_path/two.bin, labels __label__0 and __label__1
path = train(tmp_path, "small", quantize={"qnorm": True})  # a quantized one
```
"""

import fasttext

# Known words of 1 to 17 bytes; some are prefixes of others, around the eight bytes that are compared first.
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


def write_examples(path, labels, prefix="__label__", lines=240):
    """Writes examples in which each label prefers some of the words."""
    with open(path, "w") as file:
        for line in range(lines):
            preferred = [WORDS[(line * 7 + step * (line % labels + 1)) % len(WORDS)] for step in range(12)]
            file.write(f"{prefix}{line % labels} {' '.join(preferred)} {WORDS[line % labels % len(WORDS)]}\n")


def train(folder, name, labels=2, prefix="__label__", quantize=None, lines=240, **settings):
    examples, path = str(folder / f"{name}.txt"), str(folder / f"{name}.bin")
    write_examples(examples, labels, prefix, lines)
    shape = {"dim": 16, "bucket": 2000, "epoch": 30, "lr": 0.5, "minCount": 1, "thread": 1, "verbose": 0, **settings}
    model = fasttext.train_supervised(examples, label=prefix, **shape)
    if quantize is not None:
        model.quantize(examples, verbose=0, thread=1, **quantize)
    model.save_model(path)
    return path
