"""Labs in a real browser on a real JupyterLab: a pressed key must change the picture, not just the read-out.

The browser is the system's Chromium or Chrome, or the one that the environment variable OFFAC_CHROMIUM names.
Without one these tests are skipped, but fail where the environment variable CI is "true".
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Error, expect, sync_playwright

from tests.refresh_notebooks import METADATA, ROOT, refresh, written

SETTINGS = {  # the news of JupyterLab asks a question over the page; cells out of sight are otherwise not drawn
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
RUN_ALL = """async () => {
    const notebook = window.jupyterapp.shell.currentWidget;
    await notebook.context.ready;
    await notebook.sessionContext.ready;
    window.jupyterapp.commands.execute("notebook:run-all-cells");
}"""
PIXELS = """image => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const words = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return words.reduce((sum, word) => (31 * sum + word) | 0, 0);
}"""
PLACE = """image => {
    const [lab, own] = [image.closest(".offac-lab").getBoundingClientRect(), image.getBoundingClientRect()];
    return [own.x - lab.x, own.y - lab.y, own.width, own.height];
}"""
NEW_PICTURE = f"""([image, source, pixels]) =>
    image.src !== source && image.complete && image.naturalWidth > 0 && ({PIXELS})(image) !== pixels"""


@contextmanager
def jupyterlab(folder: Path):
    """A JupyterLab that serves `folder` and keeps nothing anywhere else; yields its address and its token."""
    home, token = folder / ".jupyter", secrets.token_hex(16)
    for name, values in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    own |= {"IPYTHONDIR": "ipython", "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    environment = os.environ | {name: str(home / part) for name, part in own.items()}
    environment |= {"JUPYTER_TOKEN": token, "PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--expose-app-in-browser", f"--ServerApp.root_dir={folder}"]
    options += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    with open(folder / "server.log", "w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/api/status?token={token}", server, folder / "server.log")
            yield address, token
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=10):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


def launch(playwright):
    """The first browser there is; skip the test, or fail on CI, where there is none."""
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    names = ["chromium", "chromium-browser", "google-chrome", "chrome"]
    programs = [os.environ.get("OFFAC_CHROMIUM"), *map(shutil.which, names)]
    ways = [{"executable_path": program} for program in programs if program]
    reasons = []
    for way in [*ways, {"channel": "chrome"}, {"channel": "msedge"}]:
        try:
            return playwright.chromium.launch(args=arguments, **way)
        except Error as error:
            reasons.append(f"{way}: {error.message.splitlines()[0]}")
    reason = "no Chromium or Chrome could be started:\n" + "\n".join(reasons)
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an executed notebook of one lab in it, as it would be committed."""
    folder = tmp_path_factory.mktemp("lab")
    source = "from tests.demo_lab import demo_lab\n\nlab = demo_lab()\nlab.show()"
    notebook = new_notebook(cells=[new_markdown_cell("# A lab"), new_code_cell(source), new_code_cell("print(1)")])
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number}"
    (folder / "demo.ipynb").write_text(written(notebook), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        assert refresh(folder / "demo.ipynb") == []
    return folder


@pytest.fixture(scope="module")
def browser_and_lab(folder):
    with ExitStack() as stack:
        browser = launch(stack.enter_context(sync_playwright()))
        stack.callback(browser.close)
        yield browser, stack.enter_context(jupyterlab(folder))


@contextmanager
def opened(browser_and_lab, name: str):
    """The page of a notebook in the served folder; fails where the page reported an error."""
    browser, (address, token) = browser_and_lab
    with browser.new_context(viewport={"width": 1200, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{address}/doc/tree/{name}?token={token}")
        page.locator(".jp-Notebook").wait_for()
        yield page
        assert [error for error in errors if "Failed to load resource" not in error] == []


def press_until_the_picture_changes(page, slider: str | None = None, key: str = "ArrowRight", number: int = 0) -> None:
    """Press a key on a slider of one of the page's labs and wait for another picture and another line of text."""
    lab = page.locator(".offac-lab").nth(number)
    sliders = lab.locator(".widget-slider")
    chosen = sliders.filter(has_text=slider) if slider else sliders
    chosen.first.locator(".noUi-handle").focus()
    the_picture_changes(page, lab, lambda: page.keyboard.press(key))


def the_picture_changes(page, lab, act) -> None:
    """Do something to a lab and wait for another picture, in the same place, and another line of text."""
    image, text = lab.locator("img"), lab.locator(".offac-lab-summary")
    expect(text).not_to_be_empty()
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
    before = [image.get_attribute("src"), image.evaluate(PIXELS)]
    said, place = text.inner_text(), image.evaluate(PLACE)
    act()
    page.wait_for_function(NEW_PICTURE, arg=[image.element_handle(), *before])
    expect(text).not_to_have_text(said)
    assert image.evaluate(PLACE) == place, "nothing jumps"
    assert image.get_attribute("title") == text.inner_text(), "a screen reader has words for the picture"
    expect(lab.locator(".offac-lab-notice")).to_have_count(0)


LABS = {
    "baseline": "labs.baseline_lab()",
    "variance": "labs.variance_lab()",
    "age": "labs.age_lab()",
    "buffer": "from tests.test_lab_replay import short_run\nlabs.buffer_lab(*short_run())",
    "weights": "labs.weights_lab()",
    "critic": "labs.critic_lab()",
    "continuous": "labs.continuous_lab()",
    "clinic": "from tests.test_lab_clinic import chart\nlabs.clinic_lab({'A': chart(1), 'B': chart(2, 1.0)}, chart())",
}
COURSE = [ROOT / "notebooks" / "05_resampled_actions.ipynb"]


@pytest.mark.parametrize("path", ["demo.ipynb", *COURSE], ids=lambda path: Path(path).name)
def test_a_slider_redraws_the_picture(browser_and_lab, folder, path):
    if path in COURSE:
        shutil.copy(path, folder)
    with opened(browser_and_lab, Path(path).name) as page:
        page.evaluate(RUN_ALL)
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


@pytest.mark.parametrize("name", LABS)
def test_every_control_of_every_lab_redraws_the_picture(browser_and_lab, folder, name):
    cell = new_code_cell(f"from offac_lite import labs\n\n{LABS[name]}", id="lab")
    notebook = new_notebook(cells=[cell], metadata=METADATA)  # without a kernel's name the page asks for one
    nbformat.write(notebook, folder / f"{name}.ipynb")
    with opened(browser_and_lab, f"{name}.ipynb") as page:
        page.evaluate(RUN_ALL)
        lab = page.locator(".offac-lab").first
        lab.locator("img").wait_for(timeout=120_000)
        for slider in lab.locator(".widget-slider .widget-label").all_inner_texts():
            slider_at = lab.locator(".widget-slider").filter(has_text=slider).locator(".noUi-handle")
            at_the_end = slider_at.get_attribute("aria-valuenow") == slider_at.get_attribute("aria-valuemax")
            press_until_the_picture_changes(page, slider, "ArrowLeft" if at_the_end else "ArrowRight")
        for row in lab.locator(".widget-toggle-buttons").all():
            button = row.locator("button:not(.mod-active):not([disabled])").first
            the_picture_changes(page, lab, button.click)
            expect(row.locator(".mod-active")).to_have_count(1)


def test_the_dashboard_trains_beside_the_cells_and_obeys(browser_and_lab, folder):
    sources = ["from offac_lite import labs\n\nboard = labs.Dashboard(seeds=2, total_steps=100_000)\nboard",
               "print('the kernel is free:', board.running)"]  # fmt: skip
    cells = [new_code_cell(source, id=f"cell{number}") for number, source in enumerate(sources)]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "dashboard.ipynb")
    with opened(browser_and_lab, "dashboard.ipynb") as page:
        page.evaluate(RUN_ALL)
        lab = page.locator(".offac-lab").first
        lab.locator("img").wait_for(timeout=120_000)
        text, button = lab.locator(".offac-lab-summary"), lambda name: lab.get_by_role("button", name=name)
        expect(text).to_contain_text("press Start")
        the_picture_changes(page, lab, button("Start").click)
        expect(button("Pause")).to_be_enabled()
        page.locator(".jp-Cell").nth(1).click()
        page.keyboard.press("Shift+Enter")
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
    with opened(browser_and_lab, "demo.ipynb") as page:
        page.evaluate(RUN_ALL)
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
    with opened(browser_and_lab, "demo.ipynb") as page:
        outputs = page.locator(".jp-Notebook .jp-Cell:has(.jp-RenderedImage) .jp-OutputArea-child")
        expect(outputs).to_have_count(2)
        picture = outputs.first.locator("img")
        expect(picture).to_be_visible()
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
        expect(outputs.last).to_have_text("The wave has frequency 1; the steps end at 0.5.")
        expect(page.locator(".offac-lab")).to_have_count(0)
        assert not re.search("error|not found", page.locator(".jp-Notebook").inner_text(), re.IGNORECASE)
    assert (folder / "demo.ipynb").read_text(encoding="utf-8") == committed
