"""The clinic lab, driven by value: what it counts is what the charts hold."""

from dataclasses import replace

import pytest
import torch

from offac_lite.course import labs, plots
from offac_lite.course.clinic import INSTRUMENTS, Chart
from tests.lab_changes import assert_each_change_shows


def chart(seed: int = 0, shift: float = 0.0, seeds: int = 10) -> Chart:
    generator = torch.Generator().manual_seed(seed)
    return Chart(
        torch.tensor([100, 200, 300]), {name: shift + torch.rand(seeds, 3, generator=generator) for name in INSTRUMENTS}
    )


@pytest.fixture(scope="module")
def healthy():
    return chart()


@pytest.fixture(scope="module")
def charts():
    return {"like them": chart(1), "far": chart(2, shift=5.0), "lost": chart(3, shift=torch.nan)}


def test_outside_counts_the_agents_beyond_the_healthy_ones_at_the_nearest_reading(charts, healthy):
    model = labs.ClinicModel(charts, healthy)
    result = model("like them", "spread", step=190)
    assert result.step == 200
    own, theirs = charts["like them"]["spread"][:, 1], healthy["spread"][:, 1]
    assert result.outside["spread"] == sum(not theirs.min() <= value <= theirs.max() for value in own)
    assert result.medians["spread"] == (own.nanmedian().item(), theirs.nanmedian().item())
    assert set(model("far").outside.values()) == {10}
    assert set(model("lost").outside.values()) == {0}, "nothing is known of them"
    assert "delivered" not in result.outside


def test_by_chance_is_what_agents_like_the_healthy_ones_come_to_on_average(healthy):
    counts = []
    for seed in range(200):
        model = labs.ClinicModel({"x": chart(2 * seed)}, chart(2 * seed + 1))
        counts += model("x").outside.values()
    assert sum(counts) / len(counts) == pytest.approx(model("x").by_chance, abs=0.15)
    assert model("x").by_chance == pytest.approx(20 / 11)


@pytest.mark.slow
def test_controls_move_picture_numbers_and_words(charts, healthy):
    lab = labs.clinic_lab(charts, healthy)
    first = lab.png
    changes = [dict(step=100), dict(instrument="entropy"), dict(instrument="critic_loss"), dict(patient="far")]
    assert_each_change_shows(lab, changes)
    lab.set(patient="like them", instrument="return", step=300)
    assert lab.png == first, "back to the first setting, the first picture"
    for patient in ("far", "like them"):  # the axis is the instrument's, whoever the patient is
        lab.set(patient=patient)
        limits = lab._view.chart.get_ylim()
        assert limits[0] < charts["like them"]["return"].min() and limits[1] > charts["far"]["return"].max()
    lab.set(patient="lost", instrument="length")
    assert lab.error is None, "a chart without numbers is drawn as an empty one"


@pytest.mark.slow
def test_every_instrument_s_curves_stay_within_the_axes(healthy):
    for scale in (0.01, 1.0, 1e4):
        wild = Chart(healthy.steps, {name: scale * curve for name, curve in healthy.curves.items()})
        lab = labs.clinic_lab({"wild": wild}, healthy)
        for name in ("return", "value", "spread"):
            lab.set(instrument=name)
            low, high = lab._view.chart.get_ylim()
            assert low <= wild[name].min() and wild[name].max() <= high


@pytest.mark.parametrize("changed", [dict(patient="Z"), dict(instrument="delivered")])
def test_what_is_not_there_is_named(charts, healthy, changed):
    with pytest.raises(ValueError, match=next(iter(changed))):
        labs.ClinicModel(charts, healthy)(**({"patient": "far"} | changed))


def test_charts_that_do_not_fit_are_refused(healthy):
    with pytest.raises(ValueError, match=r"'late' has the steps \[101, 201, 301\]"):
        labs.clinic_lab({"late": replace(healthy, steps=healthy.steps + 1)}, healthy)
    with pytest.raises(ValueError, match=r"same number of agents, got \[4, 10\]"):
        labs.clinic_lab({"A": chart(1), "B": chart(2, seeds=4)}, healthy)


@pytest.mark.slow
@pytest.mark.parametrize(
    "letters, near, answers",
    [
        ("BDAH", dict(instrument="critic_loss"), [dict(patient="A", instrument="return"), dict(instrument="cosine")]),
        ("CEFG", {}, [dict(patient="F", instrument="value", step=300), dict(patient="G", step=100)]),
    ],
)
def test_the_questions_about_the_patients_are_ticked_by_their_settings(healthy, letters, near, answers):
    charts = {letter: chart(k) for k, letter in enumerate(letters)}
    lab = labs.clinic_lab(charts, healthy)
    lab.set(**near)
    ticked = [sum(lab._checklist.ticked)]
    for setting in answers:
        lab.set(**setting)
        ticked.append(sum(lab._checklist.ticked))
    assert ticked == [0, 1, 2]
    assert not labs.clinic_lab({"C": charts[letters[0]]}, healthy)._checklist.questions


def test_the_words_of_a_chart_are_its_medians_and_no_diagnosis(healthy):
    sick = chart(1)
    words = plots.patient_words(sick, healthy)
    ends = [f"{curves['value'][:, at].quantile(0.5):.3g}" for curves in (sick, healthy) for at in (0, -1)]
    assert "; value {} to {} (healthy {} to {}); delivered".format(*ends) in words
    assert "; critic's loss " in words and words.count("healthy") == len(INSTRUMENTS)


def test_the_healthy_line_lies_over_the_patients_and_both_are_named(healthy):
    figure = plots.patient_chart(chart(1), healthy, "Patient X")
    lines = figure.axes[0].lines
    thick = max(range(len(lines)), key=lambda k: lines[k].get_linewidth())
    dashed = [k for k, line in enumerate(lines) if line.is_dashed()]
    assert dashed == [thick + 1], "drawn later, thinner, and so to be seen"
    assert [text.get_text() for text in figure.axes[0].texts] == ["patient", "healthy"]
    alone = plots.patient_chart(healthy, healthy, "The healthy agent")
    assert [text.get_text() for text in alone.axes[0].texts] == ["median"]
