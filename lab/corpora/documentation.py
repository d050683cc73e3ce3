"""Documentation of ten sites, from Debian's packages: real text, whose style and subject depend on the host.

```
apt-get install -y --no-install-recommends python3.11-doc git-doc debian-handbook r-doc-html rust-doc \\
    openjdk-17-doc linux-doc-6.1 python-django-doc octave-doc buildbot-doc
```

These are packages of Debian 12. `pages.jsonl`, a page or a piece of a long one a line:

```
text                     cut at line ends, `page_characters` at most
url, other_url           https://docs.python.org/3.11/library/json.html; the first page of another site
other_host               docs.octave.org: that site, to write a wrong host before a page
```

Pages come in an order by a hash of URL and seed, until a site has `characters`; a site with less text has all of it,
and a page has 64 pieces at most. The same packages and settings give the same bytes.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from byline.errors import BylineError
from byline.lab.corpora.corpus_kind import CorpusKind
from byline.lab.corpora.html_text import text_of
from byline.schemas.model import Model

# A manual on one page has more than a whole site should have of it.
_MOST_PIECES = 64
# Lists of names, source code, other languages.
_NO_PAGES = (
    "translations/",
    "genindex",
    "search.html",
    "_modules/",
    "_sources/",
    "src/",
    "index-files/",
    "class-use/",
    "allclasses",
)


@dataclass(frozen=True)
class Site:
    """Where a package's pages lie, and where they are on the web."""

    package: str
    folder: str
    url: str


_ALL = (
    Site("python3.11-doc", "/usr/share/doc/python3.11/html/", "https://docs.python.org/3.11/"),
    Site("git-doc", "/usr/share/doc/git-doc/", "https://git-scm.com/docs/"),
    Site(
        "debian-handbook", "/usr/share/doc/debian-handbook/html/en-US/", "https://debian-handbook.info/browse/stable/"
    ),
    Site("r-doc-html", "/usr/share/R/doc/manual/", "https://cran.r-project.org/doc/manuals/"),
    Site("rust-doc", "/usr/share/doc/rust-doc/html/", "https://doc.rust-lang.org/"),
    Site(
        "openjdk-17-doc", "/usr/share/doc/openjdk-17-jre-headless/api/", "https://docs.oracle.com/javase/17/docs/api/"
    ),
    Site("linux-doc-6.1", "/usr/share/doc/linux-doc-6.1/html/", "https://docs.kernel.org/6.1/"),
    Site("python-django-doc", "/usr/share/doc/python-django-doc/html/", "https://docs.djangoproject.com/en/3.2/"),
    Site("octave-doc", "/usr/share/doc/octave/octave.html/", "https://docs.octave.org/interpreter/"),
    Site("buildbot-doc", "/usr/share/doc/buildbot/html/", "https://docs.buildbot.net/"),
)
SITES = {site.package: site for site in _ALL}


class DocumentationSettings(Model):
    """What is read.

    Attributes:
        sites: names of packages.
        characters: of a site, at most, but for what its last page has more.
        page_characters: of a page; a longer one is cut into several.
        shortest: characters of the shortest page that is kept.
        seed: decides which pages.
    """

    sites: list[str] = Field(default_factory=lambda: list(SITES), min_length=2)
    characters: int = Field(default=1_500_000, ge=1)
    page_characters: int = Field(default=4_000, ge=100)
    shortest: int = Field(default=200, ge=1)
    seed: int = 0

    @field_validator("sites")
    @classmethod
    def _known(cls, sites: list[str]) -> list[str]:
        if not set(sites) <= set(SITES) or len(set(sites)) < len(sites):
            raise ValueError(f"expected some of {', '.join(SITES)}, each once")
        return sites


def write_documentation(settings: DocumentationSettings, folder: Path) -> None:
    """Writes the pages of all sites, site after site.

    Raises:
        BylineError: a package is not installed.
    """
    sites = [SITES[name] for name in settings.sites]
    files = installed_files(sites)
    with (folder / "pages.jsonl").open("w", encoding="utf-8", newline="\n") as output:
        for site in sites:
            for url, text in _pages(settings, site, files[site.package]):
                others = [one.url for one in sites if one != site]
                other = others[_hash(settings.seed, f"other {url}") % len(others)]
                record = {"text": text, "url": url, "other_url": other, "other_host": urlsplit(other).hostname}
                output.write(json.dumps(record, ensure_ascii=False) + "\n")


def installed_files(sites: list[Site]) -> dict[str, list[Path]]:
    """The pages of each package.

    Raises:
        BylineError: some are not installed; the message has the command that installs them.
    """
    files = {site.package: _listed(site) for site in sites}
    if missing := [package for package, paths in files.items() if not paths]:
        raise BylineError(
            f"documentation: {len(missing)} of {len(sites)} packages of Debian 12 are not installed; "
            f"apt-get install -y --no-install-recommends {' '.join(missing)}, or name fewer `sites`"
        )
    return files


def _listed(site: Site) -> list[Path]:
    try:
        made = subprocess.run(["dpkg-query", "-L", site.package], capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return [
        Path(line)
        for line in made.stdout.splitlines()
        if line.startswith(site.folder) and line.endswith(".html") and Path(line).is_file()
    ]


def _pages(settings: DocumentationSettings, site: Site, files: list[Path]) -> Iterator[tuple[str, str]]:
    """URL and text of pages until the site has enough."""
    addresses = {site.url + str(file).removeprefix(site.folder): file for file in files}
    size, seen = 0, set[Path]()
    for url in sorted(addresses, key=lambda url: (_hash(settings.seed, url), url)):
        file = addresses[url].resolve()
        if file in seen or any(part in url for part in _NO_PAGES):
            continue
        seen.add(file)
        text = text_of(file.read_text(encoding="utf-8", errors="replace"))
        for piece in cut(text, settings.page_characters)[:_MOST_PIECES]:
            if len(piece) < settings.shortest:
                continue
            yield url, piece
            size += len(piece)
            if size >= settings.characters:
                return


def cut(text: str, most: int) -> list[str]:
    """Pieces of at most so many characters, cut at line ends where there is one.

    ```
    most 8      one\\ntwo\\nthree\\nextraordinary   ->   one\\ntwo   three   extraord   inary
    ```
    """
    pieces = []
    while len(text) > most:
        end = text.rfind("\n", 1, most + 1)
        end = most if end == -1 else end
        pieces.append(text[:end])
        text = text[end:].removeprefix("\n")
    return [*pieces, text]


def _hash(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {text}".encode(), digest_size=8).digest(), "big")


DOCUMENTATION = CorpusKind("documentation", DocumentationSettings, write_documentation)
