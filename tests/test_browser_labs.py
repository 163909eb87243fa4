"""Every lab and the dashboard in a real browser on a real JupyterLab, one after the other in one page.

Without a browser these tests are skipped, but fail where the environment variable CI is "true".
"""

import random
import re
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser import (
    ASK,
    AT_THE_END,
    HANDLE,
    LABS,
    PATIENCE,
    PICTURE,
    SETTLED,
    SHA,
    drag_until_the_picture_changes,
    hail,
    jupyterlab,
    live,
    loaded,
    press_until_the_picture_changes,
    run,
    the_picture_changes,
    watched,
)
from tests.refresh_notebooks import METADATA

pytestmark = pytest.mark.slow

CELLS = {}  # name → source
for name, source in LABS.items():
    *lines, last = source.splitlines()
    CELLS[name] = "\n".join([*lines, f"lab, fresh = {last}, {last}", "lab"])
CELLS |= {
    "play": LABS["watch"],
    "dashboard": "board = labs.Dashboard(seeds=2, total_steps=100_000, band=False)\nboard",
    "meanwhile": "print('the kernel is free:', board.running)",
    "broken": "print(board.running, board.learner.config.q_target.__name__)",
}


@pytest.fixture(scope="module")
def page_and_errors(tmp_path_factory):
    """A page that stays open, with the cells of CELLS."""
    folder = tmp_path_factory.mktemp("labs")
    cells = [new_code_cell(source, id=name) for name, source in CELLS.items()]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "labs.ipynb")
    with jupyterlab(folder) as (browser, address_of), loaded(browser, address_of("labs.ipynb")) as both:
        yield both


def run_named(page, name: str):
    """Run one of CELLS; gives the cell."""
    return run(page, list(CELLS).index(name))


JUDGE = """\
import hashlib

import matplotlib.pyplot as plt

from tests.lab_changes import give_the_same_past

lab.wait()
fresh.set(**lab.values)
give_the_same_past(fresh, lab)
fresh.screen.picture.page = lab.screen.picture.page
assert (fresh.error, plt.get_fignums()) == (lab.error, []), (fresh.error, plt.get_fignums())
print(hashlib.sha256(fresh.png).hexdigest(), end="")"""


@pytest.mark.parametrize("name", LABS)
def test_every_control_of_every_lab_redraws_the_picture_and_a_hail_of_them_ends_well(page_and_errors, name):
    page, errors = page_and_errors
    with watched(page, errors, name):
        lab = live(run_named(page, name))
        for slider in lab.locator(".widget-slider .widget-label").all_inner_texts():
            moved = lab.locator(".widget-slider").filter(has_text=slider)
            key = "ArrowLeft" if moved.locator(HANDLE).evaluate(AT_THE_END) else "ArrowRight"
            press_until_the_picture_changes(page, lab, slider, key)
            drag_until_the_picture_changes(page, lab, moved)
        for row in lab.locator(".widget-toggle-buttons").all():
            button = row.locator("button:not(.mod-active):not([disabled])").first
            the_picture_changes(page, lab, button.click)
            expect(row.locator(".mod-active")).to_have_count(1)
        hail(page, lab, random.Random(0), 20)
        again, image, end = random.Random(1), lab.locator(PICTURE), time.monotonic() + PATIENCE
        while True:  # on a busy machine the last changes may still be under way
            lab.evaluate(SETTLED)
            if lab.locator(".offac-lab-notice").count():  # a choice that cannot be: the next that can is drawn
                hail(page, lab, again, 1)
            elif (drawn := page.evaluate(ASK, JUDGE)) == (shown := image.evaluate(SHA)) or time.monotonic() > end:
                break
        assert shown == drawn


def test_the_play_button_moves_the_slider_on(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "play"):
        lab = live(run_named(page, "play"))
        the_picture_changes(page, lab, lab.locator(".jupyter-widgets.widget-play button").first.click)
        expect(lab.locator(".offac-lab-summary")).to_contain_text(re.compile(r"Now step ([5-9]|\d\d)"))


def test_the_dashboard_trains_beside_the_cells_and_obeys(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "dashboard"):
        lab = live(run_named(page, "dashboard"))
        text, button = lab.locator(".offac-lab-summary"), lambda name: lab.get_by_role("button", name=name)
        expect(text).to_contain_text("press Start")
        the_picture_changes(page, lab, button("Start").click)
        expect(button("Pause")).to_be_enabled()
        expect(run_named(page, "meanwhile")).to_contain_text("the kernel is free: True")
        the_picture_changes(page, lab, lambda: None)
        slider = lab.locator(".widget-slider").filter(has_text="K, actions").locator(HANDLE)
        slider.focus()
        page.keyboard.press("Home")
        lab.get_by_role("combobox").select_option("no terminal flag")
        lab.get_by_role("button", name="leave-one-out").click()
        expect(lab.locator(".offac-lab-notice")).to_contain_text("action_samples of at least 2")
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(lab.locator(".offac-lab-notice")).to_have_count(0)
        expect(run_named(page, "broken")).to_contain_text("True without_flag")
        button("Pause").click()
        expect(button("Start")).to_be_enabled()
        button("Reset").click()
        expect(text).to_contain_text("press Start")
