"""The engine of the checks: edits of a right answer, what counts as not attempted, and verdicts for assignments."""

import re

import pytest
import torch

from offac_lite.course import checks
from offac_lite.course.checks import exercise as engine
from offac_lite.course.checks import observing
from tests.exercises import define, unwritten

# --------------------------------------------------------------------------------------------- grade and require


def wrong(reward, terminated, next_q, gamma):
    return reward + gamma * next_q.detach()


LINES = {
    "right": (checks.q_target.right, "✓ q_target: right: mask, discount"),
    "wrong": (wrong, "✗ q_target: "),
    "a stub": (unwritten, "… q_target: not attempted yet (nothing is returned)"),
    "no function": (3.0, "✗ q_target: a function is wanted, and this is a float"),
}


@pytest.mark.parametrize("function, line", LINES.values(), ids=LINES)
def test_grade_and_require_say_what_the_check_prints(function, line, capsys):
    checks.q_target(function)
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith(line)
    grade = checks.grade("q_target", function)
    assert capsys.readouterr().out == f"{said}\n"
    assert type(grade) is float and grade == (line[0] == "✓")
    if grade:
        assert checks.require("q_target", function) is None
    else:
        with pytest.raises(AssertionError, match=f"^{re.escape(said)}$"):
            checks.require("q_target", function)
    assert capsys.readouterr().out == ""


def test_an_exercise_has_one_name():
    assert [exercise.name for exercise in checks.EXERCISES.values()] == list(checks.EXERCISES)


def test_the_line_where_it_stops_is_the_student_s():
    @torch.no_grad()
    def update(target, online, tau):
        return target.no_such_name

    line = update.__wrapped__.__code__.co_firstlineno + 2
    assert f"(line {line} of the cell or file)" in checks.polyak_update.verdict(update)[1]


@pytest.mark.parametrize("judge", [checks.grade, checks.require])
@pytest.mark.parametrize("name", ["Q_TARGET", "diagnose", "patient A", 3])
def test_the_name_of_no_exercise_is_refused_with_the_names_that_there_are(judge, name):
    with pytest.raises(ValueError, match=f"name must be one of 'actor_loss', .* 'wrong_rows', got {name!r}"):
        judge(name, wrong)


def test_an_exercise_is_known_by_the_name_that_a_notebook_calls():
    assert len(checks.EXERCISES) == 44
    for name, exercise in checks.EXERCISES.items():
        assert getattr(checks, name) is exercise
        assert exercise.name.lower().replace(" ", "_") == name
        assert exercise.__doc__ == exercise.doc and exercise.doc.startswith("Check ")


def test_the_right_answer_in_plain_lines_is_as_right_as_the_package_s():
    for exercise in checks.EXERCISES.values():
        if exercise.plain is not None:
            assert checks.diagnose(exercise, exercise.plain) == (True, exercise.praise)


# --------------------------------------------------------------------------------------------------------- edits


def target(reward, next_value, gamma):
    """Discount gamma."""
    later = gamma * next_value
    return reward + later


def results(table):
    return [(function(1.0, 10.0, 0.5), words) for function, words in engine.edits(target, table)]


def test_an_edit_is_a_replacement_several_of_them_an_expression_or_a_function():
    assert results({"reward + later → later": "a", "reward +  →": "b"}) == [(5.0, "a"), (5.0, "b")]
    assert results({("gamma * → gamma *gamma *", "reward + → reward -"): "a"}) == [(-1.5, "a")]
    assert results({"return later": "a", ("gamma * →", "return later - reward"): "b"}) == [(5.0, "a"), (9.0, "b")]
    assert results({lambda r, v, g: -r: "a"}) == [(-1.0, "a")]
    assert target(1.0, 10.0, 0.5) == 6.0


@pytest.mark.parametrize(
    "edit, times",
    [("next_q →", 0), ("later → soon", 2), ("→ 1", r"\d+"), (("gamma * →", "gamma * next → next"), 0)],
)
def test_an_edit_that_does_not_fit_is_refused(edit, times):
    with pytest.raises(ValueError, match=f"does not fit target: the old text is found {times} times, not once"):
        engine.edits(target, {edit: "words"})


@pytest.mark.parametrize("edit", ["reward +", "reward → next → later"])
def test_an_edit_has_one_arrow(edit):
    with pytest.raises(ValueError, match="values to unpack"):
        engine.edits(target, {edit: "words"})


def test_an_edited_function_sees_the_globals_of_its_module():
    ((function, _),) = engine.edits(checks.q_target.plain, {"gamma * →": ""})
    assert function.__globals__ is checks.q_target.plain.__globals__


# ---------------------------------------------------------------------------------------------------- untouched

GIVEN = """def given(mean, log_std):
    \"\"\"Say what it does.\"\"\"
    u = torch.atanh(mean)  # a comment
    return torch.distributions.Normal(u, log_std)
"""
TYPED = GIVEN.replace('    """Say what it does."""\n', "").replace("  # a comment", "").replace("given", "mine")


def without_source(source):
    scope = {"torch": torch}
    exec(source, scope)
    return next(f for name, f in scope.items() if name in ("given", "mine"))


def in_a_cell(source):
    scope = define(source, {"torch": torch})
    return next(f for name, f in scope.items() if name in ("given", "mine"))


@pytest.mark.parametrize("make", [in_a_cell, without_source])
@pytest.mark.parametrize("given", [in_a_cell(GIVEN), without_source(GIVEN)], ids=["source", "no source"])
def test_a_name_a_docstring_and_a_comment_are_no_change(make, given):
    assert engine.untouched(make(TYPED), given)
    assert not engine.untouched(make(TYPED.replace("atanh", "tanh")), given)
    assert not engine.untouched(make(TYPED.replace("    return", "    return 2 *")), given)


def test_the_cell_around_a_function_does_not_matter():
    """Beside an `import torch`, Python has other instructions for a call of torch.atanh."""
    source = f"import torch\n\n\n@(lambda f: f)\n{TYPED}\n\nprint = None\n"
    assert engine.untouched(in_a_cell(source), in_a_cell(GIVEN))
    assert engine.untouched(in_a_cell(f"if True:\n{re.sub('(?m)^', '    ', TYPED)}"), in_a_cell(GIVEN))


@pytest.mark.parametrize(
    "body", ["pass", "...", "return", "return None", '"""Words."""', '"""Words."""\n    pass\n    ...']
)
@pytest.mark.parametrize("make", [in_a_cell, without_source])
def test_a_function_that_does_nothing_is_empty(make, body):
    assert engine.untouched(make(f"def mine(a, b):\n    {body}\n"), engine.empty)


def test_lambdas_are_compared_and_what_is_no_function_is_no_stub():
    empty, given = engine.empty, in_a_cell("def given(a):\n    return a + 1\n")
    assert engine.untouched(lambda *a: None, empty) and not engine.untouched(lambda a: a, empty)
    assert engine.untouched(lambda a: a + 1, given) and not engine.untouched(lambda a: a + 2, given)
    for other in (max, torch.nn.Identity(), torch.nn.Identity, re.compile("").match):
        assert not engine.untouched(other, given) and not engine.untouched(other, empty)
    assert not engine.untouched(given, None)


@pytest.mark.parametrize(
    "lines",
    ["x = 1\ndef given(a):\n    return a + 2\n", "x = (\n    1)\ndef given(a):\n    return a + 2\n", f"\n\n{GIVEN}"],
    ids=["another line", "a bracket", "an empty line"],
)
def test_a_file_whose_lines_are_of_another_function_is_not_believed(lines):
    """As where a module is edited while a notebook holds what it was."""
    function = in_a_cell("def mine(a):\n    return a + 1\n")
    now = define(lines, {"torch": torch})
    function.__code__ = function.__code__.replace(co_filename=now["given"].__code__.co_filename)
    assert engine.untouched(function, in_a_cell("def given(b):\n    return b + 1\n")) is False
    assert engine.untouched(function, in_a_cell("def given(a):\n    return a + 1\n")) is True


# ------------------------------------------------------------------- whatever a student's function does, words come out


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


def stops(*arguments):
    raise Unprintable


def leaves(*arguments):
    raise SystemExit(3)


def never_ends(*arguments):
    while True:
        try:
            sum(range(100))
        except Exception:
            pass


def gradients_off(*arguments):
    torch.set_grad_enabled(False)
    return arguments[0]


MESSY = {
    "an exception without a text": (stops, "it stops with Unprintable: .its text cannot be printed."),
    "sys.exit": (leaves, "it stops with SystemExit: 3"),
    "an endless loop": (never_ends, "it has not come back after 0.5 seconds: does one of its loops never end"),
    "gradients switched off": (gradients_off, "it switches gradients off and leaves them off"),
    "NaN": (lambda r, d, v, g: r + g * (v - v.max() - 1).sqrt() * ~d, "holds NaN: it first appears in a root .line"),
    "infinity": (lambda r, d, v, g: r / d.float() + g * v.detach(), "holds infinity: it first appears in a division"),
    "a sparse tensor": (lambda r, d, v, g: r.to_sparse(), "a sparse or complex tensor"),
    "a generator": (lambda r, d, v, g: (x for x in r), "returned a generator; a tensor is wanted"),
    "chance": (lambda r, d, v, g: r + torch.rand(r.shape), "gives other numbers each time"),
}


@pytest.mark.parametrize("function, words", MESSY.values(), ids=MESSY)
def test_messy_functions_get_words(function, words, monkeypatch):
    monkeypatch.setattr(observing.TooLong, "seconds", 0.5)
    verdict, said = checks.diagnose(checks.v_target, function)
    assert verdict is False and re.search(words, said), said
    assert torch.is_grad_enabled()


def in_another_dtype(right, dtype):
    """Make a wrong answer out of a right one: other numbers, of another dtype."""

    def change(result):
        if isinstance(result, tuple | list):
            return type(result)(map(change, result))
        return (2 * result + 1).to(dtype) if isinstance(result, torch.Tensor) else result

    return lambda *given: change(right(*given))


NUMBERS = {  # what their answer returns is no tensor
    "old_share",
    "owners",
    "mean_change",
    "total_variance",
    "make_target",
    "polyak_update",
    "replays",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in checks.EXERCISES if name not in NUMBERS])
def test_wrong_numbers_of_another_dtype_get_words(name):
    exercise = checks.EXERCISES[name]
    verdict, said = checks.diagnose(exercise, in_another_dtype(exercise.right, torch.float16))
    assert verdict is False and said


def test_a_mistake_is_not_named_where_a_later_case_shows_that_it_was_not_made():
    named = "all new transitions go to one row"
    assert named in checks.diagnose(checks.ring_rows, lambda n, new, cap: torch.full((new,), n % cap))[1]
    _, said = checks.diagnose(checks.ring_rows, lambda n, new, cap: (n + torch.arange(new) * (n < cap)) % cap)
    assert named not in said and said.startswith("your function is right (past the last row) and")


def test_nothing_is_called_unused_that_counts_once_all_of_it_changes():
    _, said = checks.diagnose(checks.resampled_advantage, lambda q, obs, a, r, nv, v, g: q(obs, a) - v.max())
    assert "does not depend" not in said
    _, said = checks.diagnose(checks.patient_h, lambda te, tr: te.any() & ~te & tr | te & ~tr)
    assert "does not depend" not in said


def test_a_later_case_that_stops_does_not_hide_what_an_earlier_one_showed():
    verdict, said = checks.diagnose(checks.v_target, lambda r, d, v, g: r.unsqueeze(-1) + g * v.detach() * ~d)
    assert verdict is False and "has shape (4, 4), and (4,) is wanted" in said and "it stops" not in said
    verdict, said = checks.diagnose(
        checks.leave_one_out, lambda q: torch.stack([q[i] - (q.sum(0) - q[i]) / (len(q) - 1) for i in range(4)])
    )
    assert verdict is False and said.startswith("right (K = 4), but (K = 2): it stops with IndexError")


def test_a_loss_of_another_value_is_right_where_its_gradient_is():
    verdict, _ = checks.diagnose(checks.actor_loss, lambda lp, a: -((lp - lp.detach()).exp() * a.detach()).mean(-1))
    assert verdict is True


def test_double_precision_is_refused_where_the_arguments_are_in_single_precision():
    _, said = checks.diagnose(checks.v_target, lambda r, d, v, g: r + g * (1 - d.double()) * v.detach())
    assert "the target (one seed) is float64, and float32 is wanted" in said


def test_a_kind_says_what_it_does():
    """Each kind is made of the source of the right answer, and its clause is true of what it makes."""
    made = {clause: wrong(1.0, 10.0, 0.5) for wrong, clause in engine.kinds(target) if clause in KINDS}
    assert made == KINDS


KINDS = {
    "γ is applied twice": 3.5,
    "the term with r is missing": 5.0,
    "γ is missing as a factor": 11.0,
    "r counts twice": 7.0,
    "r and γ are swapped": 10.5,
}
