"""How a check judges a student's function: a tick, or what is wrong in words.

An `Exercise` compares what it observes of a function (`observer`) with what it observes of the right answer and of
the mistakes that people make, which are edits of the right answer's source (`edits`).
"""

import ast
import dis
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import torch

from offac_lite.course.checks.settings import ordinary_torch, unusual_settings

_HERE = Path(__file__).parent
_MARKS = {True: "✓", False: "✗", None: "…"}

Observations = dict[str, torch.Tensor]  # values and gradients, by a name that a student understands
Edit = str | tuple[str, ...] | Callable


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

    def verdict(self, function: Callable) -> tuple[bool | None, str]:
        """Judge as `diagnose` does; the words are the line to print."""
        verdict, words = diagnose(self, function)
        return verdict, f"{_MARKS[verdict]} {self.name}: {words}"


# ------------------------------------------------------------------------------------------ how to state an exercise


def edits(right: Callable, table: Mapping[Edit, str]) -> list[tuple[Callable, str]]:
    """Make wrong functions, with what to say of them, from a table of edits of the source of `right`.

    An edit is "old → new"; "return ...", which replaces the last statement; a tuple of these; or a function. Spaces
    beside the arrow do not count. Raises `ValueError` if the old text is not found exactly once.

    >>> def target(reward, next_value, gamma):
    ...     return reward + gamma * next_value
    >>> table = {"gamma * →": "the discount is missing", "return gamma * next_value": "the reward is missing"}
    >>> [(wrong(1.0, 10.0, 0.9), words) for wrong, words in edits(target, table)]
    [(11.0, 'the discount is missing'), (9.0, 'the reward is missing')]
    """
    return [(edit if callable(edit) else _edited(right, edit), words) for edit, words in table.items()]


def _edited(right: Callable, edit: str | tuple[str, ...]) -> Callable:
    source = textwrap.dedent(inspect.getsource(right))
    for change in (edit,) if isinstance(edit, str) else edit:
        if change.startswith("return "):
            last = ast.parse(source).body[0].body[-1]
            source = "".join(source.splitlines(keepends=True)[: last.lineno - 1]) + f"    {change}\n"
            continue
        old, new = map(str.strip, change.split("→"))
        if (found := source.count(old)) != 1:
            raise ValueError(f"{change!r} does not fit {right.__name__}: the old text is found {found} times, not once")
        source = source.replace(old, new)
    scope: dict = {}
    exec(compile(source, f"<{right.__name__}: {edit}>", "exec"), right.__globals__, scope)
    return scope[right.__name__]


def observer(
    cases: Mapping[str, Sequence], value: str, gradients: Mapping[int, str] | None = None, loss: bool = False
) -> Callable[[Callable], Observations]:
    """Make the `observe` of an exercise: call the function on each case, and record what it returns.

    `value` names what is returned, `gradients` the gradients that reach some of the arguments, by position. The name of
    the case is appended. With `loss=True` gradients are compared first, and a number instead of a tensor is refused.

    >>> observe = observer({"(a pair)": (torch.tensor([1.0, 2.0]),)}, "the square", {0: "the gradient"})
    >>> observe(lambda x: x.square())
    {'the square (a pair)': tensor([1., 4.]), 'the gradient (a pair)': tensor([2., 4.])}
    """

    def observe(function: Callable) -> Observations:
        seen: Observations = {}
        for case, given in cases.items():
            arguments = [a.clone() if isinstance(a, torch.Tensor) else a for a in given]
            for position in gradients or ():
                arguments[position].requires_grad_()
            result = (call_loss if loss else call)(function, *arguments)
            reached = {what: gradient(result, arguments[position]) for position, what in (gradients or {}).items()}
            both = reached | {value: result.detach()} if loss else {value: result.detach()} | reached
            seen |= {f"{what} {case}".strip(): tensor for what, tensor in both.items()}
        return seen

    return observe


def numbers(cases: Sequence[Sequence[float]], value: str) -> Callable[[Callable], Observations]:
    """Make the `observe` of a function of numbers that returns a number: the results of all cases are one tensor.

    >>> numbers([(1, 2), (3, 4)], "the sum")(lambda a, b: a + b)
    {'the sum': tensor([3., 7.], dtype=torch.float64)}
    """
    return lambda function: {value: torch.stack([to_tensor(function(*c)).detach().double().reshape(()) for c in cases])}


def call(function: Callable, *args) -> torch.Tensor:
    """Call, and refuse a function that changes its arguments: their numbers, or whether a gradient flows."""
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    before = [(a.detach().clone(), a.requires_grad) for a in tensors]
    try:
        result = to_tensor(function(*args))
    except RuntimeError as error:
        if "leaf" in str(error):  # "a leaf Variable that requires grad is being used in an in-place operation"
            raise Refused(_IN_PLACE) from error
        raise
    for new, (old, learns) in zip(tensors, before, strict=True):
        if not torch.equal(old, new.detach()):
            raise Refused(_IN_PLACE)
        if new.requires_grad != learns:
            raise Refused(
                "your function changes one of its arguments: no gradient flows through it any more, for "
                "the code that uses it later; build a constant from it instead"
            )
    return result


_IN_PLACE = "your function changes one of its arguments in place; build a new tensor instead"


def call_loss(function: Callable, *args) -> torch.Tensor:
    """As `call`; refuse also a plain number."""

    def loss(*args):
        if isinstance(result := function(*args), float | int):
            raise Refused("a plain number is returned, through which no gradient can flow; a loss is a tensor")
        return result

    return call(loss, *args)


def to_tensor(value) -> torch.Tensor:
    """Return what a student's function returned, a number as a tensor."""
    if isinstance(something(value), float | int):
        value = torch.tensor(float(value), dtype=torch.float64)
    if not isinstance(value, torch.Tensor):
        raise Refused(f"your function returned a {type(value).__name__}; a tensor is wanted")
    return value


def something(value):
    """Return `value`; raise if it is None, Ellipsis or NotImplemented."""
    if value is Ellipsis or value is NotImplemented:
        raise NotImplementedError
    if value is None:
        raise _Nothing
    return value


class _Nothing(Exception):
    pass


class Refused(Exception):
    """Raised to reject a function at once. The message is shown to the student."""


def gradient(output: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Return d(sum of output)/d(source), zero where no gradient flows."""
    if not output.requires_grad:
        return torch.zeros_like(source)
    (gradient,) = torch.autograd.grad(output.sum(), source, retain_graph=True, allow_unused=True)
    return torch.zeros_like(source) if gradient is None else gradient


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
    right = exercise.observe(exercise.right)
    try:
        seen = exercise.observe(function)
    except Refused as words:
        return False, str(words)
    except _Nothing:
        if untouched(function, empty) or untouched(function, exercise.stub):
            return None, _NOT_ATTEMPTED
        return False, "it returns nothing: is a return missing at the end, or in one of the branches?"
    except Exception as error:  # whatever the student's code does, the notebook goes on
        if type(error) is NotImplementedError and not error.args:  # with words it comes from PyTorch: "1 - d", say
            return None, _NOT_ATTEMPTED
        theirs = (f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent != _HERE)
        lines = [f.lineno for f in theirs]
        where = f" (line {lines[0]} of the cell or file)" if lines else ""
        return False, f"it stops with {type(error).__name__}: {error}{where}"
    if same(seen, right):
        return True, exercise.praise
    constants = {k for k, wanted in right.items() if "gradient" in k and not wanted.any()}  # nothing may flow there
    for watched, also in ((right, ""), ({k: right[k] for k in right.keys() - constants}, _LEAK)):
        for wrong, words in exercise.mistakes:
            try:
                if same(seen, {k: v for k, v in exercise.observe(wrong).items() if k in watched}):
                    return False, words + also
            except Exception:  # a mistake that cannot be made on these inputs
                continue
    for key, wanted in right.items():
        if seen[key].shape != wanted.shape:
            shapes = f"{key} has shape {tuple(seen[key].shape)}, and {tuple(wanted.shape)} is wanted"
            if seen[key].ndim > wanted.ndim and seen[key].numel() > wanted.numel() > 1:
                return False, f"{shapes}: two tensors of different shapes were broadcast against each other"
            return False, f"{shapes}: did you average over the right axes?"
    worst = next(k for k in right if not same({k: seen[k]}, {k: right[k]}))
    return False, f"{worst} is not what it should be; compare your line with what the text asks for, term by term"


_NOT_ATTEMPTED = "not attempted yet (nothing is returned)"
_LEAK = "; and besides, a gradient flows where a constant is wanted"


def same(one: Observations, two: Observations) -> bool:
    """Tell whether every observation in `two` is also in `one`, with the same shape and values."""
    return all(
        one[k].shape == two[k].shape and torch.allclose(one[k].double(), two[k].double(), 1e-4, 1e-6, equal_nan=True)
        for k in two
    )


def empty():
    """An empty function, like a stub."""


def untouched(function: Callable, given: Callable | None) -> bool:
    """Tell whether `function` has the statements of `given`, the function as it stands in the notebook.

    Names, docstrings, comments and layout do not matter. Without the source of both (a lambda, what was typed into
    `exec`) their byte code is compared.
    """
    functions = [given and inspect.unwrap(f) for f in (function, given)]
    if not all(hasattr(f, "__code__") for f in functions):
        return False
    one, two = map(_statements, functions)
    if one is None or two is None:
        one, two = (
            [(i.opname, i.argrepr or i.arg) for i in dis.get_instructions(f) if i.opname != "NOP"] for f in functions
        )
    return one == two


def _statements(function: Callable) -> list[str] | None:
    """Return a function's statements, but for those that do nothing, or None where its source is not known."""
    code = function.__code__
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]
    try:
        (definition,) = ast.parse(textwrap.dedent("".join(inspect.getblock(lines)))).body
    except Exception:  # the lines are not those of a function
        return None
    if not isinstance(definition, ast.FunctionDef) or definition.name != code.co_name:
        return None
    idle = {ast.dump(statement) for statement in ast.parse("pass\nreturn\nreturn None").body}
    docstring = ast.get_docstring(definition, clean=False) is not None
    statements = [ast.dump(statement) for statement in definition.body[docstring:]]
    return [s for s in statements if s not in idle and s != _ELLIPSIS]


_ELLIPSIS = ast.dump(ast.parse("...").body[0])
