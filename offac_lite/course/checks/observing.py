"""How a check observes a function: it runs it on small inputs, and records values and gradients."""

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

Observations = dict[str, torch.Tensor]  # values and gradients, by a name that a student understands


class Observer:
    """Observe a function in several cases, one after the other.

    `cases` maps the words for a case to the arguments; `one` observes a single case. An exception that is raised in a
    case is given what was seen before, as `seen`, and the words for the case, as `case`.

    `probes` says whether the arguments themselves can be varied, to see on what the function depends. `names` are what
    a message calls them, where they are not the function's own.
    """

    def __init__(
        self,
        cases: Mapping[str, Sequence],
        one: Callable[..., Observations],
        probes: bool = True,
        names: Sequence[str] | None = None,
    ):
        self.cases, self.one, self.probes, self.names = cases, one, probes, names

    def __call__(self, function: Callable) -> Observations:
        """Observe all cases."""
        seen: Observations = {}
        for case, given in self.cases.items():
            try:
                seen |= {f"{what} {case}".strip(): tensor for what, tensor in self.one(function, *given).items()}
            except BaseException as error:
                with contextlib.suppress(AttributeError):
                    error.seen, error.case = seen, case
                raise
        return seen


def observer(
    cases: Mapping[str, Sequence], value: str, gradients: Mapping[int, str] | None = None, loss: bool = False
) -> Observer:
    """Make the `observe` of an exercise: call the function on each case, and record what it returns.

    `value` names what is returned, `gradients` the gradients that reach some of the arguments, by position. The name of
    the case is appended. With `loss=True` gradients are compared first, a number instead of a tensor is refused, and
    the value does not count where all gradients are right.

    >>> observe = observer({"(a pair)": (torch.tensor([1.0, 2.0]),)}, "the square", {0: "the gradient"})
    >>> observe(lambda x: x.square())
    {'the square (a pair)': tensor([1., 4.]), 'the gradient (a pair)': tensor([2., 4.])}
    """

    gradients = gradients or {}

    def one(function: Callable, *given) -> Observations:
        arguments = [a.clone() if isinstance(a, torch.Tensor) else a for a in given]
        sources = [arguments[position].requires_grad_() for position in gradients]
        result = (call_loss if loss else call)(function, *arguments)
        reached = dict(zip(gradients.values(), slopes(result, sources), strict=True))
        return reached | {value: result.detach()} if loss else {value: result.detach()} | reached

    return Observer(cases, one)


def numbers(cases: Sequence[Sequence[float]], value: str) -> Observer:
    """Make the `observe` of a function of numbers that returns a number: the results of all cases are one tensor.

    >>> numbers([(1, 2), (3, 4)], "the sum")(lambda a, b: a + b)
    {'the sum': tensor([3., 7.], dtype=torch.float64)}
    """

    def one(function: Callable, *columns) -> Observations:
        results = [to_tensor(function(*row)).detach().double() for row in zip(*columns, strict=True)]
        if any(result.numel() != 1 for result in results):
            raise Refused(f"one number is wanted, and yours has shape {tuple(results[0].shape)}")
        return {value: torch.stack([result.reshape(()) for result in results])}

    return Observer({"": tuple(zip(*cases, strict=True))}, one)


def call(function: Callable, *args) -> torch.Tensor:
    """Call, and refuse a function that changes its arguments: their numbers, or whether a gradient flows."""
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    before = [(a.detach().clone(), a.requires_grad) for a in tensors]
    try:
        result = to_tensor(function(*args))
    except RuntimeError as error:
        if "leaf" in words_of(error):  # "a leaf Variable that requires grad is being used in an in-place operation"
            raise Refused(_IN_PLACE) from error
        raise
    for new, (old, learns) in zip(tensors, before, strict=True):
        if new.shape != old.shape or not torch.equal(old, new.detach()):
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
    if value.layout != torch.strided or value.is_complex():
        raise Refused("your function returned a sparse or complex tensor; an ordinary one is wanted")
    return value


def something(value):
    """Return `value`; raise if it is None, Ellipsis or NotImplemented."""
    if value is Ellipsis or value is NotImplemented:
        raise NotImplementedError
    if value is None:
        raise Nothing
    return value


class Nothing(Exception):
    """Raised where a function returns nothing."""


class Refused(Exception):
    """Raised to reject a function at once. The message is shown to the student."""


class TooLong(BaseException):
    """Raised in a function that does not end. It is no `Exception`, which a student's code might catch."""

    seconds = 30.0  # a function that has not come back by then does not end


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise `TooLong` in a body that runs longer than `TooLong.seconds`. (A single call of PyTorch goes on.)"""
    body, over, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def interrupt():
        with lock:
            if not over.is_set():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(body), ctypes.py_object(TooLong))

    timer = threading.Timer(TooLong.seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over.set()
        timer.cancel()


def words_of(error: BaseException) -> str:
    """Return the text of an exception, also where it cannot be printed."""
    try:
        return str(error)
    except BaseException:
        return "(its text cannot be printed)"


def slopes(output: torch.Tensor, sources: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradient of the sum of `output` with respect to each source, zero where none flows."""
    found: Sequence[torch.Tensor | None] = [None] * len(sources)
    if sources and output.requires_grad:
        found = torch.autograd.grad(output.sum(), sources, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=True)]


def same(one: Observations, two: Observations) -> bool:
    """Tell whether every observation in `two` is also in `one`, with the same shape and values."""
    return all(k in one and one[k].shape == two[k].shape and close(one[k], two[k]).all() for k in two)


def close(one: torch.Tensor, two: torch.Tensor, rtol: float = 1e-4, atol: float = 1e-6) -> torch.Tensor:
    """Tell which entries of two tensors are close, whatever their dtypes are."""
    return torch.isclose(one.double(), two.double(), rtol, atol, equal_nan=True)
