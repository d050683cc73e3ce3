"""The rules of `filter`, one text at a time in plain Python, as docs/filters.md defines them.

```
measure("gopher_words", {}, "One two.")       2
reason([("gopher_words", {})], document)      "filter_gopher_words"
```
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
MARKS = ".!?\"'”’。！？"
PUBLISHED: dict[str, Settings] = {
    "gopher_words": {"at_least": 50, "at_most": 100_000},
    "gopher_word_length": {"at_least": 3, "at_most": 10},
    "gopher_hashes": {"at_most": 0.1},
    "gopher_ellipses": {"at_most": 0.1},
    "gopher_bullet_lines": {"at_most": 0.9},
    "gopher_ellipsis_lines": {"at_most": 0.3},
    "gopher_alphabetic_words": {"at_least": 0.8},
    "gopher_stop_words": {"at_least": 2},
    "gopher_duplicate_lines": {"at_most": 0.3},
    "gopher_duplicate_paragraphs": {"at_most": 0.3},
    "gopher_duplicate_line_characters": {"at_most": 0.2},
    "gopher_duplicate_paragraph_characters": {"at_most": 0.2},
    "gopher_top_2_gram": {"at_most": 0.2},
    "gopher_top_3_gram": {"at_most": 0.18},
    "gopher_top_4_gram": {"at_most": 0.16},
    "gopher_duplicate_5_grams": {"at_most": 0.15},
    "gopher_duplicate_6_grams": {"at_most": 0.14},
    "gopher_duplicate_7_grams": {"at_most": 0.13},
    "gopher_duplicate_8_grams": {"at_most": 0.12},
    "gopher_duplicate_9_grams": {"at_most": 0.11},
    "gopher_duplicate_10_grams": {"at_most": 0.1},
    "c4_sentences": {"at_least": 3},
    "fineweb_line_punctuation": {"at_least": 0.12},
    "fineweb_duplicate_line_characters": {"at_most": 0.1},
    "fineweb_short_lines": {"at_most": 0.67},
}
GROUPS = {
    "gopher_quality": [name for name in PUBLISHED if name.startswith("gopher_")][:8],
    "gopher_repetition": [name for name in PUBLISHED if name.startswith("gopher_")][8:],
    "c4": ["c4_lorem_ipsum", "c4_curly_bracket", "c4_sentences"],
    "fineweb": ["fineweb_line_punctuation", "fineweb_duplicate_line_characters", "fineweb_short_lines"],
}


@dataclass(frozen=True)
class Filtered:
    """A document as rules see it; `numbers` by score or field, `texts` by field, `text` not among them."""

    text: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    texts: Mapping[str, str | None] = field(default_factory=dict)


def reason(rules: Sequence[Any], document: Filtered) -> str | None:
    """The reason of the first rule that refuses a document; None if none does.

    Args:
        rules: as a recipe lists them.
        document: the document.
    """
    for entry in rules:
        ((rule, settings),) = entry.items() if isinstance(entry, dict) else ((entry, {}),)
        for name in GROUPS.get(rule, [rule]):
            if not keeps(name, settings or {}, document):
                return f"filter_{(settings or {}).get('name', name)}"
    return None


def keeps(rule: str, settings: Settings, document: Filtered) -> bool:
    """Whether a rule keeps a document."""
    if rule in ("hosts", "domains"):
        value = document.texts["host" if rule == "hosts" else "registered_domain"]
        allowed, denied = (_values(settings.get(key)) for key in ("allow", "deny"))
        return (allowed is None or value in allowed) and (denied is None or value not in denied)
    if rule == "matches":
        value = document.text if settings.get("field", "text") == "text" else document.texts[settings["field"]]
        matches = value is not None and re.search(settings.get("keep") or settings["drop"], value) is not None
        return matches == ("keep" in settings)
    if rule == "c4_lorem_ipsum":
        return "lorem ipsum" not in document.text.lower()
    if rule == "c4_curly_bracket":
        return "{" not in document.text
    if rule == "c4_bad_words":
        return not any(_has_phrase(document.text.lower(), phrase.lower()) for phrase in _values(settings["file"]) or ())
    if rule == "label":
        return _label_kept(settings, document.text)
    number = document.numbers.get(settings["by"]) if rule == "number" else measure(rule, settings, document.text)
    bounds = {key: settings[key] for key in ("at_least", "at_most") if key in settings}
    return number is not None and _within(number, {**PUBLISHED.get(rule, {}), **bounds})


def _within(number: float, bounds: Settings) -> bool:
    low, high = bounds.get("at_least"), bounds.get("at_most")
    return (low is None or number >= low) and (high is None or number <= high)


def _values(listed: str | Sequence[str] | None) -> set[str] | None:
    if listed is None:
        return None
    lines = Path(listed).read_text(encoding="utf-8").splitlines() if isinstance(listed, str) else listed
    return {line.strip().lower() for line in lines if line.strip() and not line.strip().startswith("#")}


def _has_phrase(text: str, phrase: str) -> bool:
    for start in range(len(text)):
        around = text[start - 1 : start] + text[start + len(phrase) : start + len(phrase) + 1]
        if text.startswith(phrase, start) and not any(char.isalnum() or char == "_" for char in around):
            return True
    return False


def _label_kept(settings: Settings, text: str) -> bool:
    import fasttext

    labels, shares = fasttext.load_model(settings["model"]).predict(" ".join(text.strip().splitlines()))
    return labels[0].removeprefix("__label__") in settings["keep"] and shares[0] >= settings.get("at_least", 0)


# ------------------------------------------------------------------------------------------------------ measures


def words_of(text: str) -> list[str]:
    """What white space separates."""
    return text.split()


def lines_of(text: str) -> list[str]:
    """Lines without white space around them, blank ones left out."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs_of(text: str) -> list[str]:
    """Lines without a blank one between them, white space around them left out."""
    paragraphs: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    return ["\n".join(lines).strip() for lines in paragraphs if lines]


def share(part: float, whole: float) -> float:
    """0 of nothing."""
    return part / whole if whole else 0.0


def repeated(items: Sequence[str]) -> list[str]:
    """Those that came before."""
    seen: set[str] = set()
    return [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]


def letters(items: Sequence[str]) -> int:
    """Their characters."""
    return sum(map(len, items))


def top_ngram(words: Sequence[str], size: int) -> int:
    """Characters of the most frequent n-gram that occurs twice or more, times how often it occurs."""
    ngrams = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
    counts = Counter(ngrams)
    most = max(counts.values(), default=0)
    if most < 2:
        return 0
    first = next(ngram for ngram in ngrams if counts[ngram] == most)
    return len(" ".join(first)) * most


def duplicate_ngrams(words: Sequence[str], size: int) -> int:
    """Characters of n-grams that came before; the next n-gram begins after such a one."""
    seen, start, characters = set(), 0, 0
    while start + size <= len(words):
        ngram = tuple(words[start : start + size])
        if ngram in seen:
            characters += letters(ngram)
            start += size
        else:
            seen.add(ngram)
            start += 1
    return characters


def sentences(words: Sequence[str]) -> int:
    """Words that end a sentence; of a word with wide marks, those."""
    count = 0
    for word in words:
        wide = sum(char in "。！？" for char in word)
        count += wide or word.rstrip("\"'”’)]»")[-1:] in tuple(".!?")
    return count


def stop_words(words: Sequence[str], listed: Sequence[str]) -> int:
    """Different words of the list."""
    lower = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
    plain = {word.strip(string.punctuation).translate(lower) for word in words}
    return len(plain & {word.translate(lower) for word in listed})


def measure(rule: str, settings: Settings, text: str) -> float:
    """The number that a rule compares with its bounds."""
    words, lines, paragraphs = words_of(text), lines_of(text), paragraphs_of(text)
    if rule in ("gopher_top_ngram", "gopher_duplicate_ngrams"):
        kind = "top_{}_gram" if rule == "gopher_top_ngram" else "duplicate_{}_grams"
        rule = "gopher_" + kind.format(settings["size"])
    if ngram := re.fullmatch(r"gopher_(top|duplicate)_(\d+)_grams?", rule):
        characters = (top_ngram if ngram[1] == "top" else duplicate_ngrams)(words, int(ngram[2]))
        return share(characters, len(text))
    if rule == "fineweb_short_lines":
        return share(sum(len(line) < settings.get("length", 30) for line in lines), len(lines))
    if rule == "fineweb_line_punctuation":
        marks = settings.get("marks", MARKS)
        return share(sum(line[-1] in marks for line in lines), len(lines))
    if rule == "gopher_stop_words":
        return stop_words(words, settings.get("words", STOP_WORDS))
    return {
        "characters": lambda: len(text),
        "words": lambda: len(words),
        "gopher_words": lambda: len(words),
        "gopher_word_length": lambda: share(letters(words), len(words)),
        "gopher_hashes": lambda: share(text.count("#"), len(words)),
        "gopher_ellipses": lambda: share(text.count("...") + text.count("…"), len(words)),
        "gopher_bullet_lines": lambda: share(sum(line[0] in "•-" for line in lines), len(lines)),
        "gopher_ellipsis_lines": lambda: share(sum(line.endswith(("...", "…")) for line in lines), len(lines)),
        "gopher_alphabetic_words": lambda: share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "gopher_duplicate_lines": lambda: share(len(repeated(lines)), len(lines)),
        "gopher_duplicate_paragraphs": lambda: share(len(repeated(paragraphs)), len(paragraphs)),
        "gopher_duplicate_line_characters": lambda: share(letters(repeated(lines)), len(text)),
        "gopher_duplicate_paragraph_characters": lambda: share(letters(repeated(paragraphs)), len(text)),
        "c4_sentences": lambda: sentences(words),
        "fineweb_duplicate_line_characters": lambda: share(letters(repeated(lines)), letters(lines)),
    }[rule]()
