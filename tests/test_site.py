"""The course site: its links, and what a reader sees of it in a browser."""

import posixpath
import re
from collections import defaultdict
from itertools import pairwise
from urllib.parse import unquote, urlsplit

import build_site
import nbformat
import pytest
from bs4 import BeautifulSoup
from lesson_files import NOTEBOOKS
from site_inspection import INSPECT
from site_pages import relinked

VIEWS = {
    "phone, light": {"viewport": {"width": 390, "height": 844}},
    "laptop, dark": {
        "viewport": {"width": 1366, "height": 768},
        "color_scheme": "dark",
    },
}
# Of the pages made from docstrings, those with the longest tables and signatures.
API_PAGES = (
    "api/index.html",
    "api/course_utils.results.html",
    "api/course_utils.training.loop.html",
)
PRINTED = ("index.html", "glossary.html", "notebooks/01_residual_blocks.html")
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of the notebooks as they are, made without a warning."""
    target = tmp_path_factory.mktemp("site") / "pages"
    notebooks = sorted(NOTEBOOKS.glob("*.ipynb"))
    chinese = sorted(NOTEBOOKS.glob("zh/*.ipynb"))
    assert build_site.build_site(notebooks, target, strict=True, chinese=chinese)
    return target


@pytest.fixture(scope="module")
def soups(site):
    """All pages, parsed, by their place on the site."""
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(
            path.read_bytes(), "html.parser"
        )
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }


def test_every_kind_of_page_is_there(soups):
    expected = {f"notebooks/{p.stem}.html" for p in NOTEBOOKS.glob("*.ipynb")}
    expected |= {f"{n}.html" for n in ("index", "results", "references", "search")}
    expected |= {"api/course_utils.models.resnet.html", "docs/teaching.html"}
    assert expected <= set(soups)
    assert not [name for name in soups if "._" in name or "__" in name]


def test_a_docstring_becomes_a_page_with_source_and_lesson(soups):
    page = soups["api/course_utils.metrics.classification.html"]
    entry = page.find(id="course_utils.metrics.classification.top_k_accuracy").parent
    fields = {
        dt.text.strip(":"): dt.find_next("dd")
        for dt in entry.select("dl.field-list dt")
    }
    assert "Russakovsky" in fields["Source"].text
    assert "04_per_class" in fields["Taught in"].a["href"]


def test_a_work_stands_once_in_the_references_with_its_lessons(soups):
    items = [i.text for i in soups["references.html"].select("article li")]
    paper = [text for text in items if "arXiv 1512.03385" in text]
    assert len(paper) == 1
    assert re.search(r"Lessons 01,.* 02,.* 03", paper[0])
    assert not [text for text in items if items.count(text) > 1]


def test_the_notebook_to_take_away_says_what_it_needs(site, soups):
    for name in (name for name in soups if "notebooks/" in name):
        root, lesson = name.split("notebooks/")
        source = site / root / "_sources" / "notebooks" / lesson
        first = (
            nbformat.read(source.with_suffix(".ipynb"), as_version=4).cells[0].source
        )
        assert re.search("`course_utils`.+`make lab", first, re.S)
        assert first.split("**")[1] not in soups[name].text


def test_the_first_page_begins_with_the_lessons(soups):
    assert "The lessons" in soups["index.html"].select_one("article h2").text


def test_each_page_leads_to_the_other_language_and_a_lesson_to_itself(soups):
    def other(name):
        link = soups[name].select_one("a.language")["href"]
        return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))

    for name in soups:
        assert name.startswith("zh/") != other(name).startswith("zh/")
        assert other(name) in soups
    lesson = "notebooks/01_residual_blocks.html"
    assert (other(lesson), other(f"zh/{lesson}")) == (f"zh/{lesson}", lesson)
    assert soups[f"zh/{lesson}"].html["lang"] == "zh-CN"


def test_a_table_that_a_cell_displays_is_a_table(soups):
    for path in NOTEBOOKS.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
        shown = [o.get("data", {}).get("text/markdown", "") for o in outputs]
        in_prose = [c.source for c in notebook.cells if c.cell_type == "markdown"]
        drawn = soups[f"notebooks/{path.stem}.html"].select("article table")
        rows = "\n".join([*shown, *in_prose])
        assert len(drawn) == len(re.findall(r"(?m)^\|( ?:?-+:? ?\|)+$", rows))


def test_every_internal_link_and_anchor_resolves(site, soups):
    anchors = {
        name: {tag["id"] for tag in soup.find_all(id=True)} | {"", "top"}
        for name, soup in soups.items()
    }
    dead, checked = [], 0
    for name, soup in soups.items():
        for tag in soup.find_all(["a", "link", "img", "script"]):
            address = urlsplit(tag.get("href") or tag.get("src") or "")
            if address.scheme in ("http", "https", "data", "mailto"):
                continue
            checked += 1
            path = (site / name).parent / unquote(address.path)
            target = path.resolve() if address.path else site.resolve() / name
            if not target.is_file():
                dead.append((name, address.geturl()))
            elif target.suffix == ".html":
                page = target.relative_to(site.resolve()).as_posix()
                if unquote(address.fragment) not in anchors[page]:
                    dead.append((name, address.geturl()))
    assert checked > 1000
    assert dead == []


def test_pages_load_nothing_from_elsewhere(site, soups):
    loaded = [
        tag.get(LOADS.get(tag.name, "href"))
        for soup in soups.values()
        for tag in soup.find_all([*LOADS, "link"])
    ]
    assert [link for link in loaded if link and re.match(r"(https?:)?//", link)] == []
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]
    assert not re.search(r"(@import|url\()\W*https?:", "\n".join(styles))


def test_links_that_leave_the_site_become_words():
    pages = {"notebooks/01_a.ipynb", "index.md", "docs/room.md"}
    text = "[a](../notebooks/01_a.ipynb#b) [r](../README.md) [x](../tools/x.py) [w](https://w.w)"
    found = relinked(text, "docs", pages)
    assert found == "[a](../notebooks/01_a.ipynb#b) [r](../index.md) x [w](https://w.w)"


def test_a_build_that_fails_leaves_the_old_site(monkeypatch, tmp_path, capfd):
    (tmp_path / "index.html").write_text("old")
    monkeypatch.setattr(
        build_site, "landing", lambda *_: "# Title\n\n[dead](#nowhere)\n"
    )
    monkeypatch.setattr(build_site, "api_pages", dict)
    assert not build_site.build_site([], tmp_path, strict=True)
    assert (tmp_path / "index.html").read_text() == "old"
    assert "nowhere" in capfd.readouterr().err


def test_a_stale_notebook_stops_the_build_with_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(build_site, "NOTEBOOKS", None)  # nothing is built
    monkeypatch.setattr(build_site, "check", lambda lesson: [f"{lesson.stem} is old."])
    assert build_site.main() == 1
    assert "No site was built. 01_residual_blocks is old." in capsys.readouterr().out


@pytest.fixture(scope="module")
def outside():
    """What pages asked of other hosts, and what they complained of."""
    return []


def open_page(browser, outside, **options):
    """A tab whose requests beyond the folder are refused and noted, errors noted."""
    options |= {"reduced_motion": "reduce"}  # no colour on its way to another
    page = browser.new_context(**options).new_page()

    def route(found):
        if found.request.url.startswith(("file:", "data:")):
            found.continue_()
        else:
            outside.append(found.request.url)
            found.abort()

    page.route("**/*", route)
    page.on("console", lambda m: outside.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: outside.append(str(error)))
    return page


def inspect(page, path):
    """Load a page, wait for its formulas, and ask the browser about it."""
    page.goto(path.as_uri())
    page.evaluate("async () => window.MathJax && await MathJax.startup.promise")
    return page.evaluate(INSPECT)


@pytest.fixture(scope="module")
def inspected(site, soups, browser, outside):
    """What the browser says of every page, by view and page."""
    found = defaultdict(dict)
    for view, options in VIEWS.items():
        page = open_page(browser, outside, **options)
        for name in soups:
            if name in API_PAGES or not name.startswith("api/"):
                found[view][name] = inspect(page, site / name)
    page = open_page(browser, outside, viewport={"width": 700, "height": 1000})
    page.emulate_media(media="print")
    for name in PRINTED:
        found["print"][name] = inspect(page, site / name)
    return found


def by_page(inspected, question):
    """The answers to a question that are not empty, by view and page."""
    answers = {
        (view, name): question(facts)
        for view, pages in inspected.items()
        for name, facts in pages.items()
    }
    return {key: answer for key, answer in answers.items() if answer}


def test_no_request_leaves_and_no_console_error(inspected, outside):
    assert set(API_PAGES) <= set(inspected["phone, light"])
    assert outside == []


def test_no_page_scrolls_sideways(inspected):
    assert by_page(inspected, lambda facts: max(facts["overflow"], 0)) == {}


def test_all_text_stands_out_from_its_background(inspected):
    assert by_page(inspected, lambda facts: facts["texts"] == 0) == {}
    assert by_page(inspected, lambda facts: facts["faint"]) == {}


def test_every_image_is_visible_and_described(inspected):
    def bad(facts):
        return [
            image
            for image in facts["images"]
            if not image[0].strip() or "/" in image[0] or image[1] < 50
        ]

    assert by_page(inspected, bad) == {}
    assert (
        len(inspected["laptop, dark"]["notebooks/01_residual_blocks.html"]["images"])
        > 3
    )


def test_formulas_are_drawn(inspected):
    assert by_page(inspected, lambda facts: facts["badFormulas"]) == {}
    for pages in inspected.values():
        formulas = pages["notebooks/01_residual_blocks.html"]["formulas"]
        assert len(formulas) > 10
        assert max(formulas) > 50


def test_headings_are_in_order(inspected):
    def bad(facts):
        levels = facts["headings"]
        jumps = [pair for pair in pairwise(levels) if pair[1] > pair[0] + 1]
        return jumps or levels.count(1) != 1 or levels[0] != 1

    assert by_page(inspected, bad) == {}


def test_print_shows_no_sidebars_and_leaves_closed_what_is_closed(inspected):
    lesson = "notebooks/01_residual_blocks.html"
    assert by_page({"print": inspected["print"]}, lambda facts: facts["sidebars"]) == {}
    assert inspected["laptop, dark"][lesson]["sidebars"] > 0
    assert set(inspected["print"][lesson]["shown"]) == {False}


def test_a_lesson_prints_as_pdf_and_light(site, browser, outside, tmp_path):
    page = open_page(browser, outside, color_scheme="dark")
    page.goto((site / PRINTED[2]).as_uri())
    page.evaluate("""() => {
      const { dataset } = document.documentElement;
      window.themes = [dataset.theme];
      for (const event of ["beforeprint", "afterprint"])
        addEventListener(event, () => themes.push(dataset.theme));
    }""")
    pdf = page.pdf(format="A4", path=tmp_path / "lesson.pdf")
    assert pdf.startswith(b"%PDF")
    assert 5 < len(re.findall(rb"/Type\s*/Page\b", pdf)) < 60
    assert page.evaluate("themes") == ["dark", "light", "dark"]


def test_search_leads_to_the_bottleneck(site, browser, outside):
    page = open_page(browser, outside, viewport={"width": 1366, "height": 768})
    page.goto((site / "index.html").as_uri())
    page.locator(".search-button-field").first.click()
    page.keyboard.type("bottleneck")
    page.keyboard.press("Enter")
    result = page.locator("#search-results li").first
    excerpt = result.locator("p.context")
    excerpt.wait_for()
    assert "bottleneck" in excerpt.inner_text().lower()
    assert "bottleneck" in result.locator("a").inner_text().lower()
    result.locator("a").click()
    page.wait_for_url(lambda url: "search.html" not in url)
    assert "bottleneck" in page.locator("article").inner_text().lower()
    assert outside == []


def test_the_chinese_first_page_has_a_card_for_each_lesson_with_its_title(soups):
    cards = soups["zh/index.html"].select(".sd-card")
    titles = [card.select_one(".sd-card-title").get_text(strip=True) for card in cards]
    assert [title[:2] for title in titles] == [f"{n:02}" for n in range(1, 9)]
    assert "阅读 40 分钟" in cards[0].select_one(".sd-card-text").get_text()


def test_a_number_stays_on_one_line_and_code_as_it_is():
    text = "10 000 images, 5 % of `a[10 000]` and $1 000$, 3 of 4 张"
    assert build_site.unbroken(text) == (
        "10\xa0000 images, 5\xa0% of `a[10 000]` and $1 000$, 3 of 4\xa0张"
    )


def test_search_finds_a_chinese_term_of_four_characters(site, browser, outside):
    page = open_page(browser, outside)
    page.goto((site / "zh" / "search.html").as_uri() + "?q=批归一化")
    excerpt = page.locator("#search-results li p.context").first
    excerpt.wait_for()
    assert "批归一化" in excerpt.inner_text()
    assert outside == []


def test_a_solution_is_folded_until_it_is_asked_for(site, browser, outside):
    page = open_page(browser, outside)
    page.goto((site / PRINTED[2]).as_uri())
    solution = page.locator("details.hide").first
    code = solution.locator("pre").first
    assert not code.is_visible()
    solution.locator("summary").click()
    code.wait_for()
    page.emulate_media(media="print")
    assert code.is_visible()
