"""The site: builds without a warning, needs nothing from elsewhere, and its links lead somewhere."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """The addresses that a page fetches or links, and the names of its places."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.fetched, self.places = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.places |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe") and found.get("src"):
            self.fetched.append(found["src"])
        if tag == "link" and found.get("href") and found.get("rel") in ("stylesheet", "icon"):
            self.fetched.append(found["href"])


@pytest.fixture(scope="module")
def site(project, tmp_path_factory):
    """The built site: its folder and its pages."""
    for part in ("myst_nb", "furo", "latex2mathml", "nbgrader"):
        pytest.importorskip(part, reason="the site's packages are installed by make site")
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-b", "html", "docs", str(out)]
    made = subprocess.run(build, cwd=project, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-3000:]
    return out, {path: Page(path.read_text()) for path in out.rglob("*.html") if "_static" not in path.parts}


def test_every_internal_link_leads_to_a_page_and_a_place_in_it(site):
    _, pages = site
    assert len(pages) > 20
    broken = []
    for path, page in pages.items():
        for link in page.links + page.fetched:
            if re.match(r"[a-z]+:", link):
                continue
            address, _, place = link.partition("#")
            target = (path.parent / unquote(address.partition("?")[0])).resolve() if address else path
            if not target.exists() or (place and target in pages and unquote(place) not in pages[target].places):
                broken.append((path.name, link))
    assert broken == []


def test_nothing_is_fetched_from_elsewhere(site):
    _, pages = site
    assert {link for page in pages.values() for link in page.fetched if re.match(r"(https?:)?//", link)} == set()


def test_formulas_are_drawn_and_exercises_stand_without_their_answers(site):
    out, _ = site
    losses = (out / "notebooks" / "04_losses.html").read_text()
    formulas = re.findall(r"<math.*?</math>", losses, re.DOTALL)
    assert len(formulas) > 10
    assert [formula for formula in formulas if "\\" in re.sub(r"<[^>]+>", "", formula)] == []
    text = "".join(path.read_text() for path in (out / "notebooks").glob("*.html"))
    assert "SOLUTION" not in text
    assert text.count("# Your code here.") > 20
    assert "For the teacher" not in text


def test_the_search_knows_the_pages(site):
    out, _ = site
    index = json.loads(re.search(r"Search.setIndex\((.*)\)", (out / "searchindex.js").read_text()).group(1))
    assert {"glossary", "teach/plan", "notebooks/05_training"} <= set(index["docnames"])


def test_try_it_opens_the_page_or_says_how_to_make_it(site):
    out, pages = site
    said = re.sub(r"<[^>]+>", "", (out / "try.html").read_text())
    assert "try.html" in pages[out / "index.html"].links
    if "try/index.html" not in pages[out / "try.html"].links:
        assert "srkit app --static DIR" in said
        return
    files = json.loads((out / "try" / "files.json").read_text())
    assert [name for name in files if not (out / "try" / name).exists()] == []
