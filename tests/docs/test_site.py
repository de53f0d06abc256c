"""The documentation as a site: it is built strictly, asks no other host, and is found by search."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def _build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-f", docs / "site" / "mkdocs.yml", "-d", out],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once for the tests of this file that a process runs."""
    out = tmp_path_factory.mktemp("docs") / "site"
    done = _build(DOCS, out)
    assert done.returncode == 0, done.stderr
    return out


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_every_page_becomes_one_and_scripts_do_not(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}
    made = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert made == {*pages, Path("404")}
    assert not list(site.rglob("*.py"))
    assert not list(site.rglob("*.yml"))


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    loading = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}
    for page in site.rglob("*.html"):
        for tag, given in Tags(page.read_text("utf-8")).found:
            place = urlsplit(given.get(loading.get(tag, ""), ""))
            assert not place.netloc, (page, given)
            if place.path:
                assert (page.parent / place.path).exists() or page.name == "404.html", given
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text("utf-8"))


def test_what_leads_nowhere_stops_the_building(tmp_path: Path) -> None:
    docs = shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("*.py"))
    with (docs / "index.md").open("a", encoding="utf-8") as file:
        file.write("\n[lost](how-to/nowhere.md) [lost](errors.md#nothing)\n")
    (docs / "how-to" / "alone.md").write_text("# Outside the navigation\n", encoding="utf-8")
    done = _build(docs, tmp_path / "site")
    assert done.returncode == 1
    for said in ("how-to/nowhere.md", "#nothing", "how-to/alone.md", "3 warnings"):
        assert said in done.stderr + done.stdout


def test_the_index_of_the_search_has_every_message_of_an_error(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    found = {entry["location"]: entry["text"] for entry in index["docs"]}
    storage = re.sub(r"<[^>]+>", "", found["reference/messages.html#storageerror"])
    assert "the disk is full" in storage
    assert "free some space" in storage.lower()
    # The same for a page that is opened from a folder, where a browser reads no JSON.
    script = (site / "search" / "search_index.js").read_text("utf-8")
    assert json.loads(script.removeprefix("var __index = ")) == index


@pytest.mark.browser
@pytest.mark.parametrize(
    ("query", "first"),
    [
        (
            "RecipeError: geometry: unknown key 'variant'. Did you mean 'variants'? Known: options",
            {"errors.html#recipeerror", "reference/messages.html#recipeerror"},
        ),
        (
            "StorageError: runs/mine: the disk is full. Free some space and type the same command",
            {"errors.html#storageerror", "reference/messages.html#storageerror"},
        ),
        ("object_moved", {"errors.html#reasons"}),
        ("what does --templates do", {"how-to/evaluate.html#classes-and-templates"}),
    ],
)
def test_a_browser_finds_it_in_pages_of_a_folder(
    query: str, first: set[str], site: Path, browser: Callable[..., str]
) -> None:
    page = _opened(browser, site / "how-to" / "load.html", f"?q={quote(query)}")
    places = [
        given["href"].partition("/site/")[2].replace("?", "#?").partition("#?")[0]
        + "#"
        + given["href"].rpartition("#")[2]
        for tag, given in page.found
        if tag == "a" and "md-search-result__link" in given.get("class", "")
    ]
    assert first & set(places[:4]), places


@pytest.mark.browser
def test_a_browser_offers_to_copy_code_and_to_go_dark(
    site: Path, browser: Callable[..., str]
) -> None:
    page = _opened(browser, site / "how-to" / "load.html", "")
    blocks = [tag for tag, _ in page.found if tag == "pre"]
    buttons = [given for tag, given in page.found if "md-code__button" in given.get("class", "")]
    assert len(buttons) == len(blocks) > 0
    inputs = [given for tag, given in page.found if given.get("name") == "__palette"]
    assert [given["data-md-color-scheme"] for given in inputs] == ["default", "default", "slate"]


def _opened(browser: Callable[..., str], page: Path, query: str) -> Tags:
    """A page as a browser has it in memory two seconds after it was opened from the folder."""
    return Tags(browser(page, "--dump-dom", "--virtual-time-budget=4000", after=query))
