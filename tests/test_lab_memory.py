"""A lab whose cell runs again is freed, whether a name, a page or IPython's history of outputs refers to it."""

import functools
import gc
import json
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from offac_lite.course import labs
from tests.browser import LABS, made
from tests.demo_lab import WaveView, demo_lab
from tests.test_lab import PATIENCE, started
from tests.test_stage import ghost_lab, training

ROOT = Path(__file__).parent.parent

MEASURE = """
import gc, json, resource, sys
import torch
torch.set_num_threads(1)
from tests.browser import made

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

def run_again(name, times):
    for _ in range(times):
        lab = made(name)
    gc.collect()
    return megabytes()

kept = {}
for name in ("variance", "age", "watch"):
    before = run_again(name, 3)
    kept[name] = (run_again(name, 10) - before) / 10
print(json.dumps(kept))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_more_runs_of_a_labs_cell_keep_less_than_two_megabytes_each():
    """Of a few labs: what is kept of the others, the next test sees."""
    out = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    kept = json.loads(out.stdout)
    assert len(kept) == 3 and max(kept.values()) < 2, kept


MAKERS = {name: functools.partial(made, name) for name in LABS} | {
    "demo": demo_lab,
    "ghost": lambda: ghost_lab(presets={"a": {"k": 4}}),
    "dashboard": lambda: labs.Dashboard(seeds=2, total_steps=400),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_lab_that_nothing_refers_to_ends_and_closes_its_widgets(make):
    lab = make()
    gone, widget, picture = weakref.ref(lab), lab.widget, lab.screen.picture
    del lab
    gc.collect()
    assert gone() is None and widget.comm is None and picture.comm is None


@pytest.mark.slow
def test_a_view_may_outlive_its_lab():
    view = WaveView()
    demo_lab(view)
    gc.collect()
    lab = demo_lab(view)
    lab.set(frequency=3)
    assert lab.error is None


def test_a_computation_that_goes_on_ends_with_its_lab():
    inside, go_on, seen = threading.Event(), threading.Event(), []

    def slow(k, n):
        for result in training(k, n):
            if k == 4:
                seen.append(result)
                inside.set()
                assert go_on.wait(PATIENCE)
            yield result

    lab = ghost_lab(slow)
    lab.controls["k"].value = 4
    assert inside.wait(PATIENCE)
    worker, gone = lab._worker, weakref.ref(lab)
    del lab
    go_on.set()
    worker.join(PATIENCE)
    gc.collect()
    assert not worker.is_alive() and gone() is None and len(seen) < 3


FIRST = """
import gc, weakref
from offac_lite.course import labs

lab = labs.reward_lab()
gone = weakref.ref(lab), weakref.ref(lab._view.figure)
del lab
gc.collect()
assert [reference() for reference in gone] == [None, None]
"""


@pytest.mark.slow
def test_the_first_lab_is_freed_like_every_other():
    """The collector passes over what was there before the labs were imported, and over nothing else."""
    out = subprocess.run([sys.executable, "-c", FIRST], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr


COUNT = "import gc; from offac_lite.course.stage.screen import Screen; "
COUNT += "print(sum(type(one) is Screen for one in gc.get_objects()))"
SHOWN = {
    "a name": "from tests.demo_lab import demo_lab\nlab = demo_lab()\nlab.show()",
    "an output": "from tests.demo_lab import demo_lab\ndemo_lab()",
    "nothing": "from tests.demo_lab import demo_lab\ndemo_lab().show()",
}


@pytest.fixture(scope="module")
def kernel():
    with started() as kernel:
        yield kernel


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False], ids=["the page names its cells", "it does not"])
@pytest.mark.parametrize("how", SHOWN)
def test_a_cell_that_runs_again_frees_what_it_has_shown_before(how, named, kernel):
    def run(code, cell):
        content = dict(code=code, silent=False, store_history=True, user_expressions={}, allow_stdin=False)
        message = kernel.client.session.msg("execute_request", content, metadata={"cellId": cell} if named else {})
        kernel.client.shell_channel.send(message)
        return kernel.outputs(message["header"]["msg_id"])

    def shown():
        return int(run(COUNT, "other")[0]["text"])

    before = shown()
    for _ in range(3):
        assert len(run(SHOWN[how], f"one, {how}")) == 3
    assert shown() == before + 1
    again = SHOWN[how] if named else SHOWN[how] + "  # another cell"
    run(again, f"two, {how}")
    assert shown() == before + 2, "another cell shows a lab of its own"
