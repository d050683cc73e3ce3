"""Text to token ids, and which of them count in the loss."""

from typing import TYPE_CHECKING

from byline.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from byline.transforms.tokens.text_tokenizer import TextTokenizer, shared_tokenizer
    from byline.transforms.tokens.tokenizing import tokenize_batch
    from byline.transforms.tokens.tokenizing_transform import Tokenize

__all__ = ["TextTokenizer", "Tokenize", "shared_tokenizer", "tokenize_batch"]

__getattr__ = lazy_exports(
    __name__,
    {
        "text_tokenizer": ("TextTokenizer", "shared_tokenizer"),
        "tokenizing": ("tokenize_batch",),
        "tokenizing_transform": ("Tokenize",),
    },
)
