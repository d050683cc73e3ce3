"""Lists the input files of a source: patterns -> `InputFile`s, in order of their paths.

```
pattern                    "data/dclm/**/*.jsonl.zst"
root                       data/dclm                      the part before the first wildcard, cut back to a folder
found                      data/dclm/a/0.jsonl.zst        data/dclm/a/.tmp-7-1.jsonl.zst   data/dclm/a/b/1.jsonl.zst
InputFile.path             a/0.jsonl.zst                  (hidden: not taken)              a/b/1.jsonl.zst
```

| in a pattern | matches |
|---|---|
| `*`, `?`, `[a-c]`, `[!a-c]` | any characters, one, one of these, one not of these; never `/` |
| `**` as a whole part | any number of folders, none included; as the last part, any file below |
| `{a,b}`, `{01..12}` | each of these, each number (or letter) from one to the other; they may have `/` and wildcards |
| `~`, `$NAME`, `${NAME}` | the home folder, at the start alone; a variable of the environment, if it is set |
| no wildcard | that one file; characters of its name may then not be `*`, `?` or `[` |

On a disk links are followed, and each file is taken once (`disk_files.py`).

`{` is a wildcard where its braces stand for several, and one of those at least has to match a file. Several patterns
are one list with one root, their common folder; a file that two of them match is in it once. Names
that begin with `.` or `_` (hidden and half-written files, `_SUCCESS`) are taken only where that part of the pattern
begins with the same character. A bucket takes no wildcard. An object whose key has an empty name (`a//0.json`) is an
error where a pattern matches it, because Arrow lists such objects and cannot open them. A source that is made has no
patterns; its "files" are stretches of what is made.
"""

import itertools
import os
import re
from dataclasses import dataclass
from urllib.parse import quote

from pyarrow import fs

from byline.addresses import is_object_address
from byline.errors import BylineError
from byline.schemas.corpora import Source
from byline.schemas.documents import InputFile
from byline.schemas.patterns import WILDCARD, expand_braces, head_of, unset_variables
from byline.transforms.corpora.disk_files import ListedFile, each_once, matching_files, named_file
from byline.transforms.corpora.matching import Names, whole_regex
from byline.transforms.files import storage


@dataclass(frozen=True)
class _Pattern:
    """A pattern cut in two: `head`, the folder before the first wildcard, and `tails`, what to match below it: several
    where `text`, as it was written, has braces."""

    text: str
    head: str
    tails: tuple[str, ...]


@dataclass(frozen=True)
class _Folder:
    """The head of a pattern, resolved. `path` has no `/` at its end and is empty for the root of a disk."""

    filesystem: fs.FileSystem
    path: str


def list_inputs(name: str, source: Source) -> list[InputFile]:
    """Expands the patterns of a source, or asks its layout where that lists them itself.

    Args:
        name: the source's name.
        source: its configuration.

    Returns:
        The files in order of their paths' UTF-8 bytes, each once.

    Raises:
        BylineError: a pattern matches nothing, or the patterns are on different file systems.
    """
    if source.layout.list_files is not None:
        return source.layout.list_files(name, source)
    if not source.patterns:
        raise BylineError(
            f"sources.{name}.path: this key is needed: a pattern of the source's files, or a list of them"
        )
    return list_matches(f"sources.{name}.path", source.patterns, name)


def list_matches(where: str, texts: list[str], name: str = "") -> list[InputFile]:
    """Expands patterns, also those of files that are no source's.

    Args:
        where: the key of the configuration that has them, for messages.
        texts: one pattern or more, with this machine's home and variables in them (`patterns.expand_variables`).
        name: of the source.

    Returns:
        The files in order of their paths' UTF-8 bytes, each once.

    Raises:
        BylineError: a pattern matches nothing, or the patterns are on different file systems.
    """
    patterns = {text: [(pattern, _resolve(pattern.head)) for pattern in _split(text)] for text in texts}
    roots = [_resolve(head_of(text)) for text in texts]
    if any(root.filesystem != roots[0].filesystem for root in roots):
        raise BylineError(f"{where}: the patterns are on different file systems; make each a source of its own")
    # Braces may lead out of a root: {a,../b}.
    roots += [folder for split in patterns.values() for _, folder in split]
    root = os.path.commonpath([f"/{folder.path.lstrip('/')}" for folder in roots])
    found = itertools.chain.from_iterable(_find(where, split) for split in patterns.values())
    files: dict[str, InputFile] = {}
    for file in each_once(found):
        path = f"/{file.path.lstrip('/')}".removeprefix(root).lstrip("/")
        files.setdefault(path, InputFile(name, path, file.uri, file.size, modified=file.modified))
    return sorted(files.values(), key=lambda file: file.path.encode())


def _find(where: str, split: list[tuple[_Pattern, _Folder]]) -> list[ListedFile]:
    """The files of one pattern as it was written. Raises: BylineError: there are none."""
    files = [file for pattern, folder in split for file in _matches(where, pattern, folder)]
    if not files:
        pattern, folder = split[0]
        unset = "".join(f"${variable} is not set; " for variable in unset_variables(pattern.text))
        nearest = _nearest(pattern, folder)
        raise BylineError(f"{where}: no file matches {pattern.text!r}; {unset}{nearest}")
    return files


def _split(text: str) -> list[_Pattern]:
    """What the braces of a pattern stand for; what is in one folder is listed once."""
    tails: dict[str, list[str]] = {}
    for expanded in expand_braces(text):
        wildcard = WILDCARD.search(expanded)
        cut = expanded.rfind("/", 0, wildcard.start() if wildcard else len(expanded)) + 1
        tail = "/".join(part for part in expanded[cut:].split("/") if part not in ("", "."))
        tails.setdefault(expanded[:cut], []).append(tail)
    return [_Pattern(text, head, tuple(found)) for head, found in tails.items()]


def _resolve(head: str) -> _Folder:
    # "data/" and "s3://bucket/a/" lose the slash; "/" is nothing without it.
    filesystem, path = storage.resolve(head.rstrip("/") or head)
    return _Folder(filesystem, path.rstrip("/"))


def _matches(where: str, pattern: _Pattern, folder: _Folder) -> list[ListedFile]:
    paths = [f"{folder.path}/{tail}" for tail in pattern.tails if not WILDCARD.search(tail)]
    tails = [tail for tail in pattern.tails if WILDCARD.search(tail)]
    try:
        if is_object_address(pattern.head):
            return _objects(where, pattern, folder, paths, tails)
        if any(map(os.path.isdir, paths)):
            raise _is_folder(where, pattern)
        named = [file for path in paths if (file := named_file(path)) is not None]
        return [*named, *(matching_files(folder.path or "/", Names(tails)) if tails else ())]
    except re.error as error:
        raise BylineError(f"{where}: {pattern.text!r} is not a pattern ({error.msg})") from None


def _is_folder(where: str, pattern: _Pattern) -> BylineError:
    advice = f"{pattern.text.rstrip('/')}/**"
    return BylineError(f"{where}: {pattern.text!r} is a folder; write {advice!r} for all files in it")


def _objects(where: str, pattern: _Pattern, folder: _Folder, paths: list[str], tails: list[str]) -> list[ListedFile]:
    """The objects of these paths, and those that match a pattern below the folder."""
    infos = folder.filesystem.get_file_info(paths)
    if any(info.type == fs.FileType.Directory for info in infos):
        raise _is_folder(where, pattern)
    if tails:
        regex, start = re.compile("|".join(map(whole_regex, tails)), re.DOTALL), len(folder.path) + 1
        deep = any("/" in tail or tail == "**" for tail in tails)
        infos += [info for info in _list(pattern, folder, deep) if regex.fullmatch(info.path[start:])]
    infos = [info for info in infos if info.type == fs.FileType.File]
    unnamed = next((info.path for info in infos if "//" in info.path), None)
    if unnamed is not None:
        raise BylineError(
            f"{where}: {pattern.text!r} matches the object {_shown(pattern, unnamed)!r}, and one with an "
            "empty name between two slashes cannot be read; copy it to another key, or write a pattern without it"
        )
    return [_object(pattern, folder, info) for info in infos]


def _object(pattern: _Pattern, folder: _Folder, info: fs.FileInfo) -> ListedFile:
    # Special characters are escaped in an address.
    uri = pattern.head + quote(info.path[len(folder.path) + 1 :])
    return ListedFile(info.path, uri, info.size, storage.time_of(uri, info), (info.path,))


def _list(pattern: _Pattern, folder: _Folder, deep: bool) -> list[fs.FileInfo]:
    folder_path = folder.path or "/"
    if folder.filesystem.get_file_info(folder_path).type != fs.FileType.Directory:
        return []
    try:
        return folder.filesystem.get_file_info(fs.FileSelector(folder_path, recursive=deep))
    except OSError as error:
        reason = str(error).split(". Detail")[0]
        raise BylineError(f"{pattern.head or '.'}: cannot be listed ({reason}); check its permissions") from None


def _nearest(pattern: _Pattern, folder: _Folder) -> str:
    """Says how far a pattern leads."""
    path = folder.path
    while path and folder.filesystem.get_file_info(path).type != fs.FileType.Directory:
        path = path.rpartition("/")[0]
    if not path and is_object_address(pattern.head):
        bucket = folder.path.partition("/")[0]
        return f"there is no bucket {_shown(pattern, bucket)!r}, or its objects may not be listed"
    return (
        f"the nearest folder that exists is {_shown(pattern, path) or '/'!r} "
        "(names that begin with '.' or '_' match only if the pattern names them)"
    )


def _shown(pattern: _Pattern, path: str) -> str:
    """A path as messages have it; that of an object as its address, with nothing escaped."""
    return f"{pattern.head.partition('://')[0]}://{path}" if is_object_address(pattern.head) else path
