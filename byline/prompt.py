"""Prompts for a model trained on a build: the metadata before the text, exactly as in training.

```
template   "URL: {host}\\n\\n"      values  host = en.wikipedia.org      text  "The cat"
prompt     "URL: en.wikipedia.org\\n\\nThe cat"
ids        BOS  URL  :  en .wikipedia .org \\n\\n | The  cat        prefix and text tokenized apart, no merge across |
```

A value is given as it was trained on: a host in lower case, an international one in punycode. A field that is not given
is filled with the phase's word for unknown. A hash field (`host_hash`) may be given as what it is the hash of (`host`).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from byline.errors import BylineError
from byline.manifest import Manifest
from byline.template import Template

HASHED = {"host_hash": "host", "url_hash": "url"}
# The most that BLAKE2b takes as a key.
_MAX_KEY = 64


def conditioned_prompt(manifest: Manifest, values: Mapping[str, str], text: str, phase: str | None = None) -> str:
    """The prompt as text, without BOS.

    Args:
        manifest: of the build that the model was trained on.
        values: field -> value.
        text: what the model is to go on from.
        phase: name of a conditioned phase; None for the first.

    Raises:
        BylineError: there is no such conditioned phase, its template has no such field, or it stands after the text.
    """
    return _prefix(manifest, values, phase) + text


def prompt_ids(
    manifest: Manifest,
    encode: Callable[[str], Sequence[int]],
    values: Mapping[str, str],
    text: str,
    phase: str | None = None,
) -> list[int]:
    """The prompt as ids: BOS if the build has one, the prefix, the text.

    Args:
        encode: the build's tokenizer, without added special tokens, and with text that looks like one taken as text.

    Raises:
        BylineError: as `conditioned_prompt`; or the prefix is so long that training replaced it.
    """
    prefix = list(encode(_prefix(manifest, values, phase)))
    longest = manifest.sequence_length // 2
    if len(prefix) > longest:
        raise BylineError(
            f"the prefix has {len(prefix)} tokens, and one of more than {longest} was replaced by the unknown one "
            "in training; leave the long value out"
        )
    bos = manifest.tokenizer["bos_id"]
    return ([] if bos is None else [bos]) + prefix + list(encode(text))


def metadata_hash(value: str, salt: str) -> str:
    """The salted hash of a value: 16 hex digits of BLAKE2b, its key the salt (if longer than 64 bytes, its SHA-256)."""
    key = salt.encode()
    key = key if len(key) <= _MAX_KEY else hashlib.sha256(key).digest()
    return hashlib.blake2b(value.encode(), digest_size=8, key=key).hexdigest()


def _prefix(manifest: Manifest, values: Mapping[str, str], phase: str | None) -> str:
    name, condition = _condition(manifest, phase)
    if condition["place"] != "before":
        raise BylineError(
            f"phase {name!r} puts its template after the text, so there is no prompt to condition with it"
        )
    template = Template(condition["template"])
    allowed = [*template.fields, *(HASHED[field] for field in template.fields if field in HASHED)]
    for field in values:
        if field not in allowed:
            known = ", ".join(dict.fromkeys(allowed)) or "none"
            raise BylineError(
                f"the template {template.text!r} of phase {name!r} has no field {field!r}; its fields are {known}"
            )
    hashes = {
        field: metadata_hash(values[raw], condition["salt"])
        for field, raw in HASHED.items()
        if field in template.fields and raw in values
    }
    return template.fill({**hashes, **values}, condition["unknown"])


def _condition(manifest: Manifest, phase: str | None) -> tuple[str, dict[str, Any]]:
    """The name and condition of a phase."""
    phases = manifest.config["phases"]
    conditioned = {item["name"]: item["condition"] for item in phases if item.get("condition") is not None}
    if not conditioned:
        raise BylineError("this build has no conditioned phase, so a prompt is the text alone")
    if phase is None:
        return next(iter(conditioned.items()))
    if phase not in conditioned:
        raise BylineError(f"phase {phase!r} is not conditioned; choose from {', '.join(conditioned)}")
    return phase, conditioned[phase]
