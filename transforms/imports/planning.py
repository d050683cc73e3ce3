"""What an import makes of which folders: phases, shards and tokenizer, before any sample but the first is read.

```
conditioned:DIR1  cooldown:DIR2   ->   phases in this order, each with the files of its folder
files   910 910 910 910 910 ...   ->   shards of whole files, of at most 4,096 rows where a file has no more
```
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from byline import locations
from byline.errors import BylineError
from byline.printable import shown
from byline.schemas.imports import ImportedFile, ImportedPhase, ImportPlan, NamedTokenizer
from byline.schemas.recipe import Shard
from byline.schemas.tokenizer_info import TokenizerInfo
from byline.transforms.imports import ImportKind
from byline.transforms.imports.import_kind import Folder
from byline.transforms.tokens.text_tokenizer import TextTokenizer

# `conditioned:DIR`, but not `s3://bucket/key`.
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*):(?!//)(?P<folder>.+)")
_CONDITIONED, _PLAIN = "conditioned", "plain"


@dataclass(frozen=True)
class NamedFolder:
    """A folder, and the phase that it becomes; None where its first sample is to decide that."""

    folder: str
    phase: str | None = None

    @classmethod
    def of(cls, word: str) -> "NamedFolder":
        """From a word of the command line, `PHASE:DIR` or `DIR`."""
        named = _NAMED.fullmatch(word)
        return cls(word) if named is None else cls(named["folder"], named["name"])


@dataclass(frozen=True)
class AskedImport:
    """What a user asks to import.

    Attributes:
        folders: in training order.
        tokenizer: what is named of the tokenizer.
        vocabulary: how many ids there are, where the tokenizer's file is not named.
        ids: type of the ids in shards, `int32` or `uint16`.
        sequences: the most rows that a shard is made of several files for.
    """

    folders: Sequence[NamedFolder]
    tokenizer: NamedTokenizer
    vocabulary: int | None = None
    ids: str = "int32"
    sequences: int = Shard.model_fields["sequences"].default


def plan_import(kind: ImportKind, asked: AskedImport) -> ImportPlan:
    """Lists the folders and decides what becomes of them.

    Raises:
        BylineError: a folder is not of this kind, two phases have one name, or the tokenizer has no such token.
    """
    tokenizer = tokenizer_of(asked.tokenizer, asked.vocabulary)
    if asked.ids == "uint16" and tokenizer.vocab_size > 1 << 16:
        raise BylineError(f"--ids uint16: the vocabulary has {tokenizer.vocab_size:,} ids, more than 65,536; use int32")
    folders = [kind.list_folder(locations.absolute(one.folder)) for one in asked.folders]
    for folder in folders:
        # Before any file is read, and hours are spent on those that are there.
        lost = folder.lost()
        if lost:
            raise BylineError(
                f"{folder.location}: {len(lost):,} of {len(folder.files):,} files are missing or of another size than "
                f"its list says (first: {lost[0]}); copy them anew"
            )
    names = [_phase_name(one, folder) for one, folder in zip(asked.folders, folders, strict=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BylineError(f"two folders become the phase {twice!r}; name phases, as in conditioned:DIR cooldown:DIR")
    length = folders[0].length()
    for folder in folders:
        if folder.length() != length:
            raise BylineError(
                f"{folder.location}: its samples have {folder.length():,} tokens, those of {folders[0].location} "
                f"{length:,}; an output has rows of one length"
            )
    return ImportPlan(
        kind=kind.name,
        kind_version=kind.version,
        sequence_length=length,
        ids=asked.ids,
        tokenizer=tokenizer,
        named=asked.tokenizer,
        phases=[
            ImportedPhase(
                name=name,
                source=source,
                folder=folder.location,
                lists_sha256=folder.lists_sha256,
                left_out=list(folder.left_out),
                files=list(folder.files),
                shards=shards_of(folder.files, asked.sequences),
            )
            for name, source, folder in zip(names, _source_names(names, folders), folders, strict=True)
        ],
    )


def _phase_name(asked: NamedFolder, folder: Folder) -> str:
    """As the user says, or what the first sample says."""
    if asked.phase is not None:
        return asked.phase
    return _CONDITIONED if folder.masks() else _PLAIN


def _source_names(phases: Sequence[str], folders: Sequence[Folder]) -> list[str]:
    """The name of each folder; where two have one name, or one has none, those of their phases."""
    names = [folder.location.rpartition("/")[2] for folder in folders]
    return names if len(set(names)) == len(names) and all(names) else list(phases)


def shards_of(files: Sequence[ImportedFile], sequences: int) -> list[list[int]]:
    """The files of each shard: as many as have no more rows than that, and at least one."""
    shards: list[list[int]] = []
    rows = 0
    for number, file in enumerate(files):
        if not shards or rows + file.samples > sequences:
            shards.append([])
            rows = 0
        shards[-1].append(number)
        rows += file.samples
    return shards


def tokenizer_of(named: NamedTokenizer, vocabulary: int | None) -> TokenizerInfo:
    """What is known of the tokenizer. What fills rows of padding is pad, or EOS, or BOS, or 0 where none is named.

    Raises:
        BylineError: neither a file nor the size of the vocabulary is named, or both; or there is no such token.
    """
    if (named.file is None) == (vocabulary is None):
        raise BylineError("name the tokenizer that made the tokens: --tokenizer FILE, or --vocabulary SIZE without one")
    if named.file is None:
        assert vocabulary is not None
        named_ids = {key: _id_of(key, value, vocabulary) for key, value in _tokens(named)}
        name, sha256, size = "unknown", "", vocabulary
    else:
        tokenizer = TextTokenizer(named.file, "tokenizers")
        named_ids = {key: _token_of(key, value, tokenizer) for key, value in _tokens(named)}
        name, sha256, size = named.file.rpartition("/")[2].removesuffix(".json"), tokenizer.sha256, tokenizer.vocab_size
    ids = {key: named_ids.get(key) for key in ("bos", "eos", "pad")}
    pads = [token for token in (ids["pad"], ids["eos"], ids["bos"]) if token is not None]
    return TokenizerInfo(name, sha256, size, ids["bos"], ids["eos"], pads[0] if pads else 0)


def _tokens(named: NamedTokenizer) -> list[tuple[str, str]]:
    return [(key, value) for key, value in asdict(named).items() if key != "file" and value is not None]


def _id_of(key: str, value: str, vocabulary: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) >= vocabulary:
        raise BylineError(
            f"--{key} {shown(value)}: expected an id below {vocabulary:,}; a token's name needs --tokenizer FILE"
        )
    return int(value)


def _token_of(key: str, value: str, tokenizer: TextTokenizer) -> int:
    if value not in tokenizer.vocabulary:
        special = ", ".join(map(shown, tokenizer.special_names[:10])) or "none"
        raise BylineError(f"--{key} {shown(value)}: no token of {tokenizer.file}; its special tokens are {special}")
    return tokenizer.vocabulary[value]
