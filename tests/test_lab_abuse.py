"""Labs under a hail of changes, by value: the last picture is that of the last values, and nothing is left behind.

OFFAC_EVENTS says how many changes each lab gets (20). Labs in which agents learn at each change get a quarter of it.
"""

import os
import threading

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.browser import LABS, made
from tests.lab_changes import give_the_same_past
from tests.test_lab import drawn, redrawn

EVENTS = int(os.environ.get("OFFAC_EVENTS", "20"))
LEARN = {"learning", "fixes", "group", "old-data"}
pytestmark = pytest.mark.slow


def change(lab, random):
    """Send a control a value as the page would."""
    control = random.choice(list(lab.controls.values()))
    if hasattr(control, "options"):
        control.set_state({"index": int(random.choice(len(control.options)))})
        return
    steps = round((control.max - control.min) / control.step)
    value = control.min + control.step * int(random.integers(steps + 1))
    value = control.base**value if isinstance(control, ipywidgets.FloatLogSlider) else value
    control.set_state({"value": type(control.value)(round(value, 9))})


def hail(lab, random, events):
    for _ in range(events):
        change(lab, random)


@pytest.mark.parametrize("name", LABS)
def test_after_any_changes_the_picture_is_that_of_the_last_values(name):
    lab, threads, events = made(name), threading.active_count(), EVENTS // 4 if name in LEARN else EVENTS
    for seed in range(2):  # the second time from two threads at once, as a page's messages may come
        given = [(lab, np.random.default_rng([seed, k]), max(1, events // 2 // (seed + 1))) for k in range(seed + 1)]
        workers = [threading.Thread(target=hail, args=arguments) for arguments in given]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        lab.wait()
        fresh = made(name)
        fresh.set(**lab.values)
        assert lab.error == fresh.error, "a choice that cannot be is told alike"
        while lab.error is not None:
            hail(lab, given[0][1], 1)
            lab.wait()
        fresh.set(**lab.values)
        give_the_same_past(fresh, lab)
        assert lab.summary_text == fresh.summary_text and fresh.error is None
        assert lab.png == fresh.png == bytes(lab.screen.picture.value), lab.values
    assert threading.active_count() == threads and not plt.get_fignums()


@pytest.mark.parametrize("name", LABS)
def test_no_change_leaves_anything_of_an_earlier_picture(name):
    lab, random = made(name), np.random.default_rng(0)
    for event in range(4 if name in LEARN else max(8, EVENTS // 5)):
        change(lab, random)
        lab.wait()
        np.testing.assert_array_equal(drawn(lab._view), redrawn(lab._view), err_msg=f"change {event}")
