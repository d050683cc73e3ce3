"""A byte-level tokenizer made here, and what a manifest and a configuration say of it."""

import hashlib
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tests.support.shards import CONFIG, TOKENIZER

IDS = {"bos_id": 257, "eos_id": 258, "pad_id": 258}


def byte_tokenizer(file: Path) -> Tokenizer:
    """A byte-level tokenizer of 256 bytes, the merge `he`, and `<s>`, `</s>` (ids 257, 258); written to `file`."""
    vocabulary = {character: n for n, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))} | {"he": 256}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("h", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in ("<s>", "</s>")])
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding()
    tokenizer.save(str(file))
    return Tokenizer.from_file(str(file))


def settings_of(file: Path) -> dict[str, Any]:
    """The tokenizer's part of a manifest, and a configuration that names its file."""
    info = {**TOKENIZER, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), **IDS}
    return {"tokenizer": info, "config": {**CONFIG, "tokenizer": {"file": str(file), "bos": "<s>", "eos": "</s>"}}}
