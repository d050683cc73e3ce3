r"""`byline prompt`: the conditioned prompt of a build, as text and ids.

```
$ byline prompt out/meco host=en.wikipedia.org "The cat"
text  "URL: en.wikipedia.org\n\nThe cat"
ids   [0, 22428, 27, 546, 15, 25842, 15, 2061, 187, 187, 510, 5798]
```

Each is one line of JSON, so either can be cut out and used as it is. BOS is in the ids, and is not text. Tokens that
stand around the template are ids of their own, and in the text their names.
"""

import hashlib
import json
import sys
from collections.abc import Mapping

from tokenizers import Tokenizer

from byline.errors import BylineError
from byline.manifest import Manifest, read_manifest
from byline.prompt import conditioned_prompt, prompt_ids
from byline.transforms.files import storage


def show_prompt(
    out: str, values: Mapping[str, str], text: str, phase: str | None = None, tokenizer_file: str | None = None
) -> None:
    """Prints a prompt.

    Args:
        out: the build's folder or address.
        values: field -> value.
        text: what the model is to go on from.
        phase: name of a conditioned phase or branch (`cooldown-25`); None for the first.
        tokenizer_file: where the build's tokenizer.json is now; None for where it was.

    Raises:
        BylineError: as `byline.prompt.prompt_ids` and `load_tokenizer`.
    """
    manifest = read_manifest(out)
    prompt = conditioned_prompt(manifest, values, text, phase)
    tokenizer = load_tokenizer(manifest, tokenizer_file)
    ids = prompt_ids(manifest, lambda piece: encode(tokenizer, piece), values, text, phase)
    # JSON shows a line break or a terminal's escape code as \n and \u001b.
    sys.stdout.write(f"text  {json.dumps(prompt, ensure_ascii=False)}\nids   {json.dumps(ids)}\n")


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text, none added, as the pipeline tokenizes documents and prefixes."""
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
    """The content of the tokenizer.json of a build; arguments and errors as `load_tokenizer`."""
    path = manifest.config["tokenizer"]["file"] if file is None else file
    try:
        content = storage.read_bytes(path)
    except BylineError as error:
        raise BylineError(f"{error}; give the build's tokenizer.json with --tokenizer FILE") from None
    found, expected = hashlib.sha256(content).hexdigest(), manifest.tokenizer["sha256"]
    if found != expected:
        raise BylineError(
            f"{path}: sha256 {found[:12]}..., but the build was made with {manifest.tokenizer['name']!r} of sha256 "
            f"{expected[:12]}...; give that file with --tokenizer FILE"
        )
    return content
