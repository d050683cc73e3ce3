"""Tokenizers small enough for small models: a table of embeddings for 32,000 tokens has more numbers than they do.

```
write_byte_tokenizer    12+34=46       1 2 + 3 4 = 4 6                  one token a byte, so digits stay single
train_bpe, size 2048    was born in    was, Ġborn, Ġin                  merges of bytes that are frequent in the texts
```

Both are files of Hugging Face `tokenizers`, read any UTF-8 text, and have one special token, `<|endoftext|>`, for both
ends of a document; it has id 0. The same texts in the same order give the same file.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKEN = "<|endoftext|>"


def write_byte_tokenizer(path: Path) -> None:
    """Writes a tokenizer of 256 bytes and the special token."""
    vocab = {token: number for number, token in enumerate([SPECIAL_TOKEN, *_alphabet()])}
    tokenizer = _byte_level(models.BPE(vocab=vocab, merges=[]))
    tokenizer.add_special_tokens([SPECIAL_TOKEN])
    tokenizer.save(str(path))


def train_bpe(path: Path, texts: Iterable[str], size: int) -> None:
    """Writes a byte-level BPE.

    Args:
        path: the file.
        texts: what merges are counted in.
        size: tokens in all, at least 257; fewer where the texts have no more pairs.
    """
    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[SPECIAL_TOKEN], initial_alphabet=_alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))


def _byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _alphabet() -> list[str]:
    """The characters that stand for bytes; sorted, as `tokenizers` gives them in another order each time."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())
