"""Small tokenizers of the kinds in use, with normalizer, pre-tokenizer, model and added tokens of the published ones.

```python
KINDS["qwen_3"]()             # a tokenizer.json as plain values, of some hundred tokens
write(KINDS["gemma_3"](), tmp_path)
```
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from byline.transforms.tokens.comparing_characters import splitting_of
from byline.transforms.tokens.fast_tokenizer import is_byte_level
from byline.transforms.tokens.tokenizer_file import checked_file
from tests.support import small

Settings = dict[str, Any]
SENTENCES = (
    *small.SENTENCES,
    "Ein schöner Tag für Größe, naïve café — “quotes” …",
    "Это проверка, как режется текст на слова и числа 12345.",
    "中文字符测试,这是一个例子。日本語のテキストです。한국어 문장입니다.",
    "def f(x):\n    return x + 1  # add one\n\n\nclass A:\n\tpass\r\n",
    "مرحبا بالعالم हिन्दी भाषा ไทย 😀👨‍👩‍👧 e\u0301 ½ ² ①",
)
GPT_4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LETTERS = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
TEKKEN = LETTERS + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
)


def added(content: str, special: bool = False, **flags: bool) -> Settings:
    """An added token; the id follows from its place."""
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": 0, "content": content, **plain, "special": special, **flags}


def write(settings: Mapping[str, Any], folder: Path, name: str = "tokenizer.json") -> str:
    """Writes a tokenizer.json and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
    return str(folder / name)


def with_added(settings: Settings, *tokens: Settings) -> Settings:
    """The settings with further added tokens, each of which gets the next id."""
    known = [*settings["added_tokens"], *tokens]
    pieces = settings["model"]["vocab"]
    ids = {piece: at for at, (piece, _) in enumerate(pieces)} if isinstance(pieces, list) else dict(pieces)
    for token in known:
        ids.setdefault(token["content"], max(ids.values()) + 1)
    return {**settings, "added_tokens": [{**token, "id": ids[token["content"]]} for token in known]}


def byte_level(
    pre: pre_tokenizers.PreTokenizer, tokens: Sequence[Settings], normalizer: Any = None, ignore_merges: bool = False
) -> Settings:
    """A byte-level BPE."""
    made = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    made.pre_tokenizer = pre
    if normalizer is not None:
        made.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    made.train_from_iterator(SENTENCES, trainer)
    return with_added(json.loads(made.to_str()), *tokens)


def split(*patterns: str) -> pre_tokenizers.PreTokenizer:
    """Splits by regular expressions, then to bytes."""
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt_2() -> Settings:
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), [added("<|endoftext|>", True)])


def gpt_neox() -> Settings:
    spaces = [added(" " * length, normalized=True) for length in range(24, 1, -1)]
    tokens = [added("<|endoftext|>", True), added("<|padding|>", True), *spaces]
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), tokens, normalizers.NFC())


def llama_3() -> Settings:
    names = ("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|eot_id|>")
    return byte_level(split(GPT_4 + r"\p{N}{1,3}" + REST), [added(name, True) for name in names], ignore_merges=True)


def mistral() -> Settings:
    names = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[PREFIX]")
    return byte_level(split(TEKKEN), [added(name, True) for name in names])


def qwen_3() -> Settings:
    names = ("<tool_call>", "</tool_call>", "<think>", "</think>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
    tokens = [added(name, True) for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    return byte_level(split(GPT_4 + r"\p{N}" + REST), [*tokens, *map(added, names)], normalizers.NFC())


def deepseek_v3() -> Settings:
    tokens = [added("<｜begin▁of▁sentence｜>", True), added("<｜end▁of▁sentence｜>", True)]
    names = ("<｜User｜>", "<｜Assistant｜>", "<｜fim▁hole｜>", "<think>", "</think>")
    return byte_level(split(*DEEPSEEK), [*tokens, *map(added, names)], normalizers.Sequence([]))


@lru_cache(maxsize=1)
def _merges_of_characters() -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=500, show_progress=False))
    model = json.loads(made.to_str())["model"]
    return tuple(sorted(model["vocab"], key=model["vocab"].get)), tuple(map(tuple, model["merges"]))


def byte_fallback(tokens: Sequence[Settings], normalizer: Settings, pre_tokenizer: Settings | None) -> Settings:
    """A BPE of characters; one that is missing becomes its bytes."""
    names, merges = _merges_of_characters()
    pieces = [*(token["content"] for token in tokens), *(f"<0x{byte:02X}>" for byte in range(256)), *names]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None}
    model |= {"end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False}
    model |= {"vocab": vocabulary, "merges": [list(pair) for pair in merges]}
    made = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer}
    return with_added(
        {**made, "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": None, "model": model}, *tokens
    )


def llama_2() -> Settings:
    steps = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    tokens = [added(name, True, normalized=True) for name in ("<unk>", "<s>", "</s>")]
    return byte_fallback(tokens, {"type": "Sequence", "normalizers": steps}, None)


def gemma_3() -> Settings:
    tokens = [added(name, True) for name in ("<pad>", "<eos>", "<bos>", "<unk>")]
    names = ("<mask>", "[multimodal]", "<unused0>", "\n\n", "\n\n\n", "▁▁", "▁▁▁", "<table>", "</table>")
    pre = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return byte_fallback([*tokens, *map(added, names), added("<start_of_turn>", True)], replace, pre)


def word_piece() -> Settings:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=400, special_tokens=names, show_progress=False)
    )
    return json.loads(made.to_str())


def unigram() -> Settings:
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    names = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=names, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(SENTENCES, trainer)
    return json.loads(made.to_str())


FAST: dict[str, Callable[[], Settings]] = {
    kind.__name__: kind for kind in (gpt_2, gpt_neox, llama_2, llama_3, mistral, qwen_3, gemma_3, deepseek_v3)
}


def splittings() -> dict[str, str]:
    """Kind -> what it splits texts by, of the byte-level kinds; one kind for each such splitting."""
    files = {kind: checked_file(kind, json.dumps(make()).encode()) for kind, make in FAST.items()}
    kinds = {splitting_of(file.settings): kind for kind, file in files.items() if is_byte_level(file)}
    return {kind: splitting for splitting, kind in kinds.items()}


SLOW: dict[str, Callable[[], Settings]] = {kind.__name__: kind for kind in (word_piece, unigram)}
KINDS = {**FAST, **SLOW}
