"""What every lab must do when its controls are moved."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from offac_lite.course.stage.lab import Lab


def assert_each_change_shows(lab: Lab, changes: Iterable[Mapping[str, Any]]) -> None:
    """Make the changes one after the other: each must give a picture and words that were not there before."""
    pictures, words = [lab.png], [lab.summary_text]
    for change in changes:
        lab.set(**change)
        assert lab.error is None
        assert lab.png not in pictures and lab.summary_text not in words, change
        pictures.append(lab.png)
        words.append(lab.summary_text)


def give_the_same_past(fresh: Lab, lab: Lab) -> None:
    """Let `fresh`, which has the values of `lab`, show the ghost that `lab` shows, if it has one of earlier values."""
    if hasattr(lab._view, "memory"):
        fresh._view.memory = copy.copy(lab._view.memory)
        fresh._show_pinned(fresh._view.memory.pinned)
