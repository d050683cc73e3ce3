"""Hosts, registered domains and paths: the table of docs/metadata.md, and a slow reader of one URL at a time."""

import os
import string
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.transforms.corpora import urls
from tests.reference.urls import RULES, UNKNOWN, parse_url
from tests.support.thorough import examples

ROOT = Path(__file__).parents[3]


def parse(texts):
    """(host, registered domain, path) of each URL, through the module under test."""
    array = pa.array(texts, pa.large_string())
    hosts, domains = urls.parse_hosts(array)
    return list(zip(hosts.to_pylist(), domains.to_pylist(), urls.parse_paths(array).to_pylist(), strict=True))


LABEL = "a" * 63
LONGEST = f"{LABEL}.{LABEL}.{LABEL}.{'b' * 57}.org"
WIKI = ("en.wikipedia.org", "wikipedia.org")
EXAMPLE = ("example.org", "example.org")
MUNICH = ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de")
LOOPBACK = ("127.0.0.1", None)

OUTCOMES = [
    # case
    ("https://EN.Wikipedia.org/wiki/A", (*WIKI, "/wiki/A")),
    ("HTTPS://en.wikipedia.ORG", (*WIKI, "/")),
    ("http://www.example.co.uk/", ("www.example.co.uk", "example.co.uk", "/")),
    # white space and control characters
    (" \t\x00http://example.org/\n\x1f", (*EXAMPLE, "/")),
    ("ht\ntp://exa\r\n\tmple.org/a\tb c", (*EXAMPLE, "/ab c")),
    ("http://example.org/a\u00a0", (*EXAMPLE, "/a\u00a0")),
    ("\u00a0http://example.org/", UNKNOWN),
    # no scheme
    ("example.org/a", (*EXAMPLE, "/a")),
    ("//example.org/a", (*EXAMPLE, "/a")),
    ("///example.org/a", (*EXAMPLE, "/a")),
    ("\\\\example.org\\a", (*EXAMPLE, "/a")),
    ("example.org:80", (*EXAMPLE, "/")),
    ("example.org?a/b", (*EXAMPLE, "/")),
    ("localhost:8080/x", ("localhost", None, "/x")),
    ("LocalHost:8080/x", ("localhost", None, "/x")),
    ("1.2.3.4:80/x", ("1.2.3.4", None, "/x")),
    ("a_b.example.org:80/x", ("a_b.example.org", "example.org", "/x")),
    ("me@example.org/x", (*EXAMPLE, "/x")),
    ("tel:911", UNKNOWN),
    ("example.org:/x", UNKNOWN),
    ("foo:/x", UNKNOWN),
    ("/a/b", UNKNOWN),
    ("?q", UNKNOWN),
    ("#a", UNKNOWN),
    # schemes without a host
    ("mailto:a@example.org", UNKNOWN),
    ("data:,a", UNKNOWN),
    ("javascript:a", UNKNOWN),
    ("JavaScript://example.org/%0aa", UNKNOWN),
    ("urn:a:b", UNKNOWN),
    ("about:blank", UNKNOWN),
    ("blob:http://example.org/a", UNKNOWN),
    ("file:///x", UNKNOWN),
    ("file://example.org/x", UNKNOWN),
    # other schemes, and their slashes
    ("git://example.org/x", (*EXAMPLE, "/x")),
    ("git+ssh://git@example.org/x", (*EXAMPLE, "/x")),
    ("git:///example.org/x", UNKNOWN),
    ("http:example.org/a", (*EXAMPLE, "/a")),
    ("https:/example.org/a", (*EXAMPLE, "/a")),
    ("http:///example.org/a", (*EXAMPLE, "/a")),
    ("http:\\\\example.org\\a\\b?c\\d", (*EXAMPLE, "/a/b")),
    ("git:\\\\example.org\\x", (*EXAMPLE, "/x")),
    # user info and port
    ("http://user:pw@example.org/", (*EXAMPLE, "/")),
    ("http://a@evil@example.org/b@c", (*EXAMPLE, "/b@c")),
    ("http://example.org@[::1]/", ("[::1]", None, "/")),
    ("http://example.org:8080/", (*EXAMPLE, "/")),
    ("http://example.org:/", (*EXAMPLE, "/")),
    ("http://example.org:00000080/", (*EXAMPLE, "/")),
    ("http://example.org:65535/", (*EXAMPLE, "/")),
    ("http://example.org:65536/", UNKNOWN),
    (f"http://example.org:{'9' * 500}/", UNKNOWN),
    ("http://example.org:8a/", UNKNOWN),
    ("http://example.org:-1/", UNKNOWN),
    ("http://example.org:\u0661/", UNKNOWN),
    ("http://example.org:80:80/", UNKNOWN),
    # dots and lengths
    ("http://example.org./", (*EXAMPLE, "/")),
    ("http://example.org../", UNKNOWN),
    ("http://a..b/", UNKNOWN),
    ("http://.example.org/", UNKNOWN),
    ("http://./", UNKNOWN),
    (f"http://{LABEL}.org/", (f"{LABEL}.org", f"{LABEL}.org", "/")),
    (f"http://a{LABEL}.org/", UNKNOWN),
    (f"http://{LONGEST}/", (LONGEST, f"{'b' * 57}.org", "/")),
    (f"http://{LONGEST}./", (LONGEST, f"{'b' * 57}.org", "/")),
    (f"http://{LONGEST}n/", UNKNOWN),
    (f"http://{'u' * 981}@example.org/", (*EXAMPLE, "/")),
    (f"http://{'u' * 982}@example.org/", UNKNOWN),
    # characters
    ("http://my_host.example.org/", ("my_host.example.org", "example.org", "/")),
    ("http://-a-.example.org/", ("-a-.example.org", "example.org", "/")),
    ("http://r3---sn-a.example.org/", ("r3---sn-a.example.org", "example.org", "/")),
    ("http://exa mple.org/", UNKNOWN),
    ("http://exa\x00mple.org/", UNKNOWN),
    ("http://a,b.org/", UNKNOWN),
    ("http://*.org/", UNKNOWN),
    ("http://a[1].org/", UNKNOWN),
    # percent encoding
    ("http://ex%61mple.o%52g/", (*EXAMPLE, "/")),
    ("http://m%C3%BCnchen.de/%61", (*MUNICH, "/%61")),
    ("http://%2561.org/", UNKNOWN),
    ("http://%ff.org/", UNKNOWN),
    ("http://a%2Fb.org/", UNKNOWN),
    ("http://%zz.org/", UNKNOWN),
    # other alphabets
    ("http://MÜNCHEN.de/ü", (*MUNICH, "/ü")),
    ("http://XN--MNCHEN-3YA.de/", (*MUNICH, "/")),
    ("http://straße.de/", ("xn--strae-oqa.de", "xn--strae-oqa.de", "/")),
    ("http://a_b.münchen.de/", ("a_b.xn--mnchen-3ya.de", "xn--mnchen-3ya.de", "/")),
    ("http://пример.рф/", ("xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai", "/")),
    ("http://ｅxample。org。/", (*EXAMPLE, "/")),
    ("http://xn--99999.org/", ("xn--99999.org", "xn--99999.org", "/")),
    ("http://☃.net/", UNKNOWN),
    ("http://℀.org/", UNKNOWN),
    # addresses
    ("http://192.0.2.1/", ("192.0.2.1", None, "/")),
    ("http://0x7f.1/", (*LOOPBACK, "/")),
    ("http://0X7F.0x./", ("127.0.0.0", None, "/")),
    ("http://2130706433/", (*LOOPBACK, "/")),
    ("http://0177.0.0.01/", (*LOOPBACK, "/")),
    ("http://１２７.1/", (*LOOPBACK, "/")),
    ("http://256.1.1.1/", UNKNOWN),
    ("http://1.2.65536/", UNKNOWN),
    ("http://4294967296/", UNKNOWN),
    ("http://09.1/", UNKNOWN),
    ("http://1.2.3.4.5/", UNKNOWN),
    ("http://a.1/", UNKNOWN),
    ("http://1.a/", ("1.a", None, "/")),
    ("http://[::1]", ("[::1]", None, "/")),
    ("http://[2001:DB8:0:0::1]:80/", ("[2001:db8::1]", None, "/")),
    ("http://[1:0:0:2:0:0:0:3]/", ("[1:0:0:2::3]", None, "/")),
    ("http://[::FFFF:192.0.2.1]/", ("[::ffff:c000:201]", None, "/")),
    ("http://[::1]x/", UNKNOWN),
    ("http://[::1]:x/", UNKNOWN),
    ("http://[fe80::1%25eth0]/", UNKNOWN),
    ("http://[fe80::1%eth0]/", UNKNOWN),
    ("http://[::1", UNKNOWN),
    ("http://[]/", UNKNOWN),
    ("http://::1/", UNKNOWN),
    # public suffixes
    ("http://localhost/", ("localhost", None, "/")),
    ("http://co.uk/", ("co.uk", None, "/")),
    ("http://org/", ("org", None, "/")),
    ("http://a.b.ck/", ("a.b.ck", "a.b.ck", "/")),
    ("http://b.ck/", ("b.ck", None, "/")),
    ("http://a.www.ck/", ("a.www.ck", "www.ck", "/")),
    ("http://printer.local/", ("printer.local", None, "/")),
    ("http://someone.github.io/", ("someone.github.io", "github.io", "/")),
    # paths
    ("http://example.org", (*EXAMPLE, "/")),
    ("http://example.org?a", (*EXAMPLE, "/")),
    ("http://example.org#a/b", (*EXAMPLE, "/")),
    ("http://example.org/a/../b;c=d//?e?f#g", (*EXAMPLE, "/a/../b;c=d//")),
    # nothing
    (None, UNKNOWN),
    ("", UNKNOWN),
    (" \n", UNKNOWN),
    ("http://", UNKNOWN),
    ("http://user@/", UNKNOWN),
]


@pytest.mark.parametrize(("url", "expected"), OUTCOMES, ids=[repr(url)[:60] for url, _ in OUTCOMES])
def test_outcome(url, expected):
    assert parse([url]) == [expected]


def test_outcomes_do_not_depend_on_the_batch():
    expected = [values for _, values in OUTCOMES]
    array = pa.array([url for url, _ in OUTCOMES], pa.large_string())
    for cut in (0, 1, 50, len(OUTCOMES) - 1):
        found = []
        for piece in (array[:cut], array[cut:]):
            hosts, domains = urls.parse_hosts(piece)
            found += zip(hosts.to_pylist(), domains.to_pylist(), urls.parse_paths(piece).to_pylist(), strict=True)
        assert found == expected


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_types_and_dictionaries(kind):
    array = pa.array(["http://a.org/x", "https://A.org", None, "http://b.a.org/"], kind)
    hosts, domains = urls.parse_hosts(array)
    assert hosts.type == domains.type == pa.dictionary(pa.int32(), pa.string())
    assert hosts.dictionary.to_pylist() == ["a.org", "b.a.org"]
    assert domains.dictionary.to_pylist() == ["a.org"]
    assert domains.to_pylist() == ["a.org", "a.org", None, "a.org"]
    assert urls.parse_paths(array).equals(pa.array(["/x", "/", None, "/"], kind))


def test_no_rows_and_only_nulls():
    assert parse([]) == []
    assert parse([None, None]) == [UNKNOWN, UNKNOWN]


def test_bytes_that_are_not_utf8_are_unknown():
    raw = pa.array([b"http://exa\xffmple.org/a", b"http://a.org/\xc3", b"http://b.org/"], pa.large_binary())
    array = pa.Array.from_buffers(pa.large_string(), len(raw), raw.buffers())
    assert urls.parse_hosts(array)[0].to_pylist() == [None, None, "b.org"]
    assert urls.parse_paths(array).to_pylist() == [None, None, "/"]


def test_the_slow_reader_agrees_with_the_table():
    assert [parse_url(url) for url, _ in OUTCOMES] == [expected for _, expected in OUTCOMES]


# --- generated URLs ---

SCHEMES = ["", "http:", "http:", "https:", "HTTP:", "ftp:", "git:", "a+b:", "file:", "localhost:", "a.b:", "1a:", ":"]
SLASHES = ["//", "//", "//", "//", "", "/", "///", "\\\\", "/\\", "\\"]
NOISE = ["", "", "", "", "", " ", "\t", "\n", "\x00", "\u00a0", "\x7f"]
USERS = ["", "", "", "", "user@", "user:pw@", "a@b@", "@", "[::1]@", "ü:%40@"]
PORTS = ["", "", "", "", ":", ":80", ":65535", ":65536", ":8a", ":0000000080", ":٣", ":-1", ":1:2", "]"]
PATHS = ["", "/", "/a", "/a\\b", "\\a", "?q", "#f", "/a?b#c", "#c?d/", "//", "/ü", "/a:b@c", "/a b"]
GOOD_LABELS = ["www", "Example", "a_b", "-", "xn--p1ai", "xn--", "XN--MNCHEN-3YA", "ü", "ß", "a\u0308", "ё", "a" * 63]
ODD_LABELS = ["a" * 64, "%61", "%C3%BC", "%ff", "%", "%zz", "%2e", "*", "a b", "。", "ｏｒｇ", "\u200d", "[", "", "☃"]
NUMBERS = ["0", "1", "255", "256", "0x7f", "0x", "0xg", "077", "09", "65536", "4294967295", "１"]
GROUPS = ["0", "0", "0", "00", "1", "A1", "ffff", "", "1.2.3.4", "%", "g"]
SUFFIXES = ["org", "com", "co.uk", "ck", "www.ck", "kawasaki.jp", "city.kawasaki.jp", "рф", "local", "org."]


def joined(*parts):
    """Strings glued from one of each list (or strategy)."""
    drawn = [st.sampled_from(part) if isinstance(part, list) else part for part in parts]
    return st.tuples(*drawn).map("".join)


ANY_SUFFIX = st.sampled_from(sorted(RULES)).map(lambda rule: rule.replace("*", "w").replace("!", ""))
GOOD_LABEL = st.one_of(
    st.sampled_from(GOOD_LABELS), st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=8)
)
ODD_LABEL = st.one_of(GOOD_LABEL, st.sampled_from(ODD_LABELS), st.text(max_size=3))
GOOD_NAMES = st.tuples(GOOD_LABEL, GOOD_LABEL, st.one_of(st.sampled_from(SUFFIXES), ANY_SUFFIX)).flatmap(
    lambda labels: st.integers(0, 2).map(lambda first: ".".join(labels[first:]))
)
ODD_NAMES = st.lists(st.one_of(ODD_LABEL, st.sampled_from(SUFFIXES)), max_size=4).map(".".join)
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded.upper()}]"),
    st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=5).map(".".join),
    st.lists(st.sampled_from(GROUPS), max_size=9).map(lambda groups: f"[{':'.join(groups)}]"),
)
GOOD_URLS = joined(["http://", "https://", "//", ""], GOOD_NAMES, ["", ":80"], PATHS)
ODD_URLS = joined(
    NOISE, SCHEMES, SLASHES, USERS, NOISE, st.one_of(GOOD_NAMES, ODD_NAMES, ADDRESSES), PORTS, PATHS, NOISE
)
LETTERS = st.text("htps:/\\@.[]?#%012axA-_ü。\t\n \x00", max_size=40)


@examples(300)
@given(st.lists(st.one_of(st.none(), GOOD_URLS, ODD_URLS, LETTERS, st.text()), max_size=20))
def test_agrees_with_the_slow_reader(texts):
    assert parse(texts) == [parse_url(text) for text in texts]


@examples(100)
@given(st.lists(st.one_of(GOOD_NAMES, ODD_NAMES, ADDRESSES), max_size=20))
def test_a_host_is_its_own_normal_form(texts):
    hosts = [host for host, _, _ in parse([f"http://{text}/" for text in texts]) if host is not None]
    assert [host for host, _, _ in parse([f"https://{host}:1/a" for host in hosts])] == hosts


# --- the public suffix list ---

OFFLINE = """
import sys
import tldextract
from byline.transforms.corpora import urls

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith("socket.") or event in ("os.mkdir", "os.rename", "os.remove"):
        sys.exit(f"{event} {arguments}")

sys.addaudithook(watch)
print(urls.registered_domain("a.example.co.uk"))
"""


def test_the_list_takes_no_network_and_writes_no_file(tmp_path):
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TLDEXTRACT_CACHE": str(tmp_path / "cache"),
        "TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS": "http://127.0.0.1:9/list",
    }
    command = [sys.executable, "-c", OFFLINE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("example.co.uk\n", "", 0)
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded():
    assert urls.host_of.cache_info().maxsize == urls.registered_domain.cache_info().maxsize == 1 << 16
