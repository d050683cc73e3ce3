r"""Hosts, registered domains and paths of URLs, a whole batch at a time.

```
url                                    host               registered_domain   path
https://EN.Wikipedia.org:443/wiki/A?b  en.wikipedia.org   wikipedia.org       /wiki/A
example.co.uk                          example.co.uk      example.co.uk       /
http://user:pw@münchen.de\a            xn--mnchen-3ya.de  xn--mnchen-3ya.de   /a
http://[0:0::1]/                       [::1]              null                /
mailto:someone@example.org             null               null                null
```

docs/metadata.md lists every outcome. URLs are read as browsers read them (the WHATWG URL standard), one without a
scheme as http, and hosts are held to names that the domain system can serve.

A URL is cut into a head (all before the path) and a path by one regular expression in Arrow. What remains is Python,
run once for each distinct head: documents of one site share it.
"""

import functools
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import idna
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import tldextract

# Stripped from both ends of a URL (the standard's "C0 control or space").
_EDGE = "".join(map(chr, range(0x21)))
_PARTS = r"\A(?P<head>(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]*[^/?#\\]*)(?P<path>[^?#]*)(?:[?#](?s:.*))?\z"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):([/\\]*)")
# These take any number of slashes before the authority, none included.
_WEB_SCHEMES = frozenset({"http", "https", "ftp", "ws", "wss"})
# What follows `//` in these is no host that served the document.
_SCHEMES_WITHOUT_HOST = frozenset({"about", "blob", "data", "file", "javascript", "mailto", "urn"})
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_MAX_NAME = 253
# A head with more characters has no host: that bounds the work for one URL, and with _CACHED the memory of a process
# (about 25 MB for the heads of real URLs).
_MAX_HEAD = 1000
_CACHED = 1 << 16


def parse_hosts(urls: pa.Array) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
    """The hosts and registered domains of URLs.

    Args:
        urls: string or large_string [n], with nulls.

    Returns:
        host and registered_domain: dictionary<int32, string> [n], null where unknown; each value is once in its
        dictionary.
    """
    hosts = _hosts(_split(urls)[0])
    domains = _encode([registered_domain(host) for host in hosts.dictionary.to_pylist()], hosts.indices)
    return hosts, domains


def parse_paths(urls: pa.Array) -> pa.Array:
    r"""The paths of URLs, as written but with `/` for `\`.

    Args:
        urls: string or large_string [n], with nulls.

    Returns:
        The type of `urls` [n]: from the first slash after the authority to before `?` or `#`, `/` where that is empty;
        null where the URL has no host.
    """
    heads, paths = _split(urls)
    paths = pc.replace_substring(paths, "\\", "/")
    paths = pc.if_else(pc.equal(paths, ""), pa.scalar("/", urls.type), paths)
    return pc.if_else(_hosts(heads).is_valid(), paths, pa.scalar(None, urls.type))


@functools.lru_cache(maxsize=_CACHED)
def host_of(head: str) -> str | None:
    """The normal form of the host in a URL's head.

    Args:
        head: a URL up to its path, without white space around it: `https://me@Example.org:80`, `//Example.org`.

    Returns:
        A lower-case ASCII name, an IPv4 address or an IPv6 address in brackets; None where there is none, or a bad one.
    """
    authority = _authority(head)
    if not authority:
        return None
    authority = authority.rpartition("@")[2]
    bracketed, bracket, rest = authority.partition("]")
    if authority.startswith("["):
        return _ipv6(bracketed[1:]) if bracket and rest[:1] in ("", ":") and _is_port(rest[1:]) else None
    name, _, port = authority.partition(":")
    return _name(name) if _is_port(port) else None


@functools.lru_cache(maxsize=_CACHED)
def registered_domain(host: str) -> str | None:
    """The public suffix of a host with one label more; None for addresses, suffixes and names outside the list."""
    found = suffix_list()(host)
    return f"{found.domain}.{found.suffix}" if found.domain and found.suffix else None


@functools.cache
def suffix_list() -> "tldextract.TLDExtract":
    """The list that comes with the package, less its private part; never one from the network or a cache on disk."""
    # Here, where a URL is parsed: it comes with a client for HTTP, which most commands do not need.
    import tldextract

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=False)


def _split(urls: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The heads and paths of URLs; null for null, and for bytes that are not UTF-8, which no expression matches."""
    cleaned = pc.replace_substring_regex(pc.ascii_trim(urls, characters=_EDGE), "[\t\n\r]", "")
    head, path = pc.extract_regex(cleaned, _PARTS).flatten()
    return head, path


def _hosts(heads: pa.Array) -> pa.DictionaryArray:
    distinct = heads.dictionary_encode()
    hosts = [host_of(head) if len(head) <= _MAX_HEAD else None for head in distinct.dictionary.to_pylist()]
    return _encode(hosts, distinct.indices)


def _encode(values: list[str | None], indices: pa.Array) -> pa.DictionaryArray:
    """`values[indices]` as a dictionary array in which each value stands once; a null index stays null."""
    encoded = pa.array(values, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(indices), encoded.dictionary)


def _authority(head: str) -> str | None:
    """What stands between the scheme and the path: user info, host and port; None for a URL of a kind that has none."""
    scheme = _SCHEME.match(head)
    if scheme is None:
        slashes = len(head) - len(head.lstrip("/\\"))
        return None if slashes == 1 else head[slashes:]  # one slash: a path relative to an unknown site
    name, slashes = scheme[1].lower(), len(scheme[2])
    if name in _WEB_SCHEMES or (slashes == 2 and name not in _SCHEMES_WITHOUT_HOST):
        return head[scheme.end() :]
    if slashes == 0 and ("." in name or name == "localhost"):  # no scheme but a host with its port
        return head
    return None


def _is_port(text: str) -> bool:
    if not text:
        return True
    return text.isascii() and text.isdigit() and int(text.lstrip("0")[:6] or 0) <= 0xFFFF


def _name(text: str) -> str | None:
    """A host that is no IPv6 address: percent-decoded, in lower-case ASCII, without the root's dot, and checked."""
    try:
        decoded = unquote_to_bytes(text).decode() if "%" in text else text
        name = decoded.lower() if decoded.isascii() else _to_ascii(decoded)
    except UnicodeError:  # not UTF-8, or refused by IDNA
        return None
    name = name.removesuffix(".")
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        return None
    labels = name.split(".")
    return _ipv4(labels) if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]) else name


def _to_ascii(text: str) -> str:
    """UTS 46 mapping, then an A-label for each label that is not ASCII; the others stay, since `idna` refuses `_`.

    Raises:
        idna.IDNAError: a character or a label that IDNA 2008 does not allow.
    """
    labels = idna.uts46_remap(text, std3_rules=False, transitional=False).split(".")
    return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)


def _ipv6(text: str) -> str | None:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    if address.scope_id is not None:
        return None
    if address.ipv4_mapped is not None:  # written in two ways by different versions of Python
        low = int(address)
        return f"[::ffff:{low >> 16 & 0xFFFF:x}:{low & 0xFFFF:x}]"
    return f"[{address.compressed}]"


def _ipv4(labels: list[str]) -> str | None:
    """An address in any of the forms that browsers take: `127.0.0.1`, `127.1`, `0x7f.0.0.1`, `017700000001`."""
    if len(labels) > 4:
        return None
    numbers = [number for number in map(_ipv4_number, labels) if number is not None]
    if len(numbers) < len(labels) or max(numbers[:-1], default=0) > 255 or numbers[-1] >= 256 ** (5 - len(labels)):
        return None
    high = sum(number << (24 - 8 * index) for index, number in enumerate(numbers[:-1]))
    return str(ipaddress.IPv4Address(high + numbers[-1]))


def _ipv4_number(label: str) -> int | None:
    """A decimal number, an octal one after `0`, a hexadecimal one after `0x`."""
    if re.fullmatch(r"0x[0-9a-f]*", label):
        return int(label[2:] or "0", 16)
    if re.fullmatch(r"0[0-7]*", label):
        return int(label, 8)
    return int(label) if re.fullmatch(r"[1-9][0-9]*", label) else None
