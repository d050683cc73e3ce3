"""Which tokens of a formatted text are trained, from bytes, for byte-level tokenizers without a normalizer.

```
text   H é < X > l o     special 2, 5     loss 1, 2      tokens  H  Ã  ©  <X>  lo
bytes  48 C3 A9 3C ...                                   trained 0  1  1   0   0
                                          weight 0.5             0  .5 .5  0   0
```

`tests.reference.layout.tokenize_marked` gets the same from the offsets of `tokenizers`.
"""

from collections.abc import Mapping
from itertools import pairwise

from tokenizers import Tokenizer


def trained_tokens(
    tokenizer: Tokenizer,
    text: str,
    loss_spans: list[int] | None,
    special_spans: list[int] | None,
    names: Mapping[str, int],
    weights: list[float] | None = None,
) -> list[tuple[int, float]]:
    """(id, 1 or the largest weight of its loss spans, 0 if it is in none) of each token.

    Args:
        tokenizer: treats the names of special tokens as text.
        loss_spans, special_spans: start, end, ... in characters.
        names: name -> id of the tokens that special spans name.
        weights: of the loss spans, or one of all of the text.
    """
    spans = list(pairwise([0, len(text)] if loss_spans is None else loss_spans))[::2]
    own: list[float] = [1] * len(spans) if weights is None else weights
    counts = [
        max((weight for (low, high), weight in zip(spans, own, strict=True) if low <= character < high), default=0)
        for character in range(len(text))
    ]
    tokens = []
    for number, (start, stop) in enumerate(pairwise([0, *(special_spans or ()), len(text)])):
        part = text[start:stop]
        if number % 2 == 1:
            tokens += [(names[part], max(counts[start:stop]))] if part else []
            continue
        # The index in the text of the character that each byte belongs to.
        owners = [start + index for index, character in enumerate(part) for _ in character.encode()]
        end = 0
        for token in tokenizer.encode(part, add_special_tokens=False).ids:
            size = token_size(tokenizer, token)
            tokens.append((token, max(counts[owner] for owner in owners[end : end + size])))
            end += size
        assert end == len(owners), f"the tokens of {part!r} are not its bytes"
    return tokens


def token_size(tokenizer: Tokenizer, token: int) -> int:
    """How many bytes a token stands for: a character of a byte-level token is one byte, an added token is its name."""
    added = tokenizer.get_added_tokens_decoder()
    if token in added:
        return len(added[token].content.encode())
    return len(tokenizer.id_to_token(token))
