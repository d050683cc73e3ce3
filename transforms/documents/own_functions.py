"""A user's own functions, named `package.module:function` in a recipe.

They are imported where the work is done, from the module path or the current folder. What they do depends on the
module's file, so its SHA-256 is part of the fingerprint.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from byline.errors import BylineError
from byline.schemas.own_objects import import_own, module_file
from byline.transforms.files.storage import read_bytes


def import_function(where: str, name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The function of that name, which takes a batch and these options.

    Args:
        where: the key that names it.
        name: `package.module:function`.
        options: its keyword arguments.

    Raises:
        BylineError: it cannot be imported, or does not take the options.
    """
    function = import_own(where, name, "function")
    if not callable(function):
        raise BylineError(f"{where}: {name} is {type(function).__name__}, not a function")
    check_options(where, name, function, options)
    return function


def check_options(where: str, name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuses options that a function does not take in addition to its batch. Raises: BylineError."""
    try:
        inspect.signature(function).bind(None, **options)
    except TypeError as error:
        taken = ", ".join(list(inspect.signature(function).parameters)[1:]) or "none"
        raise BylineError(f"{where}: {name} cannot be called with these options ({error}); it takes: {taken}") from None


def module_sha256(where: str, name: str) -> str:
    """The SHA-256, in hex, of the file that a function is in.

    Raises:
        BylineError: there is no such module, or it has no file.
    """
    return hashlib.sha256(read_bytes(module_file(where, name))).hexdigest()
