"""The clinic: the healthy agent is the package's, every patient has the symptom that the text describes."""

import copy
import inspect
import re
from dataclasses import fields, replace

import nbformat
import numpy as np
import pytest
import torch

from offac_lite import equations
from offac_lite.course import checks, clinic, plots
from offac_lite.course.clinic import HEALTHY, Chart, Parts, TableCritic, patient, train_patient, two_states
from offac_lite.networks import Categorical, DiscreteQCritic
from tests.refresh_notebooks import ROOT

NOTEBOOKS = [ROOT / "notebooks" / name for name in ("07_bug_clinic.ipynb", "further/more_patients.ipynb")]
CELLS = [cell for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells]
CODE = [cell.source for cell in CELLS if cell.cell_type == "code"]
IMPORTS = next(source for source in CODE if "import torch" in source)


@pytest.fixture(scope="module")
def unit_test():
    """The notebook's own test, which returns (max error of Q, cosine, length, what reaches Q) here."""
    scope = {}
    for source in [IMPORTS, *(s for s in CODE if "def critic_test(" in s or "def actor_test(" in s)]:
        exec(source, scope)

    def run(parts):
        error = (scope["critic_test"](parts) - scope["exact_q"]).abs().max().item()
        return error, *scope["actor_test"](parts)

    return run


@pytest.mark.parametrize(
    ("letter", "expected"),
    [
        ("", (0, 1, 1, 0)),
        ("A", (5.98, 1, 1, 0)),
        ("B", (0, -1, 1, 0)),
        ("C", (0, 1, 1, 0.3)),
        ("D", (2.93, 1, 1, 0)),
        ("E", (0, None, 0, 0)),
        ("F", (0, 1, 80_000, 0)),
        ("G", (1.78, 1, 1, 0)),
        ("H", (3.67, 1, 1, 0)),
        ("I", (0, 1, 1, 0)),
    ],
)
def test_what_the_two_states_say_of_each_patient(unit_test, letter, expected):
    parts = patient(letter) if letter else HEALTHY
    for seen, packaged, wanted in zip(unit_test(parts), clinic.unit_test(parts), expected, strict=True):
        assert wanted is None or seen == pytest.approx(wanted, rel=0.02, abs=0.02)
        assert packaged == pytest.approx(seen, abs=1e-9), "the package's test is the notebook's"
    assert clinic.unit_test(parts).passed == (letter in ("", "I"))


def test_a_patient_differs_from_the_healthy_agent_in_one_part():
    names = [field.name for field in fields(Parts)]
    for letter in "ABCDEFGHIJKL":
        ours = patient(letter)
        changed = [name for name in names if getattr(ours, name) is not getattr(HEALTHY, name)]
        assert len(changed) == 1
        assert replace(ours, **{changed[0]: getattr(HEALTHY, changed[0])}) == HEALTHY
    with pytest.raises(ValueError, match="letter must be one of 'A', 'B'"):
        patient("Z")


@pytest.mark.parametrize("letter", "ABCDEFGH")
def test_the_notebooks_stub_is_the_patients_bug(letter):
    """What a student is given to repair is the part of the patient whose chart they have read."""
    exercise = getattr(checks, f"patient_{letter.lower()}")
    (part,) = [f.name for f in fields(Parts) if getattr(patient(letter), f.name) is not getattr(HEALTHY, f.name)]
    lines = inspect.getsource(exercise.planted).split("\n", 1)[1].strip()
    assert [s for s in CODE if lines in s and f"checks.patient_{letter.lower()}(" in s]
    assert exercise.planted is getattr(patient(letter), part)


def test_the_two_states_are_as_described():
    world = two_states()
    rows = torch.stack([world.obs, world.action, world.next_action], 1)
    assert len(rows.unique(dim=0)) == 8 and (rows.unique(dim=0, return_counts=True)[1] == 2).all()
    assert world.terminated.sum() == 4 and world.truncated.sum() == 6 and not (world.terminated & world.truncated).any()
    for s, a, r, s2, d in zip(world.obs, world.action, world.reward, world.next_obs, world.terminated, strict=True):
        assert world.mdp.reward[s, a] == r and world.mdp.transition[s, a].sum() == (not d)
        assert d or world.mdp.transition[s, a, s2] == 1


def test_the_healthy_parts_are_the_packages():
    gen = torch.Generator().manual_seed(0)
    q_all, action, y = torch.randn(6, 3, generator=gen), torch.tensor([0, 2, 1, 1, 0, 2]), torch.randn(6, generator=gen)
    assert clinic.critic_loss(q_all, action, y) == equations.critic_loss(q_all[torch.arange(6), action], y)
    assert HEALTHY.q_target is equations.v_target and HEALTHY.make_target is copy.deepcopy
    critic = DiscreteQCritic(4, 3, generator=gen)
    obs, logits = torch.randn(6, 4, generator=gen), torch.randn(6, 3, generator=gen)
    value = clinic.next_value(lambda _: Categorical(logits), critic, obs, action)
    assert torch.allclose(value, (torch.softmax(logits, -1) * critic.all_actions(obs)).sum(-1))
    log_prob, q = clinic.resample(Categorical(logits), q_all, 4, torch.Generator().manual_seed(1))
    drawn = Categorical(logits).sample(4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(q, q_all.gather(1, drawn.mT).mT) and log_prob.shape == (4, 6)
    assert TableCritic(q_all)(torch.tensor([5]), torch.tensor([2])) == q_all[5, 2]


@pytest.fixture(scope="module")
def charts():
    """Shorter than the notebook's, and enough for what shows early."""
    short = {"seeds": 4, "total_steps": 4000, "evaluations": 10, "seed": 11}
    return {letter: train_patient(patient(letter) if letter else HEALTHY, **short) for letter in ("", *"ABCDEFHI")}


@pytest.mark.slow
def test_symptoms_show_within_four_thousand_steps(charts):
    low, high = clinic.POSSIBLE
    healthy = charts[""]
    assert healthy.steps.tolist() == [1200, 1600, 2000, 2400, 2800, 3200, 3600, 4000]
    assert healthy["return"][:, -1].median() > 60 and healthy.late("cosine").median() > 0.7
    for letter in "ABC":
        assert charts[letter].late("return").max() < 12
    for letter in "DE":
        assert charts[letter].late("return").median() < 35 and charts[letter].late("entropy").min() > 0.68
    assert charts["A"].late("value").min() > high
    assert charts["B"].late("cosine").max() < -0.3 and charts["B"].late("value").max() < 1
    assert charts["C"]["value"].amin(1).max() < 0 < low < charts["C"].late("value").median()
    assert charts["D"].late("spread").max() < 0.05 < 0.3 < charts["E"].late("spread").min()
    assert 100 < charts["F"].late("length").median() < 600
    assert charts["I"].late("value").median() > 2 * healthy.late("value").median()


@pytest.mark.slow
def test_patient_h_is_the_healthy_agent_until_a_time_limit_bites(charts):
    for name in clinic.INSTRUMENTS:
        assert torch.equal(charts["H"][name][:, :4], charts[""][name][:, :4]), name


@pytest.mark.slow
def test_patient_h_falls_ill_where_the_limit_is_short():
    """What the open exercise says should be found."""
    short = {"seeds": 4, "total_steps": 6000, "evaluations": 20, "max_episode_steps": 50, "seed": 11}
    ill, well = train_patient(patient("H"), **short), train_patient(HEALTHY, **short)
    assert ill.late("return").min() > 45 and well.late("return").min() > 45
    assert ill.late("value").median() < 0.8 * well.late("value").median()
    assert ill.late("critic_loss").median() > 3 * well.late("critic_loss").median()
    assert well.late("value").median() > 1.5 * well.late("delivered").median(), "the instrument that misleads"


def test_same_parts_and_seed_same_chart_and_another_seed_another():
    short = {"seeds": 2, "total_steps": 1200, "evaluations": 3}
    one, two, other = (train_patient(HEALTHY, seed, **short) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in clinic.INSTRUMENTS)
    assert not torch.equal(one["value"], other["value"])


def test_a_loss_that_vmap_cannot_follow_is_called_seed_by_seed():
    def with_a_branch(log_prob, q, value):
        loss = -(log_prob * (q - value).detach()).mean()
        return loss if loss.item() < 1e9 else loss * 0

    short = {"seeds": 2, "total_steps": 1040, "evaluations": 1}
    branching = replace(HEALTHY, actor_loss=with_a_branch)
    one, two = (train_patient(parts, **short) for parts in (branching, HEALTHY))
    assert torch.allclose(one["value"], two["value"], atol=1e-4)


def test_late_is_the_last_fifth():
    curve = torch.arange(10.0).expand(3, 10)
    assert Chart(torch.arange(10), {"value": curve}).late("value").tolist() == [8.5, 8.5, 8.5]


@pytest.mark.slow
def test_the_figures_hold_every_seed_and_what_is_impossible(charts):
    fig = plots.patient_chart(charts["A"], charts[""], "Patient A")
    returns, value, *_ = fig.axes
    thin = [line for line in returns.lines if line.get_linewidth() < 1]
    assert len(thin) == 4 and np.allclose(thin[2].get_ydata(), charts["A"]["return"][2])
    assert [text.get_text() for text in value.texts] == ["impossible", "delivered"]
    (due,) = [line for line in value.lines if line.get_linestyle() == ":"]
    assert np.allclose(due.get_ydata(), charts["A"]["delivered"].median(0).values, atol=0.5)
    low, high = value.get_ylim()
    assert low < 0 and high > charts["A"]["value"].max()


@pytest.mark.slow
def test_a_chart_is_a_small_png_of_few_colours(charts):
    picture = plots.png(plots.patient_chart(charts["E"], charts[""], "Patient E"))
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and picture[25] == 3, "colour type 3: a palette"
    assert len(picture) < 80_000


@pytest.mark.slow
def test_a_chart_saved_as_another_format_is_of_that_format(charts, tmp_path):
    plots.patient_chart(charts["E"], charts[""], "Patient E").savefig(tmp_path / "chart.pdf")
    assert (tmp_path / "chart.pdf").read_bytes().startswith(b"%PDF")


def test_no_cell_names_a_bug_before_the_diagnosis():
    """The cells that show a chart do not hold the patient's code."""
    for source in CODE:
        if "patient_chart(" in source:
            assert not re.search(r"detach|gather|sample\(|terminated|def ", source)
