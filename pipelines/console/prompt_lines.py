r"""What `byline prompt` prints: the conditioned prompt of a build, as text and ids.

```
$ byline prompt out/meco host=en.wikipedia.org "The cat"
text  "URL: en.wikipedia.org\n\nThe cat"
ids   [0, 22428, 27, 546, 15, 25842, 15, 2061, 187, 187, 510, 5798]
```

Each is one line of JSON, so either can be cut out and used as it is. BOS is in the ids, and is not text. Tokens that
stand around the template are ids of their own, and in the text their names.
"""

import json
import sys
from collections.abc import Mapping

from byline.manifest import read_manifest
from byline.prompt import conditioned_prompt, prompt_ids
from byline.transforms.tokens.build_tokenizer import encode, load_tokenizer


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
