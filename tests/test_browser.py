"""A small lab in a real browser on a real JupyterLab: a pressed key must change the picture, not just the read-out.

Without a browser these tests are skipped, but fail where the environment variable CI is "true".
"""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import expect

from tests.browser import (
    jupyterlab,
    live,
    loaded,
    opened,
    press_until_the_picture_changes,
    run,
    run_again,
    run_all,
    watched,
)
from tests.refresh_notebooks import METADATA, ROOT, refresh, written

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an executed notebook of one lab in it, as it would be committed."""
    folder = tmp_path_factory.mktemp("lab")
    source = "from tests.demo_lab import demo_lab\n\nlab = demo_lab()\nlab.show()"
    notebook = new_notebook(cells=[new_markdown_cell("# A lab"), new_code_cell(source), new_code_cell("print(1)")])
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number}"
    (folder / "demo.ipynb").write_text(written(notebook), encoding="utf-8")
    assert refresh(folder / "demo.ipynb") == []
    return folder


@pytest.fixture(scope="module")
def browser_and_lab(folder):
    with jupyterlab(folder) as both:
        yield both


def page_of(browser_and_lab, name: str):
    """The page of a notebook in the served folder."""
    browser, address_of = browser_and_lab
    return opened(browser, address_of(name), name)


COURSE = [ROOT / "notebooks" / "00_start_here.ipynb"]


@pytest.mark.parametrize("path", ["demo.ipynb", *COURSE], ids=lambda path: Path(path).name)
def test_a_slider_redraws_the_picture(browser_and_lab, folder, path):
    if path in COURSE:
        shutil.copy(path, folder)
    with page_of(browser_and_lab, Path(path).name) as page:
        run_all(page)
        lab = live(page)
        for slider in lab.locator(".widget-slider .widget-label").all_inner_texts():
            press_until_the_picture_changes(page, lab, slider)
        buttons = lab.locator(".widget-toggle-buttons")
        expect(buttons.locator(".mod-active")).to_have_count(
            buttons.count()
        )  # one choice of each is seen to be in force
        still = page.locator(".jp-OutputArea-child:has(+ .jp-OutputArea-child + .jp-OutputArea-child .offac-lab)")
        expect(still.first).to_be_hidden()
        expect(still.first.locator("img")).to_have_count(1)


DRAWING_CELL = """\
import time

import matplotlib.pyplot as plt

moves, end = [], time.monotonic() + 300
lab.controls["level"].observe(moves.append, "value")
print("begun")
while len(moves) < 12 and time.monotonic() < end:
    plt.figure(figsize=(2, 1.5))
    seen = len(moves)
    for x in range(5):
        plt.plot([0, x], [0, 1])
        time.sleep(0.02)
    while len(moves) == seen and time.monotonic() < end:  # no figure without a move: the page shows 50 outputs at most
        time.sleep(0.02)
    plt.show()
print(f"drawn during {len(moves)} moves")"""
LAB = "from tests.demo_lab import demo_lab\n\nlab = demo_lab()\nlab.show()"
COUNTED = """\
from tests.demo_lab import demo_lab

lab, calls = demo_lab(), []
compute = lab._compute
lab._compute = lambda **values: calls.append(values) or compute(**values)
lab.show()"""
CELLS = [LAB, LAB, DRAWING_CELL, COUNTED, "print(len(calls), 'changes')"]


@pytest.fixture(scope="module")
def page_and_errors(browser_and_lab, folder):
    """A page that stays open, with the cells of CELLS."""
    cells = [new_code_cell(source, id=f"cell{number}") for number, source in enumerate(CELLS)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "cells.ipynb")
    browser, address_of = browser_and_lab
    with loaded(browser, address_of("cells.ipynb")) as both:
        yield both


def test_a_second_slider_and_an_error_in_place(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "an-error"):
        lab = live(run(page, 0))
        press_until_the_picture_changes(page, lab, "Level of the steps", "ArrowLeft")
        press_until_the_picture_changes(page, lab, "Frequency", "End")
        summary, notice = lab.locator(".offac-lab-summary"), lab.locator(".offac-lab-notice")
        page.keyboard.press("ArrowLeft")
        expect(summary).to_contain_text("frequency 8")
        page.keyboard.press("ArrowLeft")
        expect(notice).to_contain_text("ValueError: seven is <not> a frequency")
        page.keyboard.press("ArrowLeft")
        expect(notice).to_contain_text("six is printed")
        page.keyboard.press("ArrowLeft")
        expect(notice).to_have_count(0)
        expect(summary).to_contain_text("frequency 5; the steps end at 0.4.")


def test_a_cell_draws_whole_figures_while_a_slider_is_moved(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "drawing"):
        lab = live(run(page, 1))
        press_until_the_picture_changes(page, lab, "Level of the steps")
        output = run(page, 2).locator(".jp-OutputArea-output")
        figures = output.locator("img")
        expect(output.first).to_contain_text("begun")
        for move in range(12):
            press_until_the_picture_changes(page, lab, "Level of the steps", ("ArrowLeft", "ArrowRight")[move % 2])
        expect(output.last).to_contain_text(re.compile("drawn during 1[2-9] moves"))
        pictures = figures.evaluate_all("images => images.map(image => image.src)")
        assert len(set(pictures)) == 1, f"{len(set(pictures)) - 1} of {len(pictures)} equal figures differ"


def test_reopened_without_a_kernel_the_notebook_shows_its_still_picture(browser_and_lab, folder):
    committed = (folder / "demo.ipynb").read_text(encoding="utf-8")
    assert nbformat.reads(committed, as_version=4).cells[1].outputs, "executed before"
    with page_of(browser_and_lab, "demo.ipynb") as page:
        outputs = page.locator(".jp-Notebook .jp-Cell:has(.jp-RenderedImage) .jp-OutputArea-child")
        expect(outputs).to_have_count(2)
        picture = outputs.first.locator("img")
        expect(picture).to_be_visible()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
        expect(outputs.last).to_have_text("The wave has frequency 1; the steps end at 0.5.")
        expect(page.locator(".offac-lab")).to_have_count(0)
        assert not re.search("error|not found", page.locator(".jp-Notebook").inner_text(), re.IGNORECASE)
    assert (folder / "demo.ipynb").read_text(encoding="utf-8") == committed


def test_two_notebooks_at_once_a_cell_run_twice_and_a_kernel_that_restarts(browser_and_lab, page_and_errors, folder):
    cells = [new_code_cell(source, id=f"cell{number}") for number, source in enumerate(CELLS[-2:])]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "two.ipynb")
    one, errors = page_and_errors
    count = len(CELLS) - 1
    with watched(one, errors, "one-of-two"), page_of(browser_and_lab, "two.ipynb") as two:
        here, there = live(run(one, count - 1)), live(run(two, 0))
        press_until_the_picture_changes(two, there, "Frequency")
        expect(here.locator(".offac-lab-summary")).to_contain_text("frequency 1;")
        here = live(run_again(one, count - 1))
        press_until_the_picture_changes(one, here, "Frequency")
        for page, number in ((one, count), (two, 1)):
            expect(run(page, number)).to_contain_text("1 changes")
            expect(page.locator(".jp-Cell").nth(number - 1).locator(".offac-lab")).to_have_count(1)
        one.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        here.locator(".noUi-handle").first.press("ArrowRight")  # nobody answers any more
        here = live(run_again(one, count - 1))
        expect(here.locator(".offac-lab-summary")).to_contain_text("frequency 1;")
        press_until_the_picture_changes(one, here, "Frequency")


def test_exported_as_a_web_page_the_lab_is_its_still_picture(browser_and_lab, folder):
    page_file = folder / "demo.html"
    page_file.write_text(HTMLExporter().from_filename(str(folder / "demo.ipynb"))[0], encoding="utf-8")
    browser, _ = browser_and_lab
    with opened(browser, page_file.as_uri(), "exported", reaches_out=True) as page:
        picture = page.locator("main img")
        expect(picture).to_have_count(1)
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") > 300
        expect(page.locator("main")).to_contain_text("The wave has frequency 1; the steps end at 0.5.")
        assert not re.search("error|not found", page.locator("main").inner_text(), re.IGNORECASE)
