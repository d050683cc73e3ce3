"""The tokenizer that a finished build was made with, according to its manifest; from another path if it was moved."""

import hashlib

from tokenizers import Tokenizer

from byline.errors import BylineError
from byline.manifest import Manifest
from byline.schemas.corpora import FormatterSettings
from byline.transforms.files import storage
from byline.transforms.tokens.reference_tokenizer import load_reference
from byline.transforms.tokens.tokenizer_file import read_content


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
    names = _text_only(manifest)
    uri = manifest.config["tokenizer"]["file"] if file is None else file
    return load_reference(read_content(uri, content, names), names).tokenizer


def _text_only(manifest: Manifest) -> set[str]:
    """Names of the tokens that no text of the build became, as `byline.schemas.corpora.Tokenizer.text_only`."""
    section = manifest.config["tokenizer"]
    own = {section.get(key) for key in ("bos", "eos", "pad")} - {None}
    formatters = [source.get("formatter") for source in manifest.config.get("sources", {}).values()]
    named = [FormatterSettings.model_validate(one).token_names for one in formatters if one is not None]
    return own.union(section.get("sentinels", ()), manifest.tokenizer.get("markers", ()), *named)


def tokenizer_bytes(manifest: Manifest, file: str | None = None) -> bytes:
    """The content of a build's tokenizer.json; arguments and errors as `load_tokenizer`."""
    path = manifest.config["tokenizer"]["file"] if file is None else file
    if path is None:
        raise BylineError("the import named no tokenizer.json; give it with --tokenizer FILE")
    try:
        content = storage.read_bytes(path)
    except BylineError as error:
        raise BylineError(f"{error}; give the build's tokenizer.json with --tokenizer FILE") from None
    digest, expected = hashlib.sha256(content).hexdigest(), manifest.tokenizer["sha256"]
    # An import may not say which file it was.
    if expected and digest != expected:
        raise BylineError(
            f"{path}: sha256 {digest[:12]}..., but the build was made with {manifest.tokenizer['name']!r} of sha256 "
            f"{expected[:12]}...; give that file with --tokenizer FILE"
        )
    return content
