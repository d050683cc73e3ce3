"""Prompts for a model trained on a build: the metadata before the text, exactly as in training.

```
template   "URL: {host}\\n\\n"      values  host = en.wikipedia.org      text  "The cat"
prompt     "URL: en.wikipedia.org\\n\\nThe cat"
ids        BOS  URL  :  en .wikipedia .org \\n\\n | The  cat        prefix and text tokenized apart: no merge across |
with begin <meta> and end </meta>
prompt     "<meta>URL: en.wikipedia.org\\n\\n</meta>The cat"
ids        BOS  <meta>  URL  :  en .wikipedia .org \\n\\n  </meta>  The  cat     each marker one id
```

Values are given in the form used in training: a host in lower case, an international one in punycode, and for a field
in bins the number of the bin. A field that is not given becomes the phase's word for unknown, and so does a value that
`top` did not keep. For a hash field (`host_hash`) the value that it hashes (`host`) may be given instead.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry
from byline.salts import needed_salt
from byline.template import Template

HASHED = {"host_hash": "host", "url_hash": "url"}
# The longest key that BLAKE2b takes, in bytes.
_MAX_KEY = 64


def conditioned_prompt(manifest: Manifest, values: Mapping[str, str], text: str, phase: str | None = None) -> str:
    """The prompt as text, without BOS; the marker tokens around the template appear by name.

    Args:
        manifest: of the build that the model was trained on.
        values: field -> value.
        text: what the model is to continue.
        phase: name of a conditioned phase or branch (`cooldown-25`); None for the first.

    Raises:
        BylineError: there is no such conditioned phase, its template has no such field, the field has no such bin, or
            the template comes after the text.
    """
    prefix = _prefix(manifest, values, phase)
    return "".join([*prefix.begin, prefix.text, *prefix.end, text])


def prompt_ids(
    manifest: Manifest,
    encode: Callable[[str], Sequence[int]],
    values: Mapping[str, str],
    text: str,
    phase: str | None = None,
) -> list[int]:
    """The prompt as ids: BOS if the build has one, the prefix, the text.

    Args:
        encode: the build's tokenizer; it must add no special tokens, and treat text that looks like one as text.

    Raises:
        BylineError: as `conditioned_prompt`; or training would have replaced a prefix this long.
    """
    parts = _prefix(manifest, values, phase)
    begin, end = ([_marker_id(manifest, name) for name in names] for names in (parts.begin, parts.end))
    prefix = [*begin, *encode(parts.text), *end]
    longest = manifest.sequence_length // 2
    if len(prefix) > longest:
        raise BylineError(
            f"the prefix has {len(prefix)} tokens, and training replaced any prefix of more than {longest} by the "
            "unknown one; leave out the long value"
        )
    bos = manifest.tokenizer["bos_id"]
    return ([] if bos is None else [bos]) + prefix + list(encode(text))


def metadata_hash(value: str, salt: str) -> str:
    """The salted hash of a value: 16 hex digits of BLAKE2b, keyed with the salt (or its SHA-256 if over 64 bytes).

    Raises:
        BylineError: of the salt only its digest is known (`byline.salts`).
    """
    key = needed_salt(salt).encode()
    key = key if len(key) <= _MAX_KEY else hashlib.sha256(key).digest()
    return hashlib.blake2b(value.encode(), digest_size=8, key=key).hexdigest()


@dataclass(frozen=True)
class _Prefix:
    """A prefix: the filled template, and the names of the tokens before and after it (none or one each)."""

    begin: list[str]
    text: str
    end: list[str]


def _prefix(manifest: Manifest, values: Mapping[str, str], name: str | None) -> _Prefix:
    phase, condition = _conditioned_phase(manifest, name)
    if condition["position"] != "before":
        raise BylineError(
            f"phase {phase.name!r} puts its template after the text, so there is no prompt to condition with it"
        )
    template = Template(condition["template"])
    _check_fields(template, values, phase.name)
    hashes = {
        field: metadata_hash(values[raw], condition["salt"])
        for field, raw in HASHED.items()
        if field in template.fields and raw in values
    }
    trained = {field: _as_trained(phase, field, value) for field, value in {**hashes, **values}.items()}
    begin, end = ([token for token in [condition.get(key)] if token is not None] for key in ("begin", "end"))
    return _Prefix(begin, template.fill(trained, condition["unknown"]), end)


def _check_fields(template: Template, values: Mapping[str, str], phase: str) -> None:
    allowed = [*template.fields, *(HASHED[field] for field in template.fields if field in HASHED)]
    for field in values:
        if field not in allowed:
            known = ", ".join(dict.fromkeys(allowed)) or "none"
            raise BylineError(
                f"the template {template.text!r} of phase {phase!r} has no field {field!r}; its fields are {known}"
            )


def _as_trained(phase: PhaseEntry, field: str, value: str) -> str | None:
    """The value, or None if training treated it as unknown."""
    resolved = phase.values
    if resolved is None:
        return value
    if field in resolved["bins"]:
        last = len(resolved["bins"][field])
        if value not in map(str, range(last + 1)):
            raise BylineError(
                f"{field} is in bins in phase {phase.name!r}: give the number of a bin, from 0 to {last}, not {value!r}"
            )
    return value if field not in resolved["top"] or value in resolved["top"][field] else None


def _marker_id(manifest: Manifest, name: str) -> int:
    known = {**manifest.tokenizer.get("markers", {}), **manifest.tokenizer.get("added", {})}
    if name not in known:
        raise BylineError(f"the manifest's tokenizer gives no id for the token {name!r}; build again")
    return known[name]


def _conditioned_phase(manifest: Manifest, name: str | None) -> tuple[PhaseEntry, dict[str, Any]]:
    """A phase or branch and its condition."""
    conditions = [(phase, _condition_of(manifest, phase)) for phase in manifest.phases]
    conditioned = {phase.name: (phase, condition) for phase, condition in conditions if condition is not None}
    if not conditioned:
        raise BylineError("this build has no conditioned phase, so a prompt is the text alone")
    if name is None:
        return next(iter(conditioned.values()))
    if name not in conditioned:
        raise BylineError(f"phase {name!r} is not conditioned; choose from {', '.join(conditioned)}")
    return conditioned[name]


def _condition_of(manifest: Manifest, phase: PhaseEntry) -> dict[str, Any] | None:
    """The condition in the configuration, which lists a branch once for all its points."""
    key, name = ("phases", phase.name) if phase.branch is None else ("branches", phase.branch["of"])
    return next(section.get("condition") for section in manifest.config[key] if section["name"] == name)
