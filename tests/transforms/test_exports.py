"""What the packages of transforms export is there, and importing a package imports none of its modules."""

import importlib.util
import subprocess
import sys

import pytest

PACKAGES = ["corpora", "fields", "filters", "formatters", "scores", "store", "tokens"]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_name_is_there_and_documented(package: str) -> None:
    module = importlib.import_module(f"byline.transforms.{package}")
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        # A module of that name would hide what is exported as soon as it is imported.
        assert importlib.util.find_spec(f"{module.__name__}.{name}") is None
        exported = getattr(module, name)
        assert exported.__name__ == name
        assert exported.__doc__
    with pytest.raises(AttributeError, match=f"module 'byline.transforms.{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_importing_the_packages_imports_no_beam() -> None:
    imports = "; ".join(f"import byline.transforms.{package}" for package in PACKAGES)
    code = f"import sys; {imports}; print({{'apache_beam', 'numba', 'pydantic'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
