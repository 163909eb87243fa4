"""The lab of the chapter on continuous actions, driven by value: what it shows is what the exact moments say."""

import pytest

from offac_lite.course import labs, plots
from offac_lite.course.labs.continuous import ACTIONS, STDS
from offac_lite.exact.gaussian import break_even_actions, gaussian_moments, quadratic, two_humps
from tests.lab_changes import assert_each_change_shows

SETTINGS = [
    dict(),
    dict(std=0.05, offset=50.0, action_samples=16),
    dict(baseline="value", mean=-1.3),
    dict(landscape="two humps", baseline="leave-one-out", action_samples=4, std=1.2, offset=3.0),
    dict(landscape="two humps", mean=1.0, std=0.1),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_numbers_are_the_exact_moments(setting):
    result = labs.ContinuousModel()(**setting)
    shape = two_humps if setting.get("landscape") else quadratic
    offset, mean, std = (setting.get(n, d) for n, d in (("offset", 0.0), ("mean", 0.0), ("std", 0.5)))

    def q(action):
        return shape(action) + offset

    choice = dict(action_samples=setting.get("action_samples", 1), baseline=setting.get("baseline"))
    assert result.score == gaussian_moments(q, mean, std, **choice)
    assert result.pathwise == gaussian_moments(q, mean, std, "pathwise")
    assert result.gradient == pytest.approx(result.score.mean, abs=1e-6)
    assert result.k_star == break_even_actions(q, mean, std)
    at = STDS.index(0.1)
    assert result.score_by_std[at].item() == pytest.approx(gaussian_moments(q, mean, 0.1, **choice).variance)
    assert result.pathwise_by_std[at].item() == pytest.approx(gaussian_moments(q, mean, 0.1, "pathwise").variance)
    assert result.scale >= result.q.abs().max() > result.scale / 2
    assert result.density.argmax() == (ACTIONS - mean).abs().argmin()


@pytest.mark.slow
def test_controls_move_picture_numbers_and_words():
    lab = labs.continuous_lab()
    changes = [
        dict(std=0.1),
        dict(mean=0.5),
        dict(action_samples=8),
        dict(offset=10.0),
        dict(baseline="value"),
        dict(landscape="two humps"),
    ]
    assert_each_change_shows(lab, changes)


@pytest.mark.slow
def test_an_impossible_choice_is_explained_in_place_and_leaves_the_last_picture():
    lab = labs.continuous_lab()
    before = lab.png
    lab.set(baseline="leave-one-out")
    assert "choose a K of at least 2" in lab.error and lab.png == before
    lab.set(action_samples=2)
    assert lab.error is None and lab.png != before


@pytest.mark.slow
def test_every_edge_of_the_controls_can_be_drawn():
    model, view = labs.ContinuousModel(), plots.ContinuousView(STDS, ACTIONS)
    for landscape in ("one peak", "two humps"):
        for baseline in ("none", "value", "leave-one-out"):
            for std in (STDS[0], STDS[-1]):
                for mean in (-2.0, 1.0, 2.0):
                    for rest in (dict(action_samples=2), dict(action_samples=64, offset=100.0)):
                        view.update(model(landscape, baseline, std, mean, **rest))
            assert len(plots.png(view.figure)) > 10_000


def test_an_unknown_landscape_is_refused():
    with pytest.raises(ValueError, match="landscape must be one of 'one peak', 'two humps'"):
        labs.ContinuousModel()(landscape="a plain")


def test_the_offset_leaves_the_axis_of_the_variance_where_it_is():
    model, view, frames = labs.ContinuousModel(), plots.ContinuousView(STDS, ACTIONS), set()
    for offset in (0.0, 20.0, 100.0):
        view.update(model(std=0.05, offset=offset))
        frames.add(view.curve.get_ylim())
    assert len(frames) == 1
