"""Functions of a user's own, named `package.module:function` in a recipe.

They are imported where the work is done, from the module path or the current folder; what is in the module's file
decides what they do, so its SHA-256 stands for it in a fingerprint.
"""

import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from byline.errors import BylineError
from byline.transforms.files.storage import read_bytes

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_ADVICE = "install its package, or run in the folder that holds it"


def is_function_name(name: str) -> bool:
    """Whether it is written `package.module:function`."""
    return _NAME.fullmatch(name) is not None


def import_function(where: str, name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The function of that name, which takes a batch and these options.

    Args:
        where: the key that names it.
        name: `package.module:function`.
        options: its keyword arguments.

    Raises:
        BylineError: it cannot be imported, or does not take the options.
    """
    module_name, _, function_name = name.partition(":")
    _search_current_folder()
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise BylineError(f"{where}: {module_name} cannot be imported ({error}); {_ADVICE}") from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise BylineError(f"{where}: {module.__file__} has no function {function_name!r}")
    check_options(where, name, function, options)
    return function


def check_options(where: str, name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuses options that a function does not take beside its batch. Raises: BylineError."""
    try:
        inspect.signature(function).bind(None, **options)
    except TypeError as error:
        taken = ", ".join(list(inspect.signature(function).parameters)[1:]) or "none"
        raise BylineError(f"{where}: {name} cannot be called with these options ({error}); it takes: {taken}") from None


def module_sha256(where: str, name: str) -> str:
    """The SHA-256, in hex, of the file that a function is in.

    Raises:
        BylineError: there is no such module, or it is no file.
    """
    module = name.partition(":")[0]
    _search_current_folder()
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
        raise BylineError(f"{where}: there is no module {module}; {_ADVICE}")
    return hashlib.sha256(read_bytes(spec.origin)).hexdigest()


def _search_current_folder() -> None:
    """An installed command does not look for modules in the current folder; a worker may already."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
