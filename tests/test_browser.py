"""Labs in a real browser on real Jupyter servers: a pressed key must change the picture, not just the read-out.

Without a browser these tests are skipped, but fail where the environment variable CI is "true".
"""

import random
import re
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import expect, sync_playwright

from tests.browser import (
    ASK,
    LABS,
    SETTLED,
    SHA,
    drag_until_the_picture_changes,
    hail,
    launch,
    opened,
    press_until_the_picture_changes,
    run,
    run_all,
    served,
    the_picture_changes,
)
from tests.refresh_notebooks import METADATA, ROOT, refresh, written


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
    with ExitStack() as stack:
        browser = launch(stack.enter_context(sync_playwright()))
        stack.callback(browser.close)
        yield browser, stack.enter_context(served(folder))


def page_of(browser_and_lab, name: str):
    """The page of a notebook in the served folder."""
    browser, address_of = browser_and_lab
    return opened(browser, address_of(name), name)


COURSE = [ROOT / "notebooks" / "05_resampled_actions.ipynb"]


@pytest.mark.parametrize("path", ["demo.ipynb", *COURSE], ids=lambda path: Path(path).name)
def test_a_slider_redraws_the_picture(browser_and_lab, folder, path):
    if path in COURSE:
        shutil.copy(path, folder)
    with page_of(browser_and_lab, Path(path).name) as page:
        run_all(page)
        page.locator(".offac-lab img").first.wait_for(timeout=300_000)
        sliders = page.locator(".offac-lab").first.locator(".widget-slider .widget-label").all_inner_texts()
        for slider in sliders:
            press_until_the_picture_changes(page, slider)
        buttons = page.locator(".offac-lab").first.locator(".widget-toggle-buttons")
        expect(buttons.locator(".mod-active")).to_have_count(
            buttons.count()
        )  # one choice of each is seen to be in force
        still = page.locator(".jp-OutputArea-child:has(+ .jp-OutputArea-child + .jp-OutputArea-child .offac-lab)")
        expect(still.first).to_be_hidden()
        expect(still.first.locator("img")).to_have_count(1)


JUDGE = """\
import hashlib

import matplotlib.pyplot as plt

fresh.set(**lab.values)
assert (fresh.error, plt.get_fignums()) == (lab.error, []), (fresh.error, plt.get_fignums())
print(hashlib.sha256(fresh.png).hexdigest(), end="")"""


@pytest.mark.parametrize("name", LABS)
def test_every_control_of_every_lab_redraws_the_picture_and_a_hail_of_them_ends_well(browser_and_lab, folder, name):
    *lines, last = LABS[name].splitlines()
    cell = new_code_cell("\n".join([*lines, f"lab, fresh = {last}, {last}", "lab"]), id="cell0")
    notebook = new_notebook(cells=[cell], metadata=METADATA)  # without a kernel's name the page asks for one
    nbformat.write(notebook, folder / f"{name}.ipynb")
    with page_of(browser_and_lab, f"{name}.ipynb") as page:
        run(page, 0)
        lab = page.locator(".offac-lab").first
        lab.locator("img").wait_for(timeout=120_000)
        for slider in lab.locator(".widget-slider .widget-label").all_inner_texts():
            moved = lab.locator(".widget-slider").filter(has_text=slider)
            at, most = (moved.locator(".noUi-handle").get_attribute(f"aria-value{x}") for x in ("now", "max"))
            press_until_the_picture_changes(page, slider, "ArrowLeft" if at == most else "ArrowRight")
            drag_until_the_picture_changes(page, lab, moved)
        for row in lab.locator(".widget-toggle-buttons").all():
            button = row.locator("button:not(.mod-active):not([disabled])").first
            the_picture_changes(page, lab, button.click)
            expect(row.locator(".mod-active")).to_have_count(1)
        image = lab.locator("img")
        hail(page, lab, random.Random(0), 40)
        image.evaluate(SETTLED)
        while lab.locator(".offac-lab-notice").count():  # a choice that cannot be: the next that can is drawn
            hail(page, lab, random.Random(1), 1)
            image.evaluate(SETTLED)
        end = time.monotonic() + 60  # on a busy machine the last changes may still be under way
        while (drawn := page.evaluate(ASK, JUDGE)) != (shown := image.evaluate(SHA)) and time.monotonic() < end:
            image.evaluate(SETTLED)
        assert shown == drawn


def test_the_dashboard_trains_beside_the_cells_and_obeys(browser_and_lab, folder):
    sources = [
        "from offac_lite.course import labs\n\nboard = labs.Dashboard(seeds=2, total_steps=100_000)\nboard",
        "print('the kernel is free:', board.running)",
    ]
    cells = [new_code_cell(source, id=f"cell{number}") for number, source in enumerate(sources)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "dashboard.ipynb")
    with page_of(browser_and_lab, "dashboard.ipynb") as page:
        run_all(page)
        lab = page.locator(".offac-lab").first
        lab.locator("img").wait_for(timeout=120_000)
        text, button = lab.locator(".offac-lab-summary"), lambda name: lab.get_by_role("button", name=name)
        expect(text).to_contain_text("press Start")
        the_picture_changes(page, lab, button("Start").click)
        expect(button("Pause")).to_be_enabled()
        run(page, 1)
        expect(page.locator(".jp-Cell").nth(1)).to_contain_text("the kernel is free: True")
        the_picture_changes(page, lab, lambda: None)
        slider = lab.locator(".widget-slider").filter(has_text="K, actions").locator(".noUi-handle")
        slider.focus()
        page.keyboard.press("Home")
        lab.get_by_role("button", name="leave-one-out").click()
        expect(lab.locator(".offac-lab-notice")).to_contain_text("needs K of at least 2")
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(lab.locator(".offac-lab-notice")).to_have_count(0)
        button("Pause").click()
        expect(button("Start")).to_be_enabled()
        button("Reset").click()
        expect(text).to_contain_text("press Start")


def test_a_second_slider_and_an_error_in_place(browser_and_lab):
    with page_of(browser_and_lab, "demo.ipynb") as page:
        run_all(page)
        page.locator(".offac-lab img").wait_for()
        press_until_the_picture_changes(page, "Level of the steps", "ArrowLeft")
        press_until_the_picture_changes(page, "Frequency", "End")
        notice = page.locator(".offac-lab-notice")
        page.keyboard.press("ArrowLeft")
        expect(page.locator(".offac-lab-summary")).to_contain_text("frequency 8")
        page.keyboard.press("ArrowLeft")
        expect(notice).to_contain_text("ValueError: seven is <not> a frequency")
        page.keyboard.press("ArrowLeft")
        expect(notice).to_contain_text("six is printed")
        page.keyboard.press("ArrowLeft")
        expect(notice).to_have_count(0)
        expect(page.locator(".offac-lab-summary")).to_contain_text("frequency 5; the steps end at 0.4.")


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


@pytest.mark.parametrize("app", ["notebook", "voila"])
def test_a_lab_lives_in_other_front_ends(browser_and_lab, folder, app):
    browser, _ = browser_and_lab
    with (
        served(folder, app) as address_of,
        opened(browser, address_of("demo.ipynb"), app, reaches_out=app == "voila") as page,  # for its formulas
    ):
        if app == "notebook":
            run_all(page)
        lab = page.locator(".offac-lab")
        lab.locator("img").wait_for(timeout=120_000)
        for slider in lab.locator(".widget-slider").all():
            drag_until_the_picture_changes(page, lab, slider)  # arrow keys do nothing on a slider of Notebook 7
        the_picture_changes(page, lab, lambda: lab.locator("input[type=checkbox]").click(), words=False)
        expect(page.locator(".jp-OutputArea img:visible")).to_have_count(1)  # the still picture is hidden


def test_the_play_button_moves_the_slider_on(browser_and_lab, folder):
    notebook = new_notebook(cells=[new_code_cell(LABS["watch"], id="lab")], metadata=METADATA)
    nbformat.write(notebook, folder / "play.ipynb")
    with page_of(browser_and_lab, "play.ipynb") as page:
        run_all(page)
        lab = page.locator(".offac-lab")
        lab.locator("img").wait_for(timeout=120_000)
        the_picture_changes(page, lab, lab.locator(".jupyter-widgets.widget-play button").first.click)
        expect(lab.locator(".offac-lab-summary")).to_contain_text(re.compile(r"Now step ([5-9]|\d\d)"))


COUNTED = """\
from tests.demo_lab import demo_lab

lab, calls = demo_lab(), []
compute = lab._compute
lab._compute = lambda **values: calls.append(values) or compute(**values)
lab.show()"""


def test_two_notebooks_at_once_a_cell_run_twice_and_a_kernel_that_restarts(browser_and_lab, folder):
    cells = [new_code_cell(COUNTED, id="lab"), new_code_cell("print(len(calls), 'changes')", id="count")]
    for name in ("one.ipynb", "two.ipynb"):
        nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / name)
    with page_of(browser_and_lab, "one.ipynb") as one, page_of(browser_and_lab, "two.ipynb") as two:
        for page in (one, two):
            run(page, 0)
            page.locator(".offac-lab img").wait_for()
        press_until_the_picture_changes(two, "Frequency")
        expect(one.locator(".offac-lab-summary")).to_contain_text("frequency 1;")
        run(one, 0)
        expect(one.locator(".jp-Cell").first.locator(".jp-InputPrompt")).to_have_text("[2]:")
        one.locator(".offac-lab img").wait_for()
        press_until_the_picture_changes(one, "Frequency")
        for page in (one, two):
            run(page, 1)
            expect(page.locator(".jp-Cell").nth(1)).to_contain_text("1 changes")
            expect(page.locator(".offac-lab")).to_have_count(1)
        one.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        one.locator(".offac-lab .noUi-handle").first.press("ArrowRight")  # nobody answers any more
        run(one, 0)
        expect(one.locator(".jp-Cell").first.locator(".jp-InputPrompt")).to_have_text("[1]:")
        expect(one.locator(".offac-lab-summary")).to_contain_text("frequency 1;")
        press_until_the_picture_changes(one, "Frequency")


DRAWING_CELL = """\
import time

import matplotlib.pyplot as plt

moves, end = [], time.monotonic() + 120
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


def test_a_cell_draws_whole_figures_while_a_slider_is_moved(browser_and_lab, folder):
    sources = ["from tests.demo_lab import demo_lab\n\nlab = demo_lab()\nlab.show()", DRAWING_CELL]
    cells = [new_code_cell(source, id=f"cell{number}") for number, source in enumerate(sources)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "drawing.ipynb")
    with page_of(browser_and_lab, "drawing.ipynb") as page:
        run(page, 0)
        page.locator(".offac-lab img").wait_for(timeout=120_000)
        press_until_the_picture_changes(page, "Level of the steps")
        run(page, 1)
        output = page.locator(".jp-Cell").nth(1).locator(".jp-OutputArea-output")
        figures = output.locator("img")
        expect(output.first).to_contain_text("begun")
        for move in range(12):
            press_until_the_picture_changes(page, "Level of the steps", ("ArrowLeft", "ArrowRight")[move % 2])
        expect(output.last).to_contain_text(re.compile("drawn during 1[2-9] moves"))
        pictures = figures.evaluate_all("images => images.map(image => image.src)")
        assert len(set(pictures)) == 1, f"{len(set(pictures)) - 1} of {len(pictures)} equal figures differ"


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
