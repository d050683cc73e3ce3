"""Addresses in object stores: what is one, and its parts.

```
s3://bucket/a%20b/c    scheme s3    bucket/a b/c        special characters are escaped
out/meco                                                a path, no address
```

An address has no options, and no empty name between two slashes, which Arrow cannot open. What else looks like one is
refused by `byline.locations`; what is there is read by `byline.object_stores`, which is imported for an address alone:
Arrow's clients take a tenth of `import byline`.
"""

import re

from byline.errors import BylineError

SCHEMES = ("s3", "gs")


def is_object_address(location: str) -> bool:
    """Whether this is an address in an object store, not a path."""
    return location.partition("://")[0] in SCHEMES and "://" in location


def split_address(uri: str) -> tuple[str, str]:
    """The scheme of an address, and `bucket/key`.

    Raises:
        BylineError: it has options, a user, no bucket, or a key with an empty name between slashes.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket or "@" in bucket or "?" in rest:
        raise BylineError(
            f"{without_secrets(uri)}: expected {scheme}://bucket/key without user or options; "
            "credentials, endpoint and region come from the environment (docs/object_stores.md)"
        )
    from urllib.parse import unquote

    path = f"{bucket}/{unquote(key)}".rstrip("/")
    if "//" in path:
        raise BylineError(
            f"{uri}: an empty name between two slashes can neither be read nor written; remove one of the slashes, "
            "or copy what is there to other keys"
        )
    return scheme, path


def address(scheme: str, path: str) -> str:
    """The address of `bucket/key`, special characters escaped."""
    from urllib.parse import quote

    return f"{scheme}://{quote(path)}"


def without_secrets(uri: str) -> str:
    """An address as messages show it: without user, password and options."""
    return re.sub("//[^/@]*@", "//...@", uri.partition("?")[0])
