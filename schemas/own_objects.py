"""Objects of a user's own, which a recipe names `package.module:object`.

```
sequence: {packing: "mine:tail_first"}          mine.py in the current folder     tail_first = TailFirst()
sequence: {packing: "lab.packing:tail_first"}   an installed package
```

They are imported where the work is done, from the module path or the current folder.
"""

import difflib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from byline.errors import BylineError
from byline.printable import shown

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
Kind = TypeVar("Kind")
_ADVICE = "install its package, or run in the folder that holds it"


def is_own_name(name: str) -> bool:
    """Whether it is written `package.module:object`."""
    return _NAME.fullmatch(name) is not None


def import_own(where: str, name: str, what: str = "object") -> Any:
    """The object of that name.

    Args:
        where: the key that names it, for messages.
        name: `package.module:object`.
        what: it should be, for messages.

    Raises:
        BylineError: the module cannot be imported, or has no such object.
    """
    module_name, _, object_name = name.partition(":")
    search_current_folder(is_new=module_name not in sys.modules)
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise BylineError(f"{where}: {module_name} cannot be imported ({error}); {_ADVICE}") from None
    if not hasattr(module, object_name):
        raise BylineError(f"{where}: {module.__file__} has no {what} {object_name!r}")
    return getattr(module, object_name)


def module_file(where: str, name: str) -> str:
    """The path of the file that an object is in; what is in it decides what the object does.

    Raises:
        BylineError: there is no such module, or it is no file.
    """
    module = name.partition(":")[0]
    search_current_folder()
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
        raise BylineError(f"{where}: there is no module {module}; {_ADVICE}")
    return spec.origin


def find_own(where: str, name: str, table: Mapping[str, Any]) -> Any:
    """The object that a recipe names: of the kind's table, or a user's own.

    Args:
        where: the key that names it, for messages.
        name: in the table, or `package.module:object`.
        table: all that come with Byline, by name.

    Raises:
        BylineError: there is no such object.
    """
    if not isinstance(name, str):
        raise BylineError(f"{where}: expected {', '.join(table)} or package.module:object, found {shown(name)}")
    if name in table:
        return table[name]
    if not is_own_name(name):
        near = difflib.get_close_matches(name, table, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BylineError(f"{where}: expected {', '.join(table)} or package.module:object, found {shown(name)}{hint}")
    return import_own(where, name)


def object_named(where: str, name: str, table: Mapping[str, Kind], base: type[Any]) -> Kind:
    """The same, an instance of `base` whoever made it. Raises: BylineError."""
    named = find_own(where, name, table)
    if not isinstance(named, base):
        raise BylineError(f"{where}: {name} is no object below {base.__module__}.{base.__name__}")
    return named


def search_current_folder(is_new: bool = True) -> None:
    """An installed command does not look for modules in the current folder; a worker may already.

    Args:
        is_new: whether what is looked for is not imported yet, so that folders are to be listed again.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    if is_new:
        importlib.invalidate_caches()
