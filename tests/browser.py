"""A real browser on a real Jupyter server, for tests and benchmarks of the labs.

The browser is the system's Chromium or Chrome, or the one that the environment variable OFFAC_CHROMIUM names. Where
something fails, a picture of the page is kept in the folder test-results. Everything waits for a state of the page,
and PATIENCE matters only where that state never comes.
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
import urllib.parse
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, expect, sync_playwright

from tests.refresh_notebooks import ROOT

SCREENSHOTS = ROOT / "test-results"
PATIENCE = 300  # seconds
expect.set_options(timeout=1000 * PATIENCE)
SETTINGS = {  # the news of JupyterLab asks a question over the page; cells out of sight are otherwise not drawn
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
READY = """async () => {
    const notebook = window.jupyterapp.shell.currentWidget;
    await notebook.context.ready;
    await notebook.sessionContext.ready;
}"""
PIXELS = """image => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const words = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return words.reduce((sum, word) => (31 * sum + word) | 0, 0);
}"""
PLACE = """lab => {
    const image = lab.querySelector(".offac-picture img");
    const [around, own] = [lab.getBoundingClientRect(), image.getBoundingClientRect()];
    return [own.x - around.x, own.y - around.y, own.width, own.height];
}"""
SHA = """async image => {  // null where another picture takes its place meanwhile
    const bytes = await fetch(image.src).then(picture => picture.arrayBuffer(), () => null);
    const sum = bytes && await crypto.subtle.digest("SHA-256", bytes);
    return sum && Array.from(new Uint8Array(sum), byte => byte.toString(16).padStart(2, "0")).join("");
}"""
HANDLE = ".noUi-handle, .ui-slider-handle"  # of a slider, in ipywidgets 8 and 7
RAIL = ".noUi-base, .ui-slider"
AT_THE_END = """handle => {
    const [at, most] = ["now", "max"].map(part => handle.getAttribute(`aria-value${part}`));
    return at === null ? handle.style.left === "100%" : at === most;
}"""
PICTURE = ".offac-picture img"  # of a live lab; each new picture is a new element
SAME_WORDS = "lab => lab.querySelector('.offac-picture img').alt === lab.querySelector('.offac-lab-summary').innerText"
ASK = """async code => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const [asked, said] = [kernel.requestExecute({code}), []];
    asked.onIOPub = message => { if (message.header.msg_type === "stream") said.push(message.content.text); };
    const reply = await asked.done;
    return reply.content.status === "ok" ? said.join("") : reply.content.evalue;
}"""
CRISP = """lab => {
    const image = lab.querySelector(".offac-picture img");
    return Math.abs(image.naturalWidth - image.getBoundingClientRect().width * devicePixelRatio) < 0.02;
}"""
SETTLED = """async lab => {
    const source = () => lab.querySelector(".offac-picture img").src;
    for (let last = null; last !== source(); await new Promise(later => setTimeout(later, 400))) last = source();
}"""
NEW_PICTURE = f"""([lab, source, pixels]) => {{
    const image = lab.querySelector(".offac-picture img");
    return image.src !== source && image.complete && image.naturalWidth > 0 && ({PIXELS})(image) !== pixels;
}}"""


NOT_OURS = "Failed to load resource", "reading 'schema'"  # the latter: Notebook 7.6, of any widget
STRANGER = "@jupyter-notebook/lab-extension"  # Voilà stumbles over it where Notebook 7 is installed too
LABS = {  # how to show each of them, with small data where one needs data
    "baseline": "labs.baseline_lab()",
    "variance": "labs.variance_lab()",
    "reward": "labs.reward_lab()",
    "action": "labs.action_lab()",
    "learning": "labs.learning_lab()",
    "fixes": "labs.fixes_lab()",
    "group": "labs.group_lab()",
    "old-data": "labs.old_data_lab(lambda pi, stored_action, K, generator: pi.sample(K, generator=generator))",
    "age": "labs.age_lab()",
    "buffer": "from tests.test_lab_replay import short_run\nlabs.buffer_lab(*short_run())",
    "one-ratio": "labs.one_ratio_lab()",
    "weights": "labs.weights_lab()",
    "two-critics": "labs.two_critics_lab()",
    "critic": "labs.critic_lab()",
    "continuous": "labs.continuous_lab()",
    "fixed-data": "labs.fixed_data_lab()",
    "watch": "from tests.test_lab_watch import tiny_album\nlabs.watch_lab(tiny_album())",
    "map": "from tests.test_lab_watch import tiny_album\nlabs.map_lab(tiny_album())",
    "clinic": "from tests.test_lab_clinic import chart\nlabs.clinic_lab({'A': chart(1), 'B': chart(2, 1.0)}, chart())",
}
LABS = {name: f"from offac_lite.course import labs\n{source}" for name, source in LABS.items()}
APPS = {  # how to start it, and the address of a notebook
    "jupyterlab": (["jupyterlab", "--expose-app-in-browser", "--ServerApp.root_dir={folder}"], "doc/tree/{name}"),
    "notebook": (["notebook", "--expose-app-in-browser", "--ServerApp.root_dir={folder}"], "notebooks/{name}"),
    "voila": (
        ["voila", "{folder}", "--Voila.token={token}", f"--VoilaConfiguration.extension_denylist={STRANGER}"],
        "voila/render/{name}",
    ),
}


def made(name: str):
    """One of LABS, made in this process."""
    *lines, last = LABS[name].splitlines()
    room: dict = {}
    exec("\n".join(lines), room)
    return eval(last, room)


@contextmanager
def served(folder: Path, app: str = "jupyterlab"):
    """A server of APPS for `folder` that keeps nothing elsewhere; yields a function: name of a notebook → address."""
    home, token = folder / f".{app}", secrets.token_hex(16)
    for name, values in SETTINGS.items() if app == "jupyterlab" else ():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    own |= {"IPYTHONDIR": "ipython", "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    for part in own.values():
        (home / part).mkdir(parents=True, exist_ok=True)  # not all of them are made by whoever needs them first
    environment = os.environ | {name: str(home / part) for name, part in own.items()}
    environment |= {"JUPYTER_TOKEN": token, "JUPYTER_PREFER_ENV_PATH": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([environment.get("PYTHONPATH", ""), str(ROOT)]).strip(os.pathsep)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments, path = APPS[app]
    part = "Voila" if app == "voila" else "ServerApp"
    arguments = [argument.format(folder=folder, token=token) for argument in arguments]
    options = ["--no-browser", f"--{part}.ip=127.0.0.1", f"--{part}.port={port}", f"--{part}.port_retries=0"]
    options += [] if app == "voila" else ["--allow-root"]
    log = folder / f"{app}.log"
    with open(log, "w") as stream:
        command = [sys.executable, "-m", *arguments, *options]
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=stream, stderr=stream)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/{'' if app == 'voila' else 'api/status'}?token={token}", server, log)
            yield lambda name: f"{address}/{path.format(name=name)}?token={token}"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{log.read_text()}")


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


def leaves(url: str) -> bool:
    """Whether a page's request goes to another machine."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1"


@contextmanager
def loaded(browser, address: str, reaches_out: bool = False, **device):
    """The page at `address`, and a list to which every error that it reports is added.

    No page gets anything from another machine; to ask for it is an error, too, unless the page `reaches_out`. `device`
    is what Playwright's `new_context` takes, such as `device_scale_factor`.
    """
    not_ours = (*NOT_OURS, "https://") if reaches_out else NOT_OURS
    errors: list[str] = []

    def note(error: str) -> None:
        if not any(words in error for words in not_ours):
            errors.append(error)

    with browser.new_context(**({"viewport": {"width": 1200, "height": 1000}} | device)) as context:
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("pageerror", lambda error: note(str(error)))
        page.on("console", lambda message: note(message.text) if message.type == "error" else None)
        page.on("request", lambda request: note(request.url) if leaves(request.url) else None)
        context.route(leaves, lambda route: route.abort())
        page.goto(address)
        try:
            yield page, errors
        finally:
            page.evaluate("window.jupyterapp?.shell.currentWidget?.sessionContext?.shutdown()")  # its own kernel only


@contextmanager
def watched(page, errors: list[str], name: str):
    """Fail where a page that is `loaded` has reported an error; where anything fails, keep a picture under `name`."""
    try:
        yield
        assert not errors, errors
    except BaseException:
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{re.sub('[^a-zA-Z0-9_.-]+', '-', name)}.png")
        raise
    finally:
        errors.clear()


@contextmanager
def opened(browser, address: str, name: str, reaches_out: bool = False, **device):
    """The page at `address` for as long as one test takes: `loaded` and `watched`."""
    with loaded(browser, address, reaches_out, **device) as (page, errors), watched(page, errors, name):
        yield page


def barriers(page, place: str | None = None) -> list[str]:
    """What axe-core finds in a page, or in one place of it, that shuts somebody out: rule and elements."""
    found = Axe().run(page, place).response["violations"]
    return [
        f"{one['id']}: {[node['target'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@contextmanager
def jupyterlab(folder: Path):
    """A browser and a JupyterLab; yields the browser and a function: name of a notebook in `folder` → address."""
    with sync_playwright() as playwright, closing(launch(playwright)) as browser, served(folder) as address_of:
        yield browser, address_of


def run_all(page) -> None:
    """Run every cell of the notebook that the page shows."""
    page.locator(".jp-Notebook").wait_for()
    page.evaluate(READY)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")


def run(page, number: int):
    """Run one cell of it; gives the cell."""
    page.locator(".jp-Notebook").wait_for()
    page.evaluate(READY)
    cell = page.locator(".jp-Cell").nth(number)
    cell.locator(".jp-InputPrompt").click()
    page.keyboard.press("Shift+Enter")
    return cell


def run_again(page, number: int):
    """Run a cell that has been run before, and wait until it is done; gives the cell."""
    prompt = page.locator(".jp-Cell").nth(number).locator(".jp-InputPrompt")
    before = prompt.inner_text()
    cell = run(page, number)
    expect(prompt).not_to_have_text(before)
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"))
    return cell


def live(place):
    """The first lab of a page or a cell, once its picture is there."""
    lab = place.locator(".offac-lab.offac-live").first
    expect(lab.locator(PICTURE)).to_be_visible()
    lab.page.wait_for_function(CRISP, arg=lab.element_handle())  # the first one is drawn anew for the page
    return lab


def press_until_the_picture_changes(page, lab, slider: str, key: str = "ArrowRight") -> None:
    """Press a key on one of a lab's sliders and wait for another picture and another line of text."""
    lab.locator(".widget-slider").filter(has_text=slider).first.locator(HANDLE).focus()
    the_picture_changes(page, lab, lambda: page.keyboard.press(key))


def the_picture_changes(page, lab, act, words: bool = True) -> None:
    """Do something to a lab and wait for another picture, in the same place, and (`words`) another line of text."""
    image, text = lab.locator(PICTURE), lab.locator(".offac-lab-summary")
    expect(text).not_to_be_empty()
    before = [image.get_attribute("src"), image.evaluate(PIXELS)]
    said, place = text.inner_text(), lab.evaluate(PLACE)
    act()
    page.wait_for_function(NEW_PICTURE, arg=[lab.element_handle(), *before])
    if words:
        expect(text).not_to_have_text(said)
    assert lab.evaluate(PLACE) == place, "nothing jumps"
    page.wait_for_function(SAME_WORDS, arg=lab.element_handle())  # for a screen reader; each change is a new text node
    expect(lab.locator(".offac-lab-notice")).to_have_count(0)


def drag_until_the_picture_changes(page, lab, slider) -> None:
    """Drag a slider's handle with the mouse, a third of the way towards its further end, and back again."""
    handle, track = slider.locator(HANDLE), slider.locator(RAIL)
    handle.scroll_into_view_if_needed()
    rail, start = track.bounding_box(), _middle(handle)
    further = 1 if start[0] < rail["x"] + rail["width"] / 2 else -1
    for way in (further, -further):
        the_picture_changes(page, lab, lambda way=way: _drag(page, handle, way * rail["width"] / 3))
        lab.evaluate(SETTLED)  # a drag is many changes


def hail(page, lab, random, events: int) -> None:
    """Work a lab's sliders and choices as fast as it goes, waiting for nothing."""
    sliders = lab.locator(".widget-slider").locator(HANDLE).all()
    buttons = lab.locator(".widget-toggle-buttons button").all()
    for _ in range(events):
        chosen = random.choice(sliders + buttons)
        if chosen in sliders:
            chosen.focus()
            page.keyboard.press(random.choice(["ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End"]))
        else:
            chosen.click()


def _middle(handle) -> tuple[float, float]:
    box = handle.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _drag(page, handle, distance: float) -> None:
    x, y = _middle(handle)
    page.mouse.move(x, y)
    page.mouse.down()
    for part in range(1, 6):
        page.mouse.move(x + distance * part / 5, y)
    page.mouse.up()
