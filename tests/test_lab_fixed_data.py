"""The lab of the chapter on fixed data, driven by value: it shows the kept runs."""

import math

import numpy as np
import pytest

from offac_lite.course import labs, plots
from offac_lite.course.material import kept_runs
from tests.lab_changes import assert_each_change_shows


def test_it_shows_the_kept_runs():
    model, kept = labs.FixedDataModel(), kept_runs("fixed_data")
    for data in ("random", "mostly right"):
        for temperature in model.temperatures:
            name = "cloning" if math.isinf(temperature) else f"AWAC, λ = {temperature:g}"
            for play, key in (("most probable", "returns"), ("drawn", "drawn")):
                result = model(data, play, temperature)
                assert result.returns.tolist() == kept[data][name][key]
                assert result.both.tolist() == kept[data]["both fixes"][key]
                late = np.array(kept[data][name][key])[:, 5:].mean(1)
                assert result.late(result.returns) == pytest.approx(late)
                assert result.above(result.returns) == (late >= 300).sum()


def test_controls_move_picture_numbers_and_words():
    changes = [dict(temperature=1.0), dict(play="drawn"), dict(data="mostly right"), dict(temperature=0.03)]
    assert_each_change_shows(labs.fixed_data_lab(), changes)


def test_no_axis_moves():
    model, view = labs.FixedDataModel(), plots.FixedDataView(5_000, 300.0)
    frames = [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]
    for data in ("random", "mostly right"):
        for temperature in model.temperatures:
            view.update(model(data, "drawn", temperature))
            assert [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes] == frames
    assert len(plots.png(view.figure)) > 10_000


@pytest.mark.parametrize("wrong", [dict(data="expert"), dict(play="both"), dict(temperature=0.2)])
def test_what_was_not_recorded_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        labs.FixedDataModel()(**wrong)


def test_what_the_questions_say_is_true():
    lab = labs.fixed_data_lab()

    def above(**setting):
        lab.set(**setting)
        return lab.result.above(lab.result.returns)

    assert lab._checklist.ticked == [False] * 4 and above() == 0, "no clone"
    assert [above(temperature=t) for t in (0.3, 3.0)] == [12, 7] and not any(lab._checklist.ticked)
    assert above(temperature=1.0) == 16 and lab._checklist.ticked == [True, False, False, False]
    assert above(temperature=0.01) == 9 and lab.result.above(lab.result.both) == 3
    assert above(temperature=1.0, play="drawn") == 0 and 80 < np.median(lab.result.late(lab.result.returns)) < 100
    others = [
        above(data="mostly right", play="most probable", temperature=t) for t in labs.FixedDataModel().temperatures
    ]
    assert others[0] == 3 == max(others) and others[4:] == [0] * 4 and all(lab._checklist.ticked)
    lab.set(temperature=1.0)
    assert np.median(lab.result.late(lab.result.returns)) < 10
