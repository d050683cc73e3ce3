r"""What `byline prompt` prints: the conditioned prompt of a build, as text and ids.

```
$ byline prompt out/meco host=en.wikipedia.org "The cat"
text  "URL: en.wikipedia.org\n\nThe cat"
ids   [0, 22428, 27, 546, 15, 25842, 15, 2061, 187, 187, 510, 5798]

$ byline prompt out/meco host=en.wikipedia.org "The cat" --pair
text  "URL: en.wikipedia.org\n\nThe cat"
ids   [0, 22428, 27, 546, 15, 25842, 15, 2061, 187, 187, 510, 5798]
none text  "The cat"
none ids   [0, 510, 5798]
```

The second of a pair begins with what it has for no metadata: `empty`, `none` or `unknown`. Each is one line of JSON,
so either can be cut out and used as it is. BOS is in the ids, and is not text. Tokens that stand around the template
are ids of their own, and in the text their names.
"""

import json
import sys
from collections.abc import Mapping

from byline.manifest import Manifest, read_manifest
from byline.prompt import Encode, Prompt, conditioned_prompt, prompt_ids, prompt_pair
from byline.transforms.tokens.build_tokenizer import encode, load_tokenizer


def show_prompt(
    out: str, values: Mapping[str, str], text: str, phase: str | None = None, tokenizer_file: str | None = None
) -> None:
    """Prints a prompt.

    Args:
        out: the build's folder or address.
        values: field -> value.
        text: what the model is to go on from.
        phase: name of a phase or branch (`cooldown-25`); None for the first that is conditioned.
        tokenizer_file: where the build's tokenizer.json is now; None for where it was.

    Raises:
        BylineError: as `byline.prompt.prompt_ids` and `load_tokenizer`.
    """
    manifest = read_manifest(out)
    prompt = conditioned_prompt(manifest, values, text, phase)
    _write(Prompt(prompt, prompt_ids(manifest, _encoder(manifest, tokenizer_file), values, text, phase)))


def show_pair(
    out: str,
    values: Mapping[str, str],
    text: str,
    phase: str | None = None,
    way: str | None = None,
    tokenizer_file: str | None = None,
) -> None:
    """Prints a prompt and the one without metadata.

    Args:
        way: what stands for no metadata; None for what training had.

    Raises:
        BylineError: as `byline.prompt.prompt_pair` and `load_tokenizer`.
    """
    manifest = read_manifest(out)
    pair = prompt_pair(manifest, _encoder(manifest, tokenizer_file), values, text, phase, way)
    _write(pair.conditioned)
    _write(pair.without, f"{pair.way} ")


def _encoder(manifest: Manifest, tokenizer_file: str | None) -> Encode:
    tokenizer = load_tokenizer(manifest, tokenizer_file)
    return lambda text: encode(tokenizer, text)


def _write(prompt: Prompt, which: str = "") -> None:
    # JSON shows a line break or a terminal's escape code as \n and \u001b.
    text, ids = json.dumps(prompt.text, ensure_ascii=False), json.dumps(prompt.ids)
    sys.stdout.write(f"{which}text  {text}\n{which}ids   {ids}\n")
