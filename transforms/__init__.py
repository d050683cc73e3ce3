"""The steps: in each package pure functions over `pa.RecordBatch` first, the PTransform last."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

if __name__ != "byline.transforms":
    # From a checkout's folder this would be a second copy of every module, under a second name.
    raise ImportError(f"{__name__}: import byline.transforms instead")


def lazy_exports(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package that exports names of its modules, each imported when it is first asked for.

    Args:
        package: its name.
        modules: module of the package -> names that it defines.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
