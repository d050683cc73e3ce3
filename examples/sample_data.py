"""Small data for the examples: JSON lines, a tokenizer trained on them, and a fastText classifier."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

import fasttext
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

EOS = "<|endoftext|>"
GOOD = ["simmer", "the", "onions", "gently", "until", "they", "are", "soft", "and", "golden", "then", "add", "stock"]
BAD = ["click", "here", "buy", "now", "free", "offer", "subscribe", "best", "price", "hurry"]


def write_documents(folder: Path, files: int = 2, count: int = 100) -> None:
    """`part-N.jsonl` with a title, a URL and a text in each line; some texts are advertisements, some empty."""
    chance = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        lines = []
        for row in range(count):
            words = chance.choice([GOOD, GOOD, BAD])
            text = " ".join(chance.choice(words) for _ in range(chance.randrange(40)))
            section = chance.choice(["soups", "bread", "sweets"])
            url = f"https://kitchen{row % 3}.example/{section}/{number}-{row}"
            lines.append(json.dumps({"title": f"Dish {row}", "url": url, "text": text and f"{text.capitalize()}."}))
        (folder / f"part-{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tokenizer(file: Path, texts: Iterable[str]) -> None:
    """A byte-level BPE of 400 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[EOS], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(file))


def write_classifier(file: Path) -> None:
    """Tells recipes (`__label__recipe`) from advertisements (`__label__ad`)."""
    chance = random.Random(1)
    examples = file.with_suffix(".txt")
    with examples.open("w") as sink:
        for label, words in [("recipe", GOOD), ("ad", BAD)] * 200:
            sink.write(f"__label__{label} {' '.join(chance.choice(words) for _ in range(12))}\n")
    model = fasttext.train_supervised(str(examples), dim=8, epoch=5, bucket=1000, thread=1, verbose=0, minCount=1)
    model.save_model(str(file))
