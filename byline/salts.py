"""Salts of hashed fields: a build holds a salt's digest alone, and whoever is to hash with it gives it once more.

```
recipe      salt: 7f2c...              plain, as the user wrote it
manifest    salt: scrypt:4be3a1...     its digest
to hash     BYLINE_SALT=7f2c...        in the environment; or this process has read a recipe with it
```

Without the salt nobody can try which host gives a hash. A digest lets salts be tried, but each try costs a scrypt of
16 MiB (N = 2^14, r = 8, p = 1), far more than a try on a hash itself: a long random salt is not found, a short one may
be. The default salt, `byline`, hides nothing.
"""

import hashlib
import os
from functools import lru_cache

from byline.errors import BylineError

VARIABLE = "BYLINE_SALT"
DEFAULT = "byline"
_PREFIX = "scrypt:"
# Plain salts that this process was given, by their digests.
_known: dict[str, str] = {}


@lru_cache(maxsize=1024)
def salt_digest(salt: str) -> str:
    """What files hold of a salt; of a digest, that digest."""
    if salt.startswith(_PREFIX):
        return salt
    key = hashlib.scrypt(salt.encode(), salt=b"byline.salt", n=2**14, r=8, p=1, dklen=16)
    return f"{_PREFIX}{key.hex()}"


def remember_salt(salt: str) -> None:
    """Lets `plain_salt` find a salt of this process by its digest."""
    if not salt.startswith(_PREFIX):
        _known[salt_digest(salt)] = salt


def plain_salt(value: str) -> str:
    """The salt of a digest, where this process or its environment has it; else the value as it is."""
    if not value.startswith(_PREFIX):
        return value
    if value not in _known:
        for salt in (DEFAULT, os.environ.get(VARIABLE, DEFAULT)):
            remember_salt(salt)
    return _known.get(value, value)


def needed_salt(value: str) -> str:
    """The plain salt, to hash with.

    Raises:
        BylineError: only its digest is known.
    """
    salt = plain_salt(value)
    if salt.startswith(_PREFIX):
        raise BylineError(
            f"the salt of the hashed fields is needed, and files hold its digest alone; set {VARIABLE} to the recipe's "
            "`salt`"
        )
    return salt
