"""The tokenizer that a finished build was made with, according to its manifest; from another path if it was moved."""

import hashlib

from tokenizers import Tokenizer

from byline.errors import BylineError
from byline.manifest import Manifest
from byline.transforms.files import storage


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text without special tokens, as the pipeline tokenizes documents and prefixes."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def load_tokenizer(manifest: Manifest, file: str | None = None) -> Tokenizer:
    """The tokenizer that a build was made with.

    Args:
        file: its tokenizer.json; None for the path in the build's configuration.

    Raises:
        BylineError: there is no such file, or it is not the one that the build was made with.
    """
    content = tokenizer_bytes(manifest, file)
    tokenizer = Tokenizer.from_str(content.decode())
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenizer_bytes(manifest: Manifest, file: str | None = None) -> bytes:
    """The content of a build's tokenizer.json; arguments and errors as `load_tokenizer`."""
    path = manifest.config["tokenizer"]["file"] if file is None else file
    try:
        content = storage.read_bytes(path)
    except BylineError as error:
        raise BylineError(f"{error}; give the build's tokenizer.json with --tokenizer FILE") from None
    digest, expected = hashlib.sha256(content).hexdigest(), manifest.tokenizer["sha256"]
    if digest != expected:
        raise BylineError(
            f"{path}: sha256 {digest[:12]}..., but the build was made with {manifest.tokenizer['name']!r} of sha256 "
            f"{expected[:12]}...; give that file with --tokenizer FILE"
        )
    return content
