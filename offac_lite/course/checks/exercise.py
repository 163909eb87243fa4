"""How a check judges a student's function: a tick, or what is wrong in words.

An `Exercise` compares what it observes of a function (`observer`) with what it observes of the right answer and of
the mistakes that people make: those that the exercise names, which are edits of the right answer's source
(`kinds.edits`), then those of all exercises (`kinds.kinds`), then what the numbers show of themselves (`relations`).
"""

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import torch

from offac_lite.course.checks import relations, stops
from offac_lite.course.checks.edits import Edit, edits
from offac_lite.course.checks.kinds import kinds
from offac_lite.course.checks.nonfinite import not_finite
from offac_lite.course.checks.observing import (
    Nothing,
    Observations,
    Observer,
    TooLong,
    limited,
    same,
    words_of,
)
from offac_lite.course.checks.settings import ordinary_torch, unusual_settings
from offac_lite.course.checks.stub import empty, untouched

_MARKS = {True: "✓", False: "✗", None: "…"}


@dataclass(frozen=True, eq=False, repr=False)
class Exercise:
    """One exercise: the right answer, what to observe, and the mistakes that people make. Call it to check a function.

    >>> from offac_lite.course import checks
    >>> usable = checks.v_target(lambda reward, terminated, next_value, gamma: None)
    … v_target: not attempted yet (nothing is returned)
      The notebook goes on with the package's own version.
    >>> usable is checks.v_target.right
    True
    """

    name: str
    _: KW_ONLY
    doc: str  # what the notebook asks for
    right: Callable  # the notebook goes on with it if the student's function is wrong
    plain: Callable | None = None  # a short right answer, whose source the mistakes edit; `right` by default
    observe: Callable[[Callable], Observations]  # run a function on small inputs
    mistakes: (
        Mapping[Edit, str] | Sequence[tuple[Callable, str]]
    )  # a table for `edits`; then pairs of a wrong function and its words
    praise: str
    planted: Callable | None = None  # in "find the bug", the code as the notebook gives it
    stub: Callable | None = None  # the code as the notebook gives it, where that is not an empty function
    generic: bool = True  # whether the mistakes of all exercises can be told apart by what is observed
    only_gradients: bool = False  # a loss of another value is as right where its gradients are
    extras: Mapping[Edit, str] | None = None  # terms that people add, in any amount: edits that add some of each
    explain: Callable[[Observations, Observations], str | None] = lambda seen, right: None  # words for wrong numbers
    spoken: Mapping[str, str] | None = None  # how its arguments and variables are called, beside `kinds.SPOKEN`

    def __post_init__(self):
        """Make the wrong functions, and let `help` and `?` say what the exercise asks for."""
        object.__setattr__(self, "__doc__", self.doc)
        if isinstance(self.mistakes, Mapping):
            object.__setattr__(self, "mistakes", edits(self.plain or self.right, self.mistakes))

    def __call__(self, function: Callable) -> Callable:
        """Print the verdict on a student's function, and return the function that the notebook goes on with."""
        verdict, words = self.verdict(function)
        print(words)
        if verdict:
            return function
        print("  The notebook goes on with the package's own version.")
        return self.right

    @functools.cached_property
    def _tried(self) -> tuple[list["Kind"], Iterator]:
        return [], kinds(self.plain or self.right, self.spoken)

    @functools.cached_property
    def _known(self) -> dict[Callable, Observations]:
        return {}

    def kinds(self) -> Iterator["Kind"]:
        """Give the mistakes that people make in any exercise, with what the first case shows of them."""
        tried, left = self._tried
        for i in itertools.count():
            if i == len(tried):
                if (new := next(left, None)) is None:
                    return
                tried.append(Kind(*new, *_first(self.observe, new[0])))
            yield tried[i]

    @functools.cached_property
    def added(self) -> list["Kind"]:
        """The `extras`, as kinds."""
        return [Kind(f, c, *_first(self.observe, f)) for f, c in edits(self.plain or self.right, self.extras or {})]

    def verdict(self, function: Callable) -> tuple[bool | None, str]:
        """Judge as `diagnose` does; the words are the line to print."""
        verdict, words = diagnose(self, function)
        return verdict, f"{_MARKS[verdict]} {self.name}: {words}"


# ---------------------------------------------------------------------------------------------- how it is judged


def diagnose(exercise: Exercise, function: Callable) -> tuple[bool | None, str]:
    """Judge a student's function: (True, praise), (False, what is wrong), or (None, "not attempted yet …").

    >>> from offac_lite.course import checks
    >>> diagnose(checks.v_target, lambda reward, terminated, next_value, gamma: None)
    (None, 'not attempted yet (nothing is returned)')
    """
    if not callable(function):
        return False, f"a function is wanted, and this is a {type(function).__name__}"
    settings = unusual_settings()
    with ordinary_torch():
        verdict, words = _diagnose(exercise, function)
    if verdict is False and settings:
        words += f" (This session has {settings}, and the checks run without it.)"
    return verdict, words


def _diagnose(exercise: Exercise, function: Callable) -> tuple[bool | None, str]:
    if untouched(function, exercise.planted):
        return None, "not attempted yet: the bug is still there"
    with torch.enable_grad():  # and as it was before, whatever the function does
        return _judged(exercise, function)


def _judged(exercise: Exercise, function: Callable) -> tuple[bool | None, str]:
    right = exercise.observe(exercise.right)
    try:
        with limited():
            seen = exercise.observe(function)
    except Nothing:
        if untouched(function, empty) or untouched(function, exercise.stub):
            return None, _NOT_ATTEMPTED
        return False, "it returns nothing: is a return missing at the end, or in one of the branches?"
    except (Exception, SystemExit, TooLong) as error:  # whatever the student's code does, the notebook goes on
        if type(error) is NotImplementedError and not error.args:  # with words it comes from PyTorch: "1 - d", say
            return None, _NOT_ATTEMPTED
        seen = getattr(error, "seen", {})
        right = {k: v for k, v in right.items() if k in seen}
        stopped = stops.stopped(exercise, error)
        if not seen:
            return False, stopped + stops.why(exercise, error, seen)
        if same(seen, right) or (exercise.only_gradients and same(seen, relations.gradients_of(right))):
            return False, f"{stops.so_far(seen, error)}{stopped}{stops.why(exercise, error, seen)}"
    if not torch.is_grad_enabled():
        return False, "it switches gradients off and leaves them off: after it, nothing in the notebook learns any more"
    if wrong := _wrong(exercise, function, seen, right):
        return False, wrong
    return True, exercise.praise


def _wrong(exercise: Exercise, function: Callable, seen: Observations, right: Observations) -> str | None:
    """Say what is wrong with what was seen, by the first of these that knows: None where nothing is."""
    if same(seen, right):
        return relations.other_dtype(seen, right)
    gradients = relations.gradients_of(right)
    if exercise.only_gradients and same(seen, gradients) and relations.usable(seen, right):
        return None
    constants = {k for k in gradients if not right[k].any()}  # nothing may flow there
    shapes = relations.other_shape(seen, right)
    watch = gradients if exercise.only_gradients and not shapes else right
    learned = {k: v for k, v in right.items() if k not in constants}
    for scope in (
        right,
        _until_wrong(exercise, seen, right, watch),
    ):  # a later case may not hide what an earlier one shows
        for watched, also in ((scope, ""), ({k: scope[k] for k in scope.keys() & learned.keys()}, LEAK)):
            if scope is not right and sum(tensor.numel() for tensor in watched.values()) < 2:
                continue  # many mistakes give the same single number
            for wrong, words in exercise.mistakes:
                known = _all(exercise, wrong)
                if _is(seen, known, watched) and not _refuted(seen, known, right, watch):
                    if not also or not same(known, watched):  # else it is wrong only where a constant is wanted
                        return words + also
        if words := not_finite(exercise.observe, function, seen, scope) if scope is not right else None:
            return words
        if scope is right:
            if words := exercise.explain(seen, right):
                return words
            if constants and same(seen, {k: v for k, v in learned.items() if k in watch}):
                where = next(k for k in right if k in constants and seen[k].any())
                what = "other gradients" if exercise.only_gradients else "numbers"
                return f"the {what} are correct, but {where} is not zero: a constant is wanted"
        known = {k: scope[k] for k in scope.keys() & watch.keys()}
        for watched, also in ((known, ""), ({k: known[k] for k in known.keys() & learned.keys()}, LEAK)):
            few = sum(v.numel() for v in watched.values()) < 3 or not any(
                v.is_floating_point() for v in watched.values()
            )
            if scope is not right and few:
                continue  # of a few numbers, or of whole ones, many kinds give the same
            if exercise.only_gradients and (words := _named(exercise, seen, watched, right)):
                return words + also
            if clause := _match(exercise, seen, watched, right):
                what = "your gradients" if exercise.only_gradients else "your numbers"
                what += "" if scope.keys() == right.keys() else f" {_last_case(exercise, scope)}"
                return f"{shapes and shapes + ': '}{what}{_COME_OUT}{clause}{also}"
    if shapes:
        return shapes + relations.shape_reason(seen, right)
    return _of_itself(exercise, function, seen, right, watch) or (
        f"{next(k for k in right if not same(seen, {k: right[k]}))} is not what it should be; compare your line with "
        "what the text asks for, term by term"
    )


def _refuted(seen: Observations, known: Observations, right: Observations, watch: Observations) -> bool:
    """Tell whether a mistake spoils something that is right in what was seen."""
    spoiled = {k: v for k, v in watch.items() if k in known and not same(known, {k: v})}
    return any(same(seen, {k: right[k]}) for k in spoiled)


def _until_wrong(exercise: Exercise, seen: Observations, right: Observations, watch: Observations) -> Observations:
    """Return the observations of the cases up to the first that is wrong."""
    if not isinstance(exercise.observe, Observer):
        return dict(right)
    until: Observations = {}
    for case in exercise.observe.cases:
        until |= {k: v for k, v in right.items() if case and k.endswith(case)}
        if not same(seen, {k: until[k] for k in until.keys() & watch.keys()}):
            return until
    return dict(right)


def _last_case(exercise: Exercise, scope: Observations) -> str:
    return next(case for case in reversed(exercise.observe.cases) if any(k.endswith(case) for k in scope))


@dataclass(frozen=True, eq=False)
class Kind:
    """A mistake of all exercises, made in one of them."""

    wrong: Callable
    clause: str
    first: Observations  # what the first case shows of it
    stops: str  # the exception that it raises there


def _first(observe: Callable, function: Callable) -> tuple[Observations, str]:
    """Observe the first case alone, where there are cases; return the text of an exception as well."""
    if isinstance(observe, Observer):
        observe = Observer(dict([next(iter(observe.cases.items()))]), observe.one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return observe(function), ""
        except Exception as error:
            return {}, words_of(error)


def _named(exercise: Exercise, seen: Observations, watched: Observations, right: Observations) -> str | None:
    """Return the words of the first mistake of the exercise's own with these gradients, whatever the loss' value."""
    if any(seen[k].any() for k in watched):  # many mistakes leave no gradient at all
        for wrong, words in exercise.mistakes:
            known = _all(exercise, wrong)
            if _is(seen, known, watched) and not _refuted(seen, known, right, relations.gradients_of(right)):
                return words
    return None


def _match(exercise: Exercise, seen: Observations, watched: Observations, right: Observations) -> str | None:
    """Return the clause of the first kind that gives what was seen."""
    if not exercise.generic or _flags(watched) or relations.everywhere(seen, watched):
        return None
    if exercise.only_gradients and not any(seen[k].any() for k in watched):
        return None
    watch = relations.gradients_of(right) if exercise.only_gradients else right
    for kind in exercise.kinds():
        keys = watched.keys() & kind.first.keys()
        if any(watched[k].any() for k in keys) and same(seen, {k: kind.first[k] for k in keys}):
            known = _all(exercise, kind.wrong)
            if _is(seen, known, watched) and not _refuted(seen, known, right, watch):
                return kind.clause
    return None


def _flags(watched: Observations) -> bool:
    """Tell whether only bools are seen: many kinds give the same few."""
    return all(tensor.dtype == torch.bool for tensor in watched.values())


def _all(exercise: Exercise, wrong: Callable) -> Observations:
    """Observe a known mistake, once; give what it shows before it stops where it does."""
    known = exercise._known
    if wrong not in known:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                known[wrong] = exercise.observe(wrong)
            except Exception as error:
                known[wrong] = getattr(error, "seen", {})
    return known[wrong]


def _is(seen: Observations, known: Observations, watched: Observations) -> bool:
    return watched.keys() <= known.keys() and same(seen, {k: known[k] for k in watched})


def _of_itself(
    exercise: Exercise, function: Callable, seen: Observations, right: Observations, watch: Observations
) -> str | None:
    """Say what the numbers show of themselves."""
    if (
        words := relations.changing(exercise.observe, function, seen)
        or relations.no_flags(seen, watch)
        or relations.everywhere(seen, watch)
        or relations.no_gradient(seen, right)
        or relations.multiple(seen, watch)
    ):
        return words
    for kind in exercise.added:
        if relations.shares(seen, watch, _all(exercise, kind.wrong)):
            return kind.clause
    for kind in exercise.kinds() if exercise.generic and not _flags(watch) else ():
        keys = watch.keys() & kind.first.keys()
        if sum(kind.first[k].numel() for k in keys) > 3 and relations.factors(seen, {k: kind.first[k] for k in keys}):
            known = _all(exercise, kind.wrong)
            found = watch.keys() <= known.keys() and relations.factors(seen, {k: known[k] for k in watch})
            some = list(found.values()) if found else []
            if some and max(some) - min(some) < 1e-3 * abs(some[0]) and abs(some[0] - 1) > 2e-3:
                return f"your numbers{_COME_OUT}{kind.clause}, and besides {relations.said_of(some[0], 'that')}"
    observe = exercise.observe
    if not isinstance(observe, Observer):
        return None
    if not observe.probes:
        return relations.cases(seen, right, observe.cases)
    names = relations.spoken_arguments(exercise.plain or exercise.right, observe, exercise.spoken)
    words = (
        relations.unused(observe, names, function, exercise.plain or exercise.right)
        or relations.where(observe, names, seen, watch)
        or relations.dependence(observe, names, function, exercise.plain or exercise.right)
        or relations.cases(seen, right, observe.cases)
    )
    if shown := relations.example(observe, names, seen, right):
        return f"{words or 'the result is not what it should be'}{shown}"
    return words


_COME_OUT = " are what you get if "
_NOT_ATTEMPTED = "not attempted yet (nothing is returned)"
LEAK = "; and besides, a gradient flows where a constant is wanted"
