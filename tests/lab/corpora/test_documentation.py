"""Pages of installed documentation: which, how they are cut, and what is said where a package is not there."""

import json
import subprocess

import pytest

from byline.errors import BylineError
from byline.lab.corpora import documentation
from byline.lab.corpora.documentation import SITES, DocumentationSettings, Site, cut, write_documentation
from byline.lab.corpora.kinds import KINDS


@pytest.fixture
def two_sites(tmp_path, monkeypatch):
    """Two packages, listed by a dpkg-query of their own."""
    sites = {}
    for name, host in (("one", "docs.one.org"), ("two", "two.example.com")):
        folder = tmp_path / name
        folder.mkdir()
        for page in range(6):
            (folder / f"{page}.html").write_text(f"<nav>menu</nav><p>{name} {page}</p><p>{'text ' * 60}</p>")
        (folder / "genindex.html").write_text(f"<p>{'name ' * 60}</p>")
        (folder / "short.html").write_text("<p>too short</p>")
        (folder / "same.html").symlink_to(folder / "0.html")
        (folder / "notes.txt").write_text("no page")
        sites[name] = Site(name, f"{folder}/", f"https://{host}/doc/")

    def listed(command, **settings):
        folder = tmp_path / command[-1]
        paths = sorted(map(str, folder.iterdir())) if folder.exists() else []
        return subprocess.CompletedProcess(command, 0, "\n".join([str(folder), *paths, f"{folder}/gone.html"]))

    monkeypatch.setattr(documentation, "SITES", sites)
    monkeypatch.setattr(subprocess, "run", listed)
    return DocumentationSettings.model_construct(
        sites=["one", "two"], characters=10_000, page_characters=4_000, shortest=200, seed=0
    )


def written(settings, folder):
    folder.mkdir()
    write_documentation(settings, folder)
    return [json.loads(line) for line in (folder / "pages.jsonl").read_text(encoding="utf-8").splitlines()]


def test_pages_have_their_address_and_another(two_sites, tmp_path):
    pages = written(two_sites, tmp_path / "out")
    assert len(pages) == 12
    assert pages[0]["url"].startswith("https://docs.one.org/doc/")
    assert pages[0]["other_url"] == "https://two.example.com/doc/"
    assert pages[0]["other_host"] == "two.example.com"
    assert pages[-1]["other_host"] == "docs.one.org"
    texts = {page["text"].split("\n")[0] for page in pages}
    assert texts == {f"{name} {page}" for name in ("one", "two") for page in range(6)}
    assert pages[0]["text"].split("\n")[1] == ("text " * 60).strip()


def test_a_site_has_so_many_characters(two_sites, tmp_path):
    # A page has 305 characters: two of them are fewer than 700, three are more.
    pages = written(two_sites.model_copy(update={"characters": 700}), tmp_path / "out")
    assert [page["other_host"] for page in pages] == ["two.example.com"] * 3 + ["docs.one.org"] * 3


def test_the_same_bytes_again_and_others_with_another_seed(two_sites, tmp_path):
    pages = written(two_sites, tmp_path / "out")
    assert written(two_sites, tmp_path / "again") == pages
    other = written(two_sites.model_copy(update={"seed": 1}), tmp_path / "other")
    assert other != pages
    assert sorted(page["text"] for page in other) == sorted(page["text"] for page in pages)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("one\ntwo\nthree\nextraordinary", ["one\ntwo", "three", "extraord", "inary"]),
        ("12345678", ["12345678"]),
        ("12345678\n9", ["12345678", "9"]),
        ("\n12345678", ["\n1234567", "8"]),
        ("", [""]),
    ],
)
def test_cut(text, pieces):
    assert cut(text, 8) == pieces


def test_packages_that_are_not_installed(two_sites, monkeypatch):
    monkeypatch.setitem(documentation.SITES, "octave-doc", SITES["octave-doc"])
    with pytest.raises(BylineError) as error:
        documentation.installed_files(list(documentation.SITES.values()))
    assert str(error.value) == (
        "documentation: 1 of 3 packages of Debian 12 are not installed; "
        "apt-get install -y --no-install-recommends octave-doc, or name fewer `sites`"
    )


def test_a_system_without_packages(two_sites, monkeypatch):
    def missing(*command, **settings):
        raise FileNotFoundError("dpkg-query")

    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(BylineError, match="2 of 2 packages of Debian 12 are not installed"):
        documentation.installed_files(list(documentation.SITES.values()))


@pytest.mark.parametrize("sites", [["git-doc", "perl-doc"], ["git-doc", "git-doc"]])
def test_sites_that_are_not_known_or_there_twice(sites):
    with pytest.raises(BylineError, match=r"corpora\.docs\.sites: expected some of python3\.11-doc, .*, each once"):
        KINDS["documentation"].parse({"sites": sites}, "corpora.docs")
