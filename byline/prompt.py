r"""Prompts for a model trained on a build: metadata and text exactly as in training.

```
template    "URL: {host}\n\n"      values  host = en.wikipedia.org      text  "The cat"
prompt      "URL: en.wikipedia.org\n\nThe cat"
ids         BOS  URL  :  en .wikipedia .org \n\n | The  cat       prefix and text tokenized apart: no merge across |
with begin <meta> and end </meta>
prompt      "<meta>URL: en.wikipedia.org\n\n</meta>The cat"
ids         BOS  <meta>  URL  :  en .wikipedia .org \n\n  </meta>  The  cat     each marker one id
with position: after
prompt      "The cat<meta>URL: en.wikipedia.org\n\n</meta>"
no values   "The cat<meta>"                                       what the model goes on with is the metadata
```

Values are given in the form used in training: a host in lower case, an international one in punycode, and for a field
in bins the number of the bin. A field that is not given, or None, becomes the phase's word for unknown, and so does a
value that `top` did not keep. For a hash field (`host_hash`) the value that it hashes (`host`) may be given instead.
In a phase without a condition the prompt is the text.

A **pair** for classifier-free guidance has the same text with these values and without any. Of the ways to have none,
it takes one that the model was trained with:

```
empty       "<meta></meta>The cat"                                the condition's `empty` is above 0
none        "The cat"                                             its `dropout` is, or the model reads a phase without
unknown     "<meta>URL: unknown\n\n</meta>The cat"                otherwise
```
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from byline.errors import BylineError
from byline.manifest import Manifest, PhaseEntry
from byline.printable import shown
from byline.salts import needed_salt
from byline.template import Template

HASHED = {"host_hash": "host", "url_hash": "url"}
# The longest key that BLAKE2b takes, in bytes.
_MAX_KEY = 64

Values = Mapping[str, str | None]
Encode = Callable[[str], Sequence[int]]
_WAYS = ("empty", "none", "unknown")


@dataclass(frozen=True)
class Prompt:
    """A prompt as text, without BOS and with marker tokens by name, and as ids."""

    text: str
    ids: list[int]


@dataclass(frozen=True)
class PromptPair:
    """A text with metadata and without, for classifier-free guidance.

    Attributes:
        way: what `without` has for metadata: `empty`, `none` or `unknown`.
    """

    conditioned: Prompt
    without: Prompt
    way: str


def conditioned_prompt(manifest: Manifest, values: Values, text: str, phase: str | None = None) -> str:
    """The prompt as text, without BOS; the marker tokens around the template appear by name.

    Args:
        manifest: of the build that the model was trained on.
        values: field -> value; None for unknown.
        text: what the model is to continue.
        phase: name of a phase or branch (`cooldown-25`); None for the first that is conditioned, if any is.

    Raises:
        BylineError: there is no such phase, its template has no such field, or the field no such bin.
    """
    return _parts(manifest, values, text, phase).text


def prompt_ids(manifest: Manifest, encode: Encode, values: Values, text: str, phase: str | None = None) -> list[int]:
    """The prompt as ids: BOS if the build has one, the prefix, the text; with `position: after` the prefix is last.

    Args:
        encode: the build's tokenizer; it must add no special tokens, and treat text that looks like one as text.

    Raises:
        BylineError: as `conditioned_prompt`; or training would have replaced a prefix this long.
    """
    return _ids(manifest, encode, _parts(manifest, values, text, phase))


def prompt_pair(
    manifest: Manifest,
    encode: Encode,
    values: Values,
    text: str,
    phase: str | None = None,
    way: str | None = None,
) -> PromptPair:
    """The text with these values and without any, for classifier-free guidance.

    Args:
        way: what stands for no metadata; None for the first of `empty`, `none` and `unknown` that training had.

    Raises:
        BylineError: as `prompt_ids`; or the phase is not conditioned, puts its template after the text, or has no
            tokens around it that could stand alone.
    """
    entry, condition = _phase(manifest, phase)
    if condition is None:
        raise BylineError(f"phase {entry.name!r} is not conditioned; {_conditioned(manifest)}")
    if condition["position"] != "before":
        raise BylineError(
            f"phase {entry.name!r} puts its template after the text, so there is no pair with and without metadata"
        )
    if way is None:
        way = _trained_way(manifest, entry, condition)
    without = _parts_without(entry, condition, text, way)
    conditioned = _parts(manifest, values, text, phase)
    return PromptPair(
        Prompt(conditioned.text, _ids(manifest, encode, conditioned)),
        Prompt(without.text, _ids(manifest, encode, without)),
        way,
    )


def metadata_hash(value: str, salt: str) -> str:
    """The salted hash of a value: 16 hex digits of BLAKE2b, keyed with the salt (or its SHA-256 if over 64 bytes).

    Raises:
        BylineError: of the salt only its digest is known (`byline.salts`).
    """
    key = needed_salt(salt).encode()
    key = key if len(key) <= _MAX_KEY else hashlib.sha256(key).digest()
    return hashlib.blake2b(value.encode(), digest_size=8, key=key).hexdigest()


@dataclass(frozen=True)
class _Piece:
    """A text that is tokenized on its own, or the name of a token."""

    text: str
    is_marker: bool = False


@dataclass(frozen=True)
class _Parts:
    """A prompt in pieces: those of the prefix, and the document's text before or behind them."""

    prefix: list[_Piece]
    document: str
    is_after: bool = False

    @property
    def pieces(self) -> list[_Piece]:
        document = _Piece(self.document)
        return [document, *self.prefix] if self.is_after else [*self.prefix, document]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


def _parts(manifest: Manifest, values: Values, text: str, name: str | None) -> _Parts:
    phase, condition = _phase(manifest, name)
    if condition is None:
        if values:
            raise BylineError(f"phase {phase.name!r} is not conditioned; {_conditioned(manifest)}")
        return _Parts([], text)
    begin, end = _markers(condition)
    filled = _Piece(_filled(phase, condition, values))
    if condition["position"] == "before":
        return _Parts([*begin, filled, *end], text)
    return _Parts([*begin, filled, *end] if values else begin, text, is_after=True)


def _parts_without(phase: PhaseEntry, condition: Mapping[str, Any], text: str, way: str) -> _Parts:
    if way not in _WAYS:
        raise BylineError(f"way={shown(way)}: expected 'empty', 'none', 'unknown' or None")
    begin, end = _markers(condition)
    if way == "none":
        return _Parts([], text)
    if way == "unknown":
        return _Parts([*begin, _Piece(_filled(phase, condition, {})), *end], text)
    if not begin + end:
        raise BylineError(
            f"the condition of phase {phase.name!r} has no tokens around its template that could stand alone; "
            "take 'none' or 'unknown'"
        )
    return _Parts([*begin, *end], text)


def _trained_way(manifest: Manifest, phase: PhaseEntry, condition: Mapping[str, Any]) -> str:
    """The way to have no metadata that documents had in training."""
    is_branch = phase.branch is not None and not phase.is_holdout
    read = manifest.training_order(phase.name if is_branch else None)
    trained = [_condition_of(manifest, other) for other, shards in read if shards]
    # What is held out trains nothing, so its own condition does not say what training had.
    own = [one for one in trained if one is not None] if phase.is_holdout else [condition]
    if any(_is_positive(one.get("empty")) for one in own):
        return "empty"
    return "none" if any(_is_positive(one.get("dropout")) for one in own) or None in trained else "unknown"


def _is_positive(share: float | str | None) -> bool:
    """Of a share as a configuration in JSON has it: a number, or `1/3`."""
    return share is not None and Fraction(str(share)) > 0


def _ids(manifest: Manifest, encode: Encode, parts: _Parts) -> list[int]:
    def ids_of(pieces: list[_Piece]) -> list[int]:
        lists = [[_marker_id(manifest, piece.text)] if piece.is_marker else encode(piece.text) for piece in pieces]
        return [token for ids in lists for token in ids]

    prefix, longest = ids_of(parts.prefix), manifest.sequence_length // 2
    if len(prefix) > longest:
        raise BylineError(
            f"the prefix has {len(prefix)} tokens, and training replaced any prefix of more than {longest} by the "
            "unknown one; leave out the long value"
        )
    document, bos = list(encode(parts.document)), manifest.tokenizer["bos_id"]
    return ([] if bos is None else [bos]) + (document + prefix if parts.is_after else prefix + document)


def _markers(condition: Mapping[str, Any]) -> tuple[list[_Piece], list[_Piece]]:
    """The tokens before and after the template, none or one each."""
    begin, end = ([] if condition.get(key) is None else [_Piece(condition[key], True)] for key in ("begin", "end"))
    return begin, end


def _filled(phase: PhaseEntry, condition: Mapping[str, Any], values: Values) -> str:
    template = Template(condition["template"])
    known = {field: value for field, value in values.items() if value is not None}
    _check_fields(template, values, phase.name)
    hashes = {
        field: metadata_hash(known[raw], condition["salt"])
        for field, raw in HASHED.items()
        if field in template.fields and raw in known
    }
    trained = {field: _as_trained(phase, field, value) for field, value in {**hashes, **known}.items()}
    return template.fill(trained, condition["unknown"])


def _check_fields(template: Template, values: Values, phase: str) -> None:
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


def _phase(manifest: Manifest, name: str | None) -> tuple[PhaseEntry, dict[str, Any] | None]:
    """A phase or branch and its condition, if it has one; without a name the first that has one, or the first."""
    if manifest.is_import:
        raise BylineError("an import does not say how its prefixes were made from metadata, so it has no prompts")
    conditions = {phase.name: (phase, _condition_of(manifest, phase)) for phase in manifest.phases}
    if name is None:
        conditioned = [
            name for name, (phase, condition) in conditions.items() if condition is not None and not phase.is_holdout
        ]
        return conditions[conditioned[0] if conditioned else manifest.phases[0].name]
    if name not in conditions:
        raise BylineError(f"no phase or branch {name!r}; choose from {', '.join(conditions)}")
    return conditions[name]


def _conditioned(manifest: Manifest) -> str:
    names = [phase.name for phase in manifest.phases if _condition_of(manifest, phase) is not None]
    return f"choose from {', '.join(names)}" if names else "no phase of this build is, so a prompt is the text alone"


def _condition_of(manifest: Manifest, phase: PhaseEntry) -> dict[str, Any] | None:
    """The condition in the configuration, which lists a branch once for all its points."""
    if phase.is_holdout:
        return manifest.config["holdout"].get("condition")
    key, name = ("phases", phase.name) if phase.branch is None else ("branches", phase.branch["of"])
    return next(section.get("condition") for section in manifest.config[key] if section["name"] == name)
