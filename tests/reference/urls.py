"""Host, registered domain and path of one URL, by plain string methods, as defined in docs/metadata.md.

```
"HTTPS://me@Example.co.uk:8080/a?b"    ("example.co.uk", "example.co.uk", "/a")
"mailto:me@example.org"                (None, None, None)
```
"""

import pkgutil
import socket
import string

import idna

UNKNOWN = (None, None, None)


def parse_url(text):
    """(host, registered domain, path) of one URL, by plain string methods."""
    if text is None:
        return UNKNOWN
    text = text.strip("".join(map(chr, range(33))))
    for removed in "\t\n\r":
        text = text.replace(removed, "")
    text = text.split("?")[0].split("#")[0].replace("\\", "/")
    begin = _read_authority_begin(text)
    if begin is None:
        return UNKNOWN
    authority, slash, path = text[begin:].partition("/")
    host = _read_host(authority) if begin + len(authority) <= 1000 else None
    return UNKNOWN if host is None else (host, _read_domain(host), slash + path if slash else "/")


def _read_authority_begin(text):
    """How many characters come before the authority; None if there is none."""
    name, colon, after = text.partition(":")
    slashes = len(after) - len(after.lstrip("/"))
    letters = string.ascii_letters
    if colon and name and name[0] in letters and all(x in letters + string.digits + "+.-" for x in name):
        if name.lower() in ("http", "https", "ftp", "ws", "wss"):
            return len(name) + 1 + slashes
        if slashes == 0:
            return 0 if "." in name or name.lower() == "localhost" else None
        hostless = name.lower() in ("mailto", "data", "javascript", "urn", "about", "blob", "file")
        return len(name) + 3 if slashes == 2 and not hostless else None
    slashes = len(text) - len(text.lstrip("/"))
    return None if slashes == 1 else slashes


def _read_host(authority):
    authority = authority.split("@")[-1]
    if authority[:1] == "[":
        end = authority.find("]")
        port = authority[end + 1 :]
        good = end > 0 and (port == "" or (port[0] == ":" and _read_port(port[1:])))
        return _read_ipv6(authority[1:end]) if good else None
    host, _, port = authority.partition(":")
    host = _read_ascii(host)
    if host is None or not _read_port(port):
        return None
    host = host[:-1] if host.endswith(".") else host
    labels = host.split(".")
    allowed = string.ascii_lowercase + string.digits + "-_"
    if len(host) > 253 or not all(1 <= len(label) <= 63 and all(x in allowed for x in label) for label in labels):
        return None
    last = labels[-1]
    hexadecimal = last[:2] == "0x" and all(x in string.hexdigits for x in last[2:])
    return _read_ipv4(labels) if hexadecimal or all(x in string.digits for x in last) else host


def _read_port(port):
    return all(x in string.digits for x in port) and (port == "" or int(port) < 65536)


def _read_ascii(host):
    """The host percent-decoded byte by byte, then each label by IDNA; None if that fails."""
    raw, data, index = host.encode(), bytearray(), 0
    while index < len(raw):
        pair = raw[index + 1 : index + 3].decode("latin-1")
        if raw[index] == ord("%") and len(pair) == 2 and all(x in string.hexdigits for x in pair):
            data.append(int(pair, 16))
            index += 3
        else:
            data.append(raw[index])
            index += 1
    try:
        text = data.decode()
        if text.isascii():
            return text.lower()
        labels = idna.uts46_remap(text, std3_rules=False, transitional=False).split(".")
        return ".".join(label if label.isascii() else idna.encode(label).decode() for label in labels)
    except UnicodeError:
        return None


def _read_ipv4(labels):
    values = []
    for label in labels:
        base, digits = 10, label
        if label[0] == "0":
            base, digits = (16, label[2:] or "0") if label[:2] == "0x" else (8, label)
        if not all(x in "0123456789abcdef"[:base] for x in digits):
            return None
        values.append(int(digits, base))
    room = 5 - len(values)
    if room < 1 or any(value > 255 for value in values[:-1]) or values[-1] >= 256**room:
        return None
    return ".".join(map(str, [*values[:-1], *values[-1].to_bytes(room, "big")]))


def _read_ipv6(text):
    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None
    groups = [f"{packed[i] * 256 + packed[i + 1]:x}" for i in range(0, 16, 2)]
    for length in range(8, 1, -1):
        for start in range(9 - length):
            if groups[start : start + length] == ["0"] * length:
                return f"[{':'.join(groups[:start])}::{':'.join(groups[start + length :])}]"
    return f"[{':'.join(groups)}]"


def _list_rules():
    """The rules in the ICANN section of the packaged list, with labels in ASCII."""
    text = pkgutil.get_data("tldextract", ".tld_set_snapshot").decode().split("===BEGIN PRIVATE DOMAINS===")[0]
    rules = [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("//")]
    return {".".join(x if x.isascii() else idna.encode(x).decode() for x in rule.split(".")) for rule in rules}


RULES = _list_rules()


def _read_domain(host):
    """The list's published algorithm without its last rule: a name that no rule matches has no suffix."""
    labels = host.split(".")
    longest = 0
    for start in range(len(labels)):
        tail = labels[start:]
        if "!" + ".".join(tail) in RULES:
            longest = len(tail) - 1
            break
        if ".".join(tail) in RULES or ".".join(["*", *tail[1:]]) in RULES:
            longest = max(longest, len(tail))
    return ".".join(labels[-longest - 1 :]) if 0 < longest < len(labels) else None
