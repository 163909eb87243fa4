"""The static site, read from the disk in a real browser: complete, offline, in words, and its labs move."""

import doctest
import importlib
import importlib.util
import inspect
import io
import math
import re
import subprocess
import sys
from functools import cache
from urllib.parse import unquote, urldefrag

import nbformat
import PIL.Image
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import expect, sync_playwright

from docs import api
from docs.__main__ import main as build
from docs.labs import GRIDS, SCOPE, SHOWN
from offac_lite.course import labs, material
from tests.browser import PATIENCE, launch, opened
from tests.refresh_notebooks import ROOT

MISSING = [name for name in ("sphinx", "myst_nb", "furo", "math_core") if not importlib.util.find_spec(name)]
NOTEBOOKS = [path.relative_to(material.NOTEBOOKS).with_suffix("").as_posix() for path in material.notebooks()]
REFERENCE = ["docs/setup", "docs/package", "equations", *(f"api/{room}" for room in api.ROOMS)]
PROJECT = ["docs/measurements", "CONTRIBUTING", "docs/maintaining", "CHANGELOG"]
WORDS = ["notebooks/INSTRUCTORS", "notebooks/clinic_page", "notebooks/glossary", *REFERENCE, *PROJECT]
CORE, FURTHER = ([f"notebooks/{n}" for n in NOTEBOOKS if ("/" in n) == further] for further in (False, True))
PAGES = ["index", *CORE, *WORDS[:3], *FURTHER, *WORDS[3:], "search"]
pytestmark = pytest.mark.slow
ADDRESS = "https://example.org/course/"
MOVING = "notebooks/02_replay_breaks_it"  # the only one whose lab moves in the site of these tests


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All pages as they are published, and the pictures of one lab."""
    if MISSING:
        pytest.skip(f"the site needs docs/requirements.txt; missing: {MISSING}")
    folder = tmp_path_factory.mktemp("site") / "pages"
    command = [sys.executable, "-m", "docs", str(folder), "--labs", "02"]
    command += ["--address", ADDRESS.rstrip("/"), "--repository", "someone/course"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "no warnings either"
    return folder


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@cache
def soup(site, page: str) -> BeautifulSoup:
    return BeautifulSoup((site / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


@cache
def parts(site, page: str) -> set[str]:
    """What an address of this page can name after its #."""
    return {element["id"] for element in soup(site, page).find_all(id=True)}


def test_there_is_a_page_for_each_notebook_and_for_nothing_else(site):
    pages = [path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")]
    assert sorted(pages) == sorted(PAGES)
    contents = [link["href"] for link in soup(site, "index").select(".sidebar-tree a")]
    assert contents == [f"{page}.html" for page in PAGES[1:-1]]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_picture_and_equation_of_a_notebook_is_there_and_in_words(site, name):
    page, cells = soup(site, f"notebooks/{name}"), nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})]
    if f"notebooks/{name}" != MOVING:  # there the first words are those of another machine's fonts and floats
        assert [image["alt"] for image in page.select("article img")] == [o.data["text/plain"] for o in outputs]
    assert len(page.select("article img")) == len(outputs)
    blocks = sum(cell.source.count("$$") // 2 for cell in cells if cell.cell_type == "markdown")
    assert len(page.select("div.math > math[display=block]")) == blocks
    assert not re.search(
        r"\$\$|\\[a-z]+\{",
        "".join(
            text for text in page.article.find_all(string=True) if not text.find_parents(["pre", "code", "script"])
        ),
    )
    tags = re.findall(r"\\tag\{(.*?)\}", "".join(cell.source for cell in cells))
    assert [number.text for number in page.select("div.math > .number")] == [f"({tag})" for tag in tags]
    assert "%|" not in page.article.text, "no progress bars"


@pytest.mark.parametrize("page", PAGES[:-1])
def test_a_shared_link_shows_title_description_and_picture(site, page):
    head = soup(site, page).head
    said = {tag["property"]: tag["content"] for tag in head.select("meta[property^='og:']")}
    assert said["og:url"] == f"{ADDRESS}{page}.html" and said["og:site_name"] == "offac_lite"
    image = said["og:image"]
    assert image.startswith(ADDRESS) and (site / image.removeprefix(ADDRESS)).exists()
    (description,) = head.select("meta[name=description]")
    assert len(description["content"]) > 20 and description["content"] == said["og:description"]
    if page.startswith("notebooks/") and page not in WORDS:
        assert said["og:description"].startswith("The question of this "), "not what is said of the site"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_can_be_launched_where_the_repository_is_known(site, name):
    links = [link["href"] for link in soup(site, f"notebooks/{name}").article.select("blockquote a[href^=https]")]
    colab, binder, codespaces = links[:3]
    assert (
        colab.endswith(f"/github/someone/course/blob/main/notebooks/{name}.ipynb")
        and (ROOT / f"notebooks/{name}.ipynb").exists()
    )
    assert binder.endswith(f"/gh/someone/course/main?labpath=my_course/{name}.ipynb")
    assert codespaces.endswith("/someone/course")


@pytest.mark.parametrize("wrong", [["--address", "example.org"], ["--repository", "course"]])
def test_an_address_that_is_none_is_refused_before_anything_is_built(wrong, capsys):
    with pytest.raises(SystemExit):
        build(["nowhere", *wrong])
    assert f"{wrong[0]} is {wrong[1]}, wanted" in capsys.readouterr().err


@pytest.mark.parametrize("room", api.ROOMS)
def test_the_reference_has_every_public_name_with_a_docstring_and_no_markup_is_left(site, room):
    page = soup(site, f"api/{room}")
    names = {element["id"] for element in page.select("dt[id]")}
    for module in api.modules(room):
        if api.has_exercises_only(module):
            continue  # in the table of exercises
        assert page.find(id=f"module-{module}")
        public = vars(importlib.import_module(module))
        for name in public.get("__all__", [name for name in public if not name.startswith("_")]):
            value = public[name]
            own = inspect.isroutine(value) or inspect.isclass(value)
            if own and value.__module__ == module:
                assert f"{module}.{name}" in names
    text = "".join(t for t in page.article.find_all(string=True) if not t.find_parents(["pre", "code", "dt"]))
    assert not re.search(r"`|\*\w+\*|\\|>>>|Alias for field", text)
    assert not page.select(".system-message, .problematic")


def test_the_exercises_are_in_the_reference(site):
    shown = {code.text for code in soup(site, "api/course").select("table code")}
    for notebook in NOTEBOOKS:
        cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
        called = {match for cell in cells for match in re.findall(r"checks\.[a-z]\w*(?=\()", cell.source)}
        assert called <= shown


def test_every_equation_leads_to_its_function_and_back(site):
    page = soup(site, "equations")
    rows = [[cell for cell in row.select("td")] for row in page.select("table tr") if row.select("td")]
    assert [row[0].text for row in rows] == [f"({one.number})" for one in api.equations()] and len(rows) > 30
    for (number, function, tex), one in zip(rows, api.equations(), strict=True):
        assert function.a["href"] == f"api/{one.room}.html#{one.function}" and tex.select("math")
        assert number.a["href"] == f"notebooks/{one.notebook}.html#equation-{one.number}"
        shown = soup(site, f"notebooks/{one.notebook}").find(id=f"equation-{one.number}")
        up = "../" * (1 + one.notebook.count("/"))
        assert shown.select_one(".number")["href"] == f"{up}api/{one.room}.html#{one.function}"
        described = soup(site, f"api/{one.room}").find(id=one.function).parent
        assert described.find("a", string=f"Equation ({one.number})") or f"Equation ({one.number})" in described.text


def test_docstrings_become_what_the_page_shows():
    assert doctest.testmod(api).failed == 0 < doctest.testmod(api).attempted


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere_and_no_picture_lacks_words(site, page):
    parsed = soup(site, page)
    for image in parsed.find_all("img"):
        assert image["alt"].strip() and not image["alt"].startswith("No description"), image
    for link in parsed.select("article a[href], .sidebar-tree a[href]"):
        address, part = urldefrag(link["href"])
        if re.match(r"\w+:", address):
            continue
        target = (site / f"{page}.html").parent / unquote(address) if address else site / f"{page}.html"
        assert target.exists(), link
        if part:
            name = target.resolve().relative_to(site.resolve()).with_suffix("").as_posix()
            assert unquote(part) in parts(site, name), link


@pytest.fixture(scope="module")
def telephone(browser):
    """A narrow page, all that it asked for and all that went wrong in it."""
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        tab, asked, wrong = context.new_page(), [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("requestfailed", lambda request: wrong.append(request.url))
        tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        yield tab, asked, wrong


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_for_nothing_from_elsewhere_and_fits_a_telephone(site, telephone, page):
    for style in (site / "_static").rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style
    tab, asked, wrong = telephone
    asked.clear()
    wrong.clear()
    tab.goto((site / f"{page}.html").as_uri(), wait_until="networkidle", timeout=1000 * PATIENCE)
    assert asked and not wrong
    assert {address.split(":")[0] for address in asked} <= {"file", "data"}
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"


def pixels(file) -> bytes:
    return PIL.Image.open(file).convert("RGB").tobytes()


def test_a_lab_follows_keys_mouse_and_buttons_in_picture_and_words(site, browser):
    here = labs.age_lab()
    with opened(browser, (site / f"{MOVING}.html").as_uri(), "site-lab") as page:
        lab = page.locator(".moving-lab")
        image, slider = lab.locator("img"), lab.locator("input[type=range]")

        def shows(**values):
            """Wait until the lab shows what the package's own lab does at these values."""
            here.set(**values)
            expect(lab.locator("[role=status]")).to_have_text(here.summary_text)
            expect(image).to_have_attribute("alt", here.summary_text)
            expect(lab.locator("output")).to_have_text(str(here.values["age"]))
            expect(slider).to_have_attribute("aria-valuetext", str(here.values["age"]))
            page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
            assert pixels(site / "notebooks" / image.get_attribute("src")) == pixels(io.BytesIO(here.png))

        shows()
        slider.focus()
        page.keyboard.press("ArrowRight")
        shows(age=5)
        page.keyboard.press("End")
        shows(age=20)
        lab.get_by_label("only the oldest policy").check()
        shows(writers="one")
        lab.get_by_label("r + γV(s′)", exact=True).focus()
        page.keyboard.press("Space")
        shows(baseline="none")
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] - 8, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 1, middle, steps=5)
        page.mouse.up()
        shows(age=0)


def test_without_scripts_a_lab_is_a_picture_with_words(site, browser):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((site / f"{MOVING}.html").as_uri(), timeout=1000 * PATIENCE)
        expect(page.locator(".moving-lab form")).to_be_hidden()
        expect(page.locator(".moving-lab img")).to_be_visible()
        expect(page.locator(".moving-lab [role=status]")).to_contain_text("4 updates old")


def test_answers_unfold_and_the_search_finds(site, browser):
    with opened(browser, (site / f"{MOVING}.html").as_uri(), "site-search") as page:
        answers = page.locator("details").first
        inside = answers.locator("p").last
        expect(inside).to_be_hidden()
        answers.locator("summary").click()
        expect(inside).to_be_visible()
        page.get_by_role("searchbox").or_(page.locator("input[name=q]")).first.fill("leave-one-out")
        page.keyboard.press("Enter")
        expect(page.locator("#search-results")).to_contain_text("05 · Resampled actions")


@pytest.mark.parametrize("notebook, function", GRIDS)
def test_the_table_of_moving_labs_is_about_the_notebooks_labs(notebook, function):
    cells, grid = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells, GRIDS[notebook, function]
    shown = [SHOWN.search(cell.source) for cell in cells if cell.cell_type == "code"]
    (call,) = [match[1] for match in shown if match and match[2] == function]
    lab = eval(call, SCOPE)
    assert all(lab.values[name] in values for name, values in grid.items()), "a lab starts on its grid"
    assert math.prod(map(len, grid.values())) <= 200, "pictures"
