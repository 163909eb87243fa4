"""How fast do the labs follow the hand? Key press → new pixels, in a real browser on a real JupyterLab.

    python -m tests.benchmarks.bench_labs            # every lab, ten minutes
    python -m tests.benchmarks.bench_labs age map    # some
    python -m tests.benchmarks.bench_labs --memory   # what 1,000 changes of each add to a process, no browser

Side by side in one run: a slider that only changes a text (the floor), `interact` with a new pyplot figure for every
change (the common way), and each lab. p50 and p95 are over 80 presses, one after another, of arrow keys on a lab's last
slider, or where it has none, of Enter on its first choice that is not made. "burst" is the time from the last of 30
presses within a second to the last change of the picture. Ratios are to the floor's p95 and to the common
way's. Milliseconds do not travel between machines.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

FLOOR = """\
import ipywidgets
slider, text = ipywidgets.IntSlider(50), ipywidgets.Label("50")
slider.observe(lambda change: setattr(text, "value", str(change.new)), "value")
box = ipywidgets.VBox([slider, text])
box.add_class("measured")
box"""
COMMON = """\
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

def draw(k=50):
    x = np.linspace(0, 10, 200)
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    for ax in axes:
        ax.plot(x, np.sin(k * x / 20), label="a wave")
        ax.legend()
    plt.show()

box = ipywidgets.interactive(draw, k=(0, 100))
box.add_class("measured")
box"""
WATCH = """selector => {
    const root = document.querySelector(selector);
    const shown = () => { const image = root.querySelector("img"); return image ? image.src : root.innerText; };
    const seen = window.seen = {last: shown(), pressed: 0, changed: 0, count: 0};
    root.addEventListener("keydown", () => { seen.pressed = performance.now(); }, true);
    new MutationObserver(async () => {
        if (shown() === seen.last) return;
        seen.last = shown();
        const image = root.querySelector("img");
        if (image) try { await image.decode(); } catch (error) { return; }
        requestAnimationFrame(() => { seen.changed = performance.now(); seen.count += 1; });
    }).observe(root, {subtree: true, childList: true, attributes: true, characterData: true});
}"""
CHANGES, BURST = 80, 30


def presses(page) -> tuple[list[float], float]:
    """Press keys on a control: the milliseconds of each press, and those of a burst."""
    page.evaluate(WATCH, ".offac-lab, .measured")
    lab = page.locator(".offac-lab, .measured").first
    handle, times, ways = lab.locator(".noUi-handle").last, [], ["ArrowLeft", "ArrowRight"]
    if buttons_only := not lab.locator(".noUi-handle").count():
        ways = ["Enter", "Enter"]
    for index in range(CHANGES + 4):
        if buttons_only:
            lab.locator(".widget-toggle-buttons button:not(.mod-active):not([disabled])").first.focus()
        else:
            handle.focus()
            at, least, most = (float(handle.get_attribute(f"aria-value{x}")) for x in ("now", "min", "max"))
            ways = ways[::-1] if index % 7 == 0 else ways  # back and forth
            ways = ways[::-1] if at == (most if ways[0] == "ArrowRight" else least) else ways
        count = page.evaluate("seen.count")
        page.keyboard.press(ways[0])
        page.wait_for_function("count => seen.count > count", arg=count, polling=10)
        page.wait_for_timeout(60)  # a slow second change belongs to this press
        times.append(page.evaluate("seen.changed - seen.pressed"))
    for index in range(0 if buttons_only else BURST):
        page.keyboard.press(ways[index % 2])
        page.wait_for_timeout(1000 / BURST - 8)
    page.wait_for_timeout(1500)
    return times[4:], max(0.0, page.evaluate("seen.changed - seen.pressed"))


def latencies(names: list[str]) -> None:
    """Measure floor, common way and labs, and print a row for each."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook
    from playwright.sync_api import sync_playwright

    from tests.browser import LABS, launch, opened, run_all, served
    from tests.refresh_notebooks import METADATA

    folder = Path(tempfile.mkdtemp())
    sources = {"floor: a text": FLOOR, "interact, pyplot": COMMON} | {name: LABS[name] for name in names}
    floor = common = None
    print(f"{'':18s}{'p50 ms':>8s}{'p95 ms':>8s}{'/ floor':>9s}{'/ common':>10s}{'burst ms':>10s}")
    with sync_playwright() as playwright, served(folder) as address_of:
        browser = launch(playwright)
        for number, (name, source) in enumerate(sources.items()):
            cell = new_code_cell(source, id="cell")
            nbformat.write(new_notebook(cells=[cell], metadata=METADATA), folder / f"{number}.ipynb")
            with opened(browser, address_of(f"{number}.ipynb"), name) as page:
                run_all(page)
                page.locator(".offac-lab img, .measured .noUi-handle").first.wait_for(timeout=120_000)
                page.wait_for_timeout(2000)
                times, burst = presses(page)
            p50, p95 = np.percentile(times, [50, 95])
            floor, common = floor or p95, p95 if number == 1 else common
            ratios = f"{p95 / floor:9.1f}" + (f"{p95 / common:10.2f}" if common else "")
            print(f"{name:18s}{p50:8.0f}{p95:8.0f}{ratios:19s}{burst:10.0f}", flush=True)
        browser.close()


def memory(names: list[str]) -> None:
    """Print what 1,000 changes of each lab add to the memory of this process."""
    import resource

    from tests.browser import made

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    print(f"{'':12s}{'MiB before':>12s}{'added by 1,000 changes':>24s}")
    for name in names:
        lab = made(name)
        moved, control = next((name, c) for name, c in lab.controls.items() if hasattr(c, "step"))
        values = [control.min + k * control.step for k in range(3)]
        values = [control.base**value for value in values] if hasattr(control, "base") else values
        for k in range(1100):
            lab.set(**{moved: values[k % len(values)]})
            if k == 99:
                before = resident()
        print(f"{name:12s}{before:12.0f}{100 * (resident() / before - 1):23.1f}%", flush=True)


if __name__ == "__main__":
    from tests.browser import LABS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labs", nargs="*", help=f"of {', '.join(LABS)}; all where none is named")
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    given = parser.parse_args()
    (memory if given.memory else latencies)(given.labs or list(LABS))
