"""Tokens for tests of the reference that write them by hand: each byte is a token, whose id is the byte's value."""

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

PAD, BOS, EOS = 300, 301, 302


def byte_tokenizer() -> Tokenizer:
    """A tokenizer of bytes that cuts and pads; <|end|> (256) is special, <tag> (257) is added but not special."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    vocabulary = {chr(byte): byte for byte in printable}
    vocabulary |= {chr(256 + number): byte for number, byte in enumerate(others)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
    tokenizer.add_tokens([AddedToken("<tag>")])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding()
    return tokenizer


def ids(text: str) -> list[int]:
    return list(text.encode())
