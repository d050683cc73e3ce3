"""Documents framed as a phase allows, to find segments of shards in them.

```
framed document     BOS URL  :  host  d0  d1  d2  d3 EOS        lead 4, own 4
segment                              d2  d3 EOS                its doc offset 2
with a repeated head    URL : host   d2  d3 EOS
```
"""

from dataclasses import dataclass

from byline.schemas.tokenizer_info import TokenizerInfo

# (id, loss mask, loss weight) of each token; the weight is 0 where weights are not compared.
Tokens = list[tuple[int, int, float]]


@dataclass(frozen=True)
class Framed:
    """A framed document.

    Attributes:
        tokens: all of its tokens.
        lead: number of tokens before the document's own.
        own: number of the document's own tokens.
        head: tokens at the start of a segment that continues the document.
    """

    tokens: Tokens
    lead: int
    own: int
    head: Tokens

    @classmethod
    def of(
        cls, own: Tokens, prefix: list[int], position: str, info: TokenizerInfo, repeats: bool, weight: float
    ) -> "Framed":
        """Frames a document.

        Args:
            own, prefix: its tokens.
            position: of the prefix.
            info: the tokenizer's special ids.
            repeats: whether segments that continue it repeat a prefix before it.
            weight: of what is trained besides its own tokens.
        """
        is_masked = bool(prefix) and position == "before"
        bos = [] if info.bos_id is None else [(info.bos_id, 0, 0.0) if is_masked else (info.bos_id, 1, weight)]
        eos = [] if info.eos_id is None else [(info.eos_id, 1, weight)]
        before = [(token, 0, 0.0) for token in prefix] if is_masked else []
        after = [] if is_masked else [(token, 1, weight) for token in prefix]
        tokens = [*bos, *before, *own, *after, *eos]
        return cls(tokens, len(bos) + len(before), len(own), before if repeats else [])

    def has(self, segment: Tokens, offset: int) -> bool:
        """Whether a segment is the part of the framed document that begins after `offset` of its own tokens."""
        first = self.lead + offset if offset else 0
        # After the last of its own tokens, the offset stays the same up to the end of the framed document.
        last = self.lead + offset if offset < self.own else len(self.tokens) - 1
        for start in range(first, last + 1):
            # A segment with a repeated prefix continues a document that was cut at the end of its prefix or later.
            head = self.head if start > 0 else []
            part = self.tokens[start : start + len(segment) - len(head)]
            if segment == head + part and (not head or start >= self.lead):
                return True
        return False
