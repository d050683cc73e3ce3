"""Tokens that tests of the reference write by hand: a byte is a token, and its id is the byte's value."""

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

PAD, BOS, EOS = 300, 301, 302


def byte_tokenizer() -> Tokenizer:
    """The bytes' tokenizer; <|end|> (256) is special, <tag> (257) an added token that is not; it would cut and pad."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    vocabulary = {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens([AddedToken("<|end|>", special=True)])
    made.add_tokens([AddedToken("<tag>")])
    made.enable_truncation(3)
    made.enable_padding()
    return made


def ids(text: str) -> list[int]:
    return list(text.encode())
