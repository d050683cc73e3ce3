"""Which texts go to `tokenizers`, because gigatoken's ids are others, as comparing the two finds (`comparing`)."""

from dataclasses import dataclass

from byline.transforms.tokens.text_scanner import TextScanner

# Goes up when the comparison, of characters or of the rest, finds other differences.
COMPARISON = 2


@dataclass(frozen=True)
class Differences:
    """Which texts go to the reference.

    Attributes:
        characters: code points.
        strings: names of added tokens.
        whole: why all texts do; None if they do not.
    """

    characters: tuple[int, ...] = ()
    strings: tuple[str, ...] = ()
    whole: str | None = None

    def scanner(self) -> TextScanner:
        """What finds them."""
        return TextScanner(self.characters, self.strings)
