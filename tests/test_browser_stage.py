"""The stage in a real browser: as sharp as the page, dark on dark, stacked when narrow, never blank, and in words.

Without a browser these tests are skipped, but fail where the environment variable CI is "true".
"""

import re
from contextlib import closing

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect, sync_playwright

from tests.browser import (
    ASK,
    CRISP,
    PATIENCE,
    PICTURE,
    PIXELS,
    barriers,
    drag_until_the_picture_changes,
    launch,
    live,
    loaded,
    opened,
    press_until_the_picture_changes,
    run,
    served,
    the_picture_changes,
    watched,
)
from tests.refresh_notebooks import METADATA

pytestmark = pytest.mark.slow
GHOST = """\
from tests.test_stage import QUESTIONS, ghost_lab, training

ghost_lab(training, presets={"many actions": {"k": 64}, "one action in a large batch": {"k": 1, "n": 9}},
          questions=QUESTIONS, sample=None)"""
VARIANCE = "from offac_lite.course import labs\n\nlab = labs.variance_lab()\nlab"
CELLS = ["from tests.demo_lab import demo_lab\n\ndemo_lab()", GHOST, VARIANCE]
SHOWN = 'lab => lab.querySelector(".offac-picture img")'
DRAWN = f"""
    const [image, canvas] = [({SHOWN})(lab), document.createElement("canvas")];
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);"""
CORNER = f"""lab => {{{DRAWN}
    return context.getImageData(1, 1, 1, 1).data[0];
}}"""
SPREAD = f"""lab => {{  // how far the green of the cloud and its half circle reaches to both sides, in pixels{DRAWN}
    const width = Math.round(0.6 * canvas.width);  // without the numbers beside it
    const [colors, across] = [context.getImageData(0, 0, width, canvas.height).data, []];
    for (let at = 0; at < colors.length; at += 4)
        if (colors[at + 1] - colors[at] > 60) across.push(at / 4 % width);
    const mean = across.reduce((sum, x) => sum + x, 0) / across.length;
    return Math.sqrt(across.reduce((sum, x) => sum + (x - mean) ** 2, 0) / across.length);
}}"""
BLANKS = """lab => {
    const seen = window.seen = {frames: 0, blank: 0, pictures: new Set(), watching: true};
    const look = () => {
        const image = lab.querySelector(".offac-picture img");
        seen.frames += 1;
        seen.blank += !(image && image.complete && image.naturalWidth > 0 && image.getBoundingClientRect().height > 0);
        seen.pictures.add(image?.src);
        if (seen.watching) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""
THEME = "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: `JupyterLab ${name}`})"


@pytest.fixture(scope="module")
def browser_and_new_address(tmp_path_factory):
    """A browser, and a function that makes a notebook with CELLS on a Notebook 7 and gives its address."""
    folder = tmp_path_factory.mktemp("stage")

    def new_address() -> str:
        cells = [new_code_cell(source, id=f"cell{number}") for number, source in enumerate(CELLS)]
        name = f"stage{len(list(folder.glob('*.ipynb')))}.ipynb"
        nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / name)
        return address_of(name)

    with sync_playwright() as playwright, closing(launch(playwright)) as browser:
        with served(folder, "notebook") as address_of:
            yield browser, new_address


@pytest.fixture(scope="module")
def page_and_errors(browser_and_new_address):
    """One page for the tests that need no other device."""
    browser, new_address = browser_and_new_address
    with loaded(browser, new_address()) as both:
        yield both


def ratio_of(lab) -> float:
    """Pixels of the picture for each CSS pixel."""
    return lab.evaluate(f"lab => ({SHOWN})(lab).naturalWidth / ({SHOWN})(lab).getBoundingClientRect().width")


@pytest.mark.parametrize("ratio", [1.5, 2])
def test_the_picture_is_as_sharp_as_the_page(browser_and_new_address, ratio):
    browser, new_address = browser_and_new_address
    with opened(browser, new_address(), f"ratio-{ratio}", device_scale_factor=ratio) as page:
        lab = live(run(page, 0))
        assert ratio_of(lab) == pytest.approx(ratio, rel=1e-4)
        press_until_the_picture_changes(page, lab, "Frequency")
        assert ratio_of(lab) == pytest.approx(ratio, rel=1e-4)


def test_the_picture_follows_the_theme_of_the_page(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "theme"):
        lab = live(run(page, 0))
        assert lab.evaluate(CORNER) >= 254
        page.evaluate(THEME, "Dark")
        page.wait_for_function(f"lab => ({CORNER})(lab) === 0x11", arg=lab.element_handle())
        press_until_the_picture_changes(page, lab, "Frequency")
        assert lab.evaluate(CORNER) == 0x11
        page.evaluate(THEME, "Light")
        page.wait_for_function(f"lab => ({CORNER})(lab) >= 254", arg=lab.element_handle())


def test_the_arrow_keys_move_a_slider_and_other_keys_are_left_to_the_notebook(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "keys"):
        lab = live(run(page, 0))
        for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "End", "PageDown", "Home"):
            press_until_the_picture_changes(page, lab, "Frequency", key)
        prompt = page.locator(".jp-Cell").first.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        page.keyboard.press("Shift+Enter")
        expect(prompt).not_to_have_text(before)


def test_no_frame_is_blank_while_a_slider_is_dragged(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "blank"):
        lab = live(run(page, 0))
        lab.evaluate(BLANKS)
        for _ in range(3):
            drag_until_the_picture_changes(page, lab, lab.locator(".widget-slider").first)
        seen = page.evaluate("() => { seen.watching = false; return [seen.frames, seen.blank, seen.pictures.size]; }")
        assert seen[0] > 50 and seen[2] > 5 and seen[1] == 0, "frames, blank ones, pictures"


def test_the_cloud_in_the_page_shrinks_as_the_standard_deviation_does(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "cloud"):
        lab = live(run(page, 2))
        deviation = "print(lab.result.moments.variance ** 0.5, end='')"
        seen, exact = [lab.evaluate(SPREAD)], [float(page.evaluate(ASK, deviation))]
        for _ in range(2):  # from K = 1 to 4
            press_until_the_picture_changes(page, lab, "K, actions per state")
        seen.append(lab.evaluate(SPREAD))
        exact.append(float(page.evaluate(ASK, deviation)))
        assert exact[0] / exact[1] > 1.9 and seen[0] / seen[1] == pytest.approx(exact[0] / exact[1], rel=0.15)


def test_on_a_narrow_page_panels_are_stacked_and_labels_stand_above(browser_and_new_address):
    device = dict(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    browser, new_address = browser_and_new_address
    with opened(browser, new_address(), "narrow", **device) as page:
        lab = live(run(page, 1))
        page.wait_for_function(
            f"lab => ({SHOWN})(lab).naturalHeight > ({SHOWN})(lab).naturalWidth", arg=lab.element_handle()
        )
        page.wait_for_function(CRISP, arg=lab.element_handle())
        assert ratio_of(lab) == pytest.approx(2, rel=1e-3)
        slider = lab.locator(".widget-slider").first
        label, rail = (slider.locator(part).bounding_box() for part in (".widget-label", ".noUi-base"))
        assert label["y"] + label["height"] <= rail["y"] and rail["width"] > 200
        around = lab.bounding_box()
        for button in lab.locator("button:visible").all():
            box = button.bounding_box()
            assert box["x"] >= around["x"] and box["x"] + box["width"] <= around["x"] + around["width"] + 1
            assert button.evaluate("button => button.scrollWidth <= button.clientWidth"), "no label is cut"
        press_until_the_picture_changes(page, lab, "K")
        page.set_viewport_size({"width": 1000, "height": 844})
        page.wait_for_function(
            f"lab => ({SHOWN})(lab).naturalHeight < ({SHOWN})(lab).naturalWidth", arg=lab.element_handle()
        )


def test_everything_has_a_name_for_a_screen_reader(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "names"):
        lab = live(run(page, 1))
        expect(lab.get_by_role("slider", name="K", exact=True)).to_have_count(1)
        expect(lab.get_by_role("slider", name="N", exact=True)).to_have_count(1)
        expect(lab.get_by_role("slider")).to_have_count(2)
        expect(lab.get_by_role("slider", name="K")).to_have_attribute("aria-valuetext", "2")
        for name in ("Pin", "Reset", "many actions", "one action in a large batch"):
            expect(lab.get_by_role("button", name=name, exact=True)).to_have_count(1)
        expect(lab.get_by_role("img", name="it is 23")).to_have_count(1)
        expect(lab.get_by_role("list", name="Questions").get_by_role("listitem")).to_have_count(2)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_lab_has_no_barriers(page_and_errors, theme):
    page, errors = page_and_errors
    with watched(page, errors, f"barriers-{theme}"):
        live(run(page, 1))
        page.evaluate(THEME, theme)
        page.wait_for_function("dark => (document.body.dataset.jpThemeLight === 'false') === dark", arg=theme == "Dark")
        assert barriers(page, ".offac-lab") == []
        page.evaluate(THEME, "Light")


def test_pin_presets_and_questions_in_the_page(page_and_errors):
    page, errors = page_and_errors
    with watched(page, errors, "pin"):
        lab = live(run(page, 1))
        button = lambda name: lab.get_by_role("button", name=name, exact=True)  # noqa: E731
        summary, questions = lab.locator(".offac-lab-summary"), lab.get_by_role("list", name="Questions")
        before = lab.locator(PICTURE).evaluate(PIXELS)
        the_picture_changes(page, lab, button("Pin").click, words=False)
        the_picture_changes(page, lab, button("many actions").click)
        expect(lab.get_by_role("slider", name="K")).to_have_attribute("aria-valuetext", "64")
        expect(summary).to_have_text("it is 643")
        expect(questions).not_to_contain_text("It is 4.")
        lab.get_by_role("slider", name="K").focus()
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        expect(questions).to_contain_text("✓ Which K gives 40? It is 4.")
        button("Reset").click()
        expect(summary).to_have_text("it is 23")
        page.wait_for_function(
            f"([lab, before]) => ({PIXELS})(({SHOWN})(lab)) === before", arg=[lab.element_handle(), before]
        )
        expect(questions).to_contain_text("It is 4.")


def test_without_the_extension_a_plain_picture_follows_the_controls(browser_and_new_address):
    browser, new_address = browser_and_new_address
    with browser.new_context(viewport={"width": 1200, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.route(re.compile("/extensions/anywidget/"), lambda route: route.abort())
        page.goto(new_address())
        try:
            cell = run(page, 0)
            lab = cell.locator(".offac-lab").first
            plain = lab.locator(".offac-plain")
            expect(plain).to_be_visible()
            expect(lab.locator(".offac-live")).to_have_count(0)
            before = plain.get_attribute("src")
            lab.locator(".widget-slider").first.locator(".noUi-handle").focus()
            lab.locator(".widget-slider").first.locator(".noUi-handle").press("End")
            expect(plain).not_to_have_attribute("src", before)
            expect(lab.locator(".offac-lab-summary")).to_contain_text("frequency 9")
        finally:
            page.evaluate("window.jupyterapp?.shell.currentWidget?.sessionContext?.shutdown()")
