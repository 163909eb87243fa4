"""A small lab in other front ends than JupyterLab, in a real browser.

Without a browser these tests are skipped, but fail where the environment variable CI is "true".
"""

from contextlib import closing

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect, sync_playwright

from tests.browser import (
    drag_until_the_picture_changes,
    launch,
    live,
    opened,
    press_until_the_picture_changes,
    run_all,
    served,
    the_picture_changes,
)
from tests.refresh_notebooks import METADATA

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("app", ["notebook", "voila"])
def test_a_lab_lives_in_other_front_ends(tmp_path, app):
    cell = new_code_cell("from tests.demo_lab import demo_lab\n\nlab = demo_lab()\nlab.show()", id="lab")
    nbformat.write(new_notebook(cells=[cell], metadata=METADATA), tmp_path / "demo.ipynb")
    with (
        sync_playwright() as playwright,
        closing(launch(playwright)) as browser,
        served(tmp_path, app) as address_of,
        opened(browser, address_of("demo.ipynb"), app, reaches_out=app == "voila") as page,  # for its formulas
    ):
        if app == "notebook":
            run_all(page)
        lab = live(page)
        for slider in lab.locator(".widget-slider").all():
            drag_until_the_picture_changes(page, lab, slider)
        press_until_the_picture_changes(page, lab, "Frequency")
        the_picture_changes(page, lab, lambda: lab.locator("input[type=checkbox]").click(), words=False)
        expect(page.locator(".jp-OutputArea img:visible")).to_have_count(1)  # the still picture is hidden
