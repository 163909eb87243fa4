"""The figures of the chapter on fixed data: what stands in them."""

import numpy as np

from offac_lite.course import plots

EDGES, SHARES = [0.0, 0.8, 1.6, 2.4], [0.9, 0.01, 0.0]
RUN = {
    "updates": [2500, 5000],
    "believed": [[4.0, 8.0], [5.0, 9.0]],
    "earned": [[6.0, 5.0], [6.0, 4.0]],
    "believed there": [[8.0, 9.0, None], [9.0, 10.0, 9.0], [8.5, 9.5, None]],
    "earned there": [[6.0, 5.0, None], [7.0, 6.0, 2.0], [6.5, 5.5, None]],
}


def test_each_bin_is_labelled_with_its_share():
    (ax,) = plots.along_the_track(EDGES, SHARES).axes
    assert [text.get_text() for text in ax.texts] == ["90%", "1%", "0%", "the track ends"]


def test_belief_and_truth_are_interquartile_means_of_the_seeds():
    for ax in plots.belief_and_truth({"one": RUN, "two": RUN}).axes:
        believed, earned, highest = ax.lines
        assert believed.get_ydata().tolist() == [4.5, 8.5] and earned.get_ydata().tolist() == [6.0, 4.5]
        assert set(highest.get_ydata()) == {10.0}


def test_a_distance_that_most_agents_never_reach_is_left_out():
    (ax,) = plots.belief_on_the_track(EDGES, {"one": RUN}, SHARES).axes
    believed, earned, _ = ax.lines
    assert np.allclose(believed.get_xdata(), [0.4, 1.2]) and np.allclose(believed.get_ydata(), [8.5, 9.5])
    assert np.allclose(earned.get_ydata(), [6.5, 5.5])
