"""Mistakes as transformations of a right answer's source: those of one exercise (`edits`), and those of all (`kinds`).

A kind takes a part of the right answer (a name, a product, a mean, the result), puts something else in its place, and
says what it put there. Nothing about an exercise is written down here but how its names are spoken of.
"""

import ast
import inspect
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping

Edit = str | tuple[str, ...] | Callable

SPOKEN = {  # how names of arguments and variables are called in a message; others stand in it as they are written
    "gamma": "γ",
    "reward": "r",
    "terminated": "d",
    "ended": "d",
    "next_value": "V(s′)",
    "later": "V(s′)",
    "next_q": "Q(s′, a′)",
    "log_prob": "log π",
    "behavior_log_prob": "log β",
    "log_ratio": "log(π/β)",
    "ratio": "π/β",
    "log_weight": "log w",
    "probs": "the probability",
    "visits": "the number of visits",
    "weight": "the weight",
    "advantage": "the advantage",
    "q": "Q",
    "q_all": "Q",
    "value": "V(s)",
    "target": "y",
    "obs": "s",
    "next_obs": "s′",
    "stored_action": "the stored action",
    "stored_next_action": "the stored next action",
    "action": "the action",
    "action_resampled": "the resampled action",
    "action_samples": "K",
    "others": "the mean of the others",
    "clip": "c",
    "w": "the weight",
    "share": "the share",
    "epsilon": "ε",
    "first": "the first state's change",
    "second": "the second state's change",
    "stored": "the number of stored transitions",
    "s": "the states' term",
    "a": "the actions' term",
    "n": "N",
    "k": "K",
    "t": "tanh u",
    "mean": "μ",
    "log_std": "log σ",
    "std": "σ",
    "z": "(u − μ)/σ",
    "slope": "the slope of tanh",
    "gaussian": "log N(u)",
    "half": "the half width",
    "mid": "the middle",
    "step": "the transition matrix",
    "mean_reward": "the mean reward",
    "buffer_policy": "β̄",
    "transition": "P",
    "tau": "τ",
    "batch_size": "the batch size",
}

_OBJECTS = {"policy", "old_policy", "critic", "target_critic", "generator", "pi"}  # these are no values
_NUMBERS = {"gamma", "epsilon", "share", "tau", "batch_size", "action_samples", "n_envs", "per_update"}

# ------------------------------------------------------------------------------------------ edits of one exercise


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
    source = _source(right)
    for change in (edit,) if isinstance(edit, str) else edit:
        if change.startswith("return "):
            last = ast.parse(source).body[0].body[-1]
            source = "".join(source.splitlines(keepends=True)[: last.lineno - 1]) + f"    {change}\n"
            continue
        old, new = map(str.strip, change.split("→"))
        if (found := source.count(old)) != 1:
            raise ValueError(f"{change!r} does not fit {right.__name__}: the old text is found {found} times, not once")
        source = source.replace(old, new)
    return _compiled(right, source, str(edit))


def _source(function: Callable) -> str:
    return textwrap.dedent(inspect.getsource(function))


def _compiled(right: Callable, source: str, label: str) -> Callable:
    scope: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a kind may be nonsense: "tuple indices must be integers"
        exec(compile(source, f"<{right.__name__}: {label}>", "exec"), right.__globals__, scope)
    return scope[right.__name__]


# --------------------------------------------------------------------------------------- kinds, for all exercises

# What may stand for a part {x} of the right answer, and the clause that says so; {w} is {x} in words.
_VALUES = {
    "0 * {x}": "{w} is left out, as if it were 0",
    "{x} ** 0": "{w} is left out, as if it were 1",
    "-{x}": "{w} has the opposite sign",
    "2 * {x}": "{w} counts twice",
    "0.5 * {x}": "{w} counts half",
    "{x} ** 2": "{w} is squared",
    "{x} ** 0.5": "the root of {w} stands for {w}",
    "1 / {x}": "one divided by {w} stands for {w}",
    "1 - {x}": "one minus {w} stands for {w}",
    "{x} + 1": "{w} is one too large",
    "{x} - 1": "{w} is one too small",
    "{x} - 2": "{w} is two too small",
    "abs({x})": "{w} loses its sign",
    "{x}.relu()": "negative values of {w} count as 0",
    "{x}.clamp(max=0.0)": "positive values of {w} count as 0",
    "{x}.sign()": "only the sign of {w} counts",
    "{x}.clamp(-1, 1)": "{w} is clipped to ±1",
    "{x}.clamp(max=1.0)": "{w} is clipped at 1",
    "{x}.exp()": "{w} is exponentiated once too often",
    "{x}.sigmoid()": "a sigmoid is taken of {w}",
    "{x}.log()": "the logarithm of {w} stands for {w}",
    "torch.tanh({x})": "tanh is applied to {w}",
    "torch.softmax({x}, -1)": "a softmax is taken of {w}",
    "torch.softmax({x}, 0)": "a softmax is taken of {w}, along the first axis",
    "{x} / {x}.sum(-1, keepdim=True)": "{w} is divided by its own sum along the last axis",
    "{x} / {x}.sum(0, keepdim=True)": "{w} is divided by its own sum along the first axis",
    "{x} / {x}.abs().max()": "{w} is divided by its largest value",
    "{x}.cumsum(-1)": "{w} is added up along the last axis as you go",
    "{x}.cumsum(0)": "{w} is added up along the first axis as you go",
    "{x}.double().mean().to({x}) + 0 * {x}": "{w} is replaced by its mean over everything",
    "{x}.mean(-1, keepdim=True) + 0 * {x}": "{w} is replaced by its mean over the last axis",
    "{x}.mean(-2, keepdim=True) + 0 * {x}": "{w} is replaced by its mean over the axis before the last",
    "{x}.mean(0, keepdim=True) + 0 * {x}": "{w} is replaced by its mean over the first axis",
    "{x}.sum(-1, keepdim=True) + 0 * {x}": "{w} is replaced by its sum over the last axis",
    "{x}.amax(-1, keepdim=True) + 0 * {x}": "{w} is replaced by the largest value along the last axis",
    "{x}.amax(-2, keepdim=True) + 0 * {x}": "{w} is replaced by the largest value along the axis before the last",
    "{x}.logsumexp(-1, keepdim=True) + 0 * {x}": "{w} is replaced by its log-sum-exp, a soft maximum",
    "{x} - {x}.mean()": "the mean over everything is subtracted from {w}",
    "{x} - {x}.mean(-1, keepdim=True)": "the mean over the last axis is subtracted from {w}",
    "{x} - {x}.mean(-2, keepdim=True)": "the mean over the axis before the last is subtracted from {w}",
    "({x} - {x}.mean()) / {x}.std()": "{w} is normalised: less its mean, divided by its spread",
    "({x} - {x}.mean(-1, keepdim=True)) / {x}.std(-1, keepdim=True)": "{w} is normalised along the last axis: less "
    "its mean, divided by its spread",
    "({x} - {x}.mean(-2, keepdim=True)) / {x}.std(-2, keepdim=True)": "{w} is normalised along the axis before the "
    "last: less its mean, divided by its spread",
    "{x} / {x}.std()": "{w} is divided by its spread",
    "{x}.flip(-1)": "{w} is paired in the wrong order, its last axis reversed",
    "{x}.flip(-2)": "{w} is paired in the wrong order, its axis before the last reversed",
    "{x}.flip(0)": "{w} is paired in the wrong order, its first axis reversed",
    "{x}.roll(1, -1)": "{w} is that of the neighbour before, along the last axis",
    "{x}.roll(-1, -1)": "{w} is that of the next neighbour, along the last axis",
    "{x}.roll(1, 0)": "{w} is that of the neighbour before, along the first axis",
    "{x}.roll(-1, 0)": "{w} is that of the next neighbour, along the first axis",
    "{x}[..., :1] + 0 * {x}": "the first entry of {w} along the last axis stands for all",
    "{x}[..., -1:] + 0 * {x}": "the last entry of {w} along the last axis stands for all",
    "{x}[:1] + 0 * {x}": "the first entry of {w} stands for all",
    "{x}[-1:] + 0 * {x}": "the last entry of {w} stands for all",
    "{x}.detach()": "no gradient flows through {w}",
    "int({x})": "{w} is rounded to a whole number",
    "max(1, {x})": "{w} is never below 1",
}
_BROADCAST = {
    "{x}.unsqueeze(-1)": "{w} has an axis too many at the end and is broadcast: all of it meets all of the rest",
    "{x}.unsqueeze(-2)": "{w} has an axis too many before the last and is broadcast: all of it meets all of the rest",
}
# What may be done to the result: most of the above, and some more.
_RESULTS = {
    **_VALUES,
    "1 / ({x})": "the fraction is inverted",
    "100 * ({x})": "the result is in percent",
    "({x}).unsqueeze(-1)": "the result has an axis of 1 too many at the end",
    "({x}).unsqueeze(0)": "the result has an axis of 1 too many in front",
    "({x}).float()": "the result is turned to single precision",
    "({x}).mT": "the last two axes of the result are swapped",
    "({x}).mean()": "the result is averaged over everything",
    "({x}).sum()": "the result is added up over everything",
    "({x}).mean(-1)": "the result is averaged over its last axis",
    "({x}).mean(0)": "the result is averaged over its first axis",
    "({x}).sum(-1)": "the result is added up over its last axis",
    "({x}).sum(0)": "the result is added up over its first axis",
    "({x}).clamp(min=0.0)": "the result is never below 0",
    "max(0, {x})": "the result is never below 0",
    "min(1, {x})": "the result is never above 1",
    "torch.atleast_1d({x} // 1)[()].reshape(({x}).shape)": "the result is rounded down",
    "float(round({x}))": "the result is rounded",
    "round({x}, 1)": "the result is rounded",
    "round({x}, 2)": "the result is rounded",
    "{x} // 1": "the result is rounded down",
}
_AXES = {
    "": "over everything",
    "-1": "over the last axis",
    "-2": "over the axis before the last",
    "0": "over the first axis",
    "1": "over the second axis",
    "(0, 1)": "over the first two axes",
    "-1, keepdim=True": "over the last axis, which is kept",
    "-2, keepdim=True": "over the axis before the last, which is kept",
}
_REDUCTIONS = {
    "{x}.sum({axes})": "a sum is taken {where}",
    "{x}.mean({axes})": "a mean is taken {where}",
    "{x}.amax({axes})": "the largest value is taken {where}",
    "{x}.amin({axes})": "the smallest value is taken {where}",
    "{x}.median({axes}).values": "the median is taken {where}",
    "{x}.logsumexp({axes})": "log-sum-exp, a soft maximum, is taken {where}",
    "{x}.sum({axes}) / ({x}.shape[-1] - 1)": "a sum is taken {where} and divided by one less than the length",
    "{x}.prod({axes})": "a product is taken {where}",
    "{x}.std({axes})": "the spread is taken {where}",
}
_OPERATORS = {
    ast.Mult: {
        "{l}": "{r} is missing as a factor",
        "{r}": "{l} is missing as a factor",
        "{l} * {r} * {r}": "{r} is applied twice",
        "{l} * {l} * {r}": "{l} is applied twice",
        "{l} + {r}": "{l} and {r} are added instead of multiplied",
        "{l} - {r}": "{r} is subtracted instead of multiplied",
        "{l} / {r}": "{r} divides instead of multiplying",
        "{r} / {l}": "{l} divides instead of multiplying",
    },
    ast.Add: {
        "{l}": "the term with {r} is missing",
        "{r}": "the term with {l} is missing",
        "{l} - {r}": "the term with {r} has the wrong sign",
        "{r} - {l}": "the term with {l} has the wrong sign",
        "{l} * {r}": "{l} and {r} are multiplied instead of added",
    },
    ast.Sub: {
        "{l}": "the term with {r} is missing",
        "-{r}": "the term with {l} is missing",
        "{r}": "the term with {l} is missing, and that with {r} has the wrong sign",
        "{l} + {r}": "the term with {r} has the wrong sign",
        "{r} - {l}": "the difference is taken the other way round",
        "{l} / {r}": "{l} is divided by {r} where they should be subtracted",
    },
    ast.Div: {
        "{l}": "the division by {r} is missing",
        "{l} * {r}": "{r} multiplies instead of dividing",
        "{r} / {l}": "the fraction is inverted",
        "{l} // {r}": "the division is rounded down to a whole number",
        "{l} / {r} / {r}": "the division by {r} is done twice",
        "{l} / {r} ** 0.5": "the root of {r} divides",
        "{l} - {r}": "{r} is subtracted instead of dividing",
    },
}
_MISSING = {  # methods and functions that may have been forgotten
    "exp": "the exponential of {w}",
    "log": "the logarithm of {w}",
    "square": "the square of {w}",
    "cumsum": "the running sum of {w}",
    "clamp": "the limit",
    "tanh": "tanh",
    "atanh": "the inverse of tanh",
}
_SOFT = "torch.nn.functional.smooth_l1_loss({x}, torch.zeros_like({x}), reduction='none')"


def kinds(right: Callable, spoken: Mapping[str, str] | None = None) -> Iterator[tuple[Callable, str]]:
    """Make wrong functions from the source of `right`, each with a clause that says what is done in it.

    >>> def target(reward, next_value, gamma):
    ...     return reward + gamma * next_value
    >>> found = {words: wrong(1.0, 10.0, 0.5) for wrong, words in kinds(target)}
    >>> found["γ is applied twice"], found["the term with r is missing"]
    (3.5, 5.0)
    """
    source = _source(right)
    if not isinstance(ast.parse(source).body[0], ast.FunctionDef):  # a lambda inside a statement
        return
    changed = set()
    for new, clause in _Changes(source, SPOKEN | dict(spoken or {})).all():
        if new not in changed:
            changed.add(new)
            try:
                yield _compiled(right, new, clause), clause
            except (SyntaxError, KeyError):
                continue


class _Changes:
    """All changes of one function's source."""

    def __init__(self, source: str, spoken: Mapping[str, str]):
        self.source, self.spoken = source.encode(), spoken
        self.function = ast.parse(source).body[0]
        self.parameters = [a.arg for a in self.function.args.args]
        stored = [n.id for n in ast.walk(self.function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        self.names = list(dict.fromkeys(self.parameters + stored))
        lines = source.encode().splitlines(keepends=True)
        self.starts = [sum(map(len, lines[:i])) for i in range(len(lines))]

    def all(self) -> Iterator[tuple[str, str]]:
        axes = {id(part) for node in ast.walk(self.function) for part in self._arguments_of_reduction(node)}
        called = {id(node.func) for node in ast.walk(self.function) if isinstance(node, ast.Call)}
        called |= {
            id(node.value) for node in ast.walk(self.function) if self._is_shape(node)
        }  # of x.shape, not x itself
        nodes = [node for node in ast.walk(self.function) if id(node) not in axes and id(node) not in called]
        for parts in (self._of_structure, self._of_values, self._of_result, self._of_broadcast):
            for node in nodes:
                for new, clause in parts(node):
                    yield self._put(node, f"({new})"), clause
        yield from self._of_arguments()
        yield from self._swaps()

    @staticmethod
    def _is_shape(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in ("shape", "ndim")

    @staticmethod
    def _arguments_of_reduction(node: ast.AST) -> list[ast.AST]:
        """List what stands in the brackets of a method or an index: axes and places, which are no values."""
        if isinstance(node, ast.Subscript):
            return list(ast.walk(node.slice))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            inner = [part for a in [*node.args, *node.keywords] for part in ast.walk(a)]
            return [part for part in inner if isinstance(part, ast.Constant | ast.UnaryOp)]
        return []

    def _of_structure(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        """Change an operator, a mean, a limit, a sign or a number."""
        if isinstance(node, ast.BinOp):
            yield from self._of_operator(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from self._of_method(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield from self._of_call(node)
        if isinstance(node, ast.Subscript) and self._is_shape(node.value):
            for axis in ("0", "1", "-1", "-2"):
                yield f"{self._text(node.value)}[{axis}]", f"the length is that of {_AXES[axis].removeprefix('over ')}"
        if isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
            words = "the sign is flipped"
            if isinstance(node.op, ast.Invert):
                words = f"{self._words(node.operand) or 'the flag'} is inverted"
            yield self._text(node.operand), words
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value == int(node.value):
            yield f"{node.value + 1}", f"a {node.value:g} in it is one too large"
            yield f"{node.value - 1}", f"a {node.value:g} in it is one too small"

    def _of_values(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        """Put something else in the place of a value that has a name, or of what is computed from such."""
        words = self._words(node)
        if not words or isinstance(node, ast.Constant | ast.Subscript | ast.UnaryOp):
            return
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in _OBJECTS:
                return
            for other in self.parameters:
                if self._name(other) != words and other not in _OBJECTS:
                    yield other, f"{self._name(other)} stands where {words} belongs"
                if other != node.id and other in _NUMBERS:
                    yield f"{node.id} * {other}", f"{words} is multiplied by {self._name(other)} as well"
                    yield f"{node.id} * (1 - {other})", f"{words} is multiplied by 1 − {self._name(other)} as well"
                    yield f"{node.id} / {other}", f"{words} is divided by {self._name(other)} as well"
        elif isinstance(node, ast.Name) or self._words_are_inner(node):
            return
        yield from self._filled(_VALUES, x=f"({self._text(node)})", w=words)

    def _of_result(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        if node is self._result():
            yield from self._filled(_RESULTS, x=f"({self._text(node)})", w="the result")

    def _of_broadcast(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        if (words := self._words(node)) and isinstance(node, ast.Name | ast.Call) and not self._words_are_inner(node):
            yield from self._filled(_BROADCAST, x=f"({self._text(node)})", w=words)

    @staticmethod
    def _words_are_inner(node: ast.AST) -> bool:
        """Tell whether this is a call that only reshapes or cuts what it is called on."""
        if not isinstance(node, ast.Call):
            return False
        return isinstance(node.func, ast.Attribute) and node.func.attr in ("detach", "unsqueeze", "squeeze", "expand")

    def _of_operator(self, node: ast.BinOp) -> Iterator[tuple[str, str]]:
        table = _OPERATORS.get(type(node.op), {})
        sides = {"l": node.left, "r": node.right}
        texts = {side: f"({self._text(part)})" for side, part in sides.items()}
        words = {side: self._words(part) or "the rest" for side, part in sides.items()}
        for new, clause in table.items():
            yield new.format(**texts), clause.format(**words)

    def _of_method(self, node: ast.Call) -> Iterator[tuple[str, str]]:
        function, of_torch = node.func, self._text(node.func.value) == "torch"
        inner = node.args[0] if of_torch and node.args else function.value
        text, inside = f"({self._text(inner)})", self._words(inner) or "the rest"
        if function.attr in ("mean", "sum"):
            for axes, where in _AXES.items():
                for new, clause in _REDUCTIONS.items():
                    yield new.format(x=text, axes=axes), clause.format(where=where)
            yield text, f"the {function.attr} is missing"
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Mult):
                left, right = self._text(inner.left), self._text(inner.right)
                for axes, where in {**_AXES, self._text_of_arguments(node): "each"}.items():
                    yield (
                        f"({left}).mean({axes}) * ({right}).mean({axes})",
                        f"the means of the factors are multiplied ({where}): the mean of the products is wanted",
                    )
        if function.attr in _MISSING:
            yield text, f"{_MISSING[function.attr].format(w=inside)} is missing"
        if function.attr == "square":
            yield _SOFT.format(x=text), "the square is replaced by the Huber (smooth L1) loss"
            yield f"{text}.abs()", "the distance stands for its square"

    def _of_call(self, node: ast.Call) -> Iterator[tuple[str, str]]:
        if node.func.id in ("min", "max"):
            other = "max" if node.func.id == "min" else "min"
            parts = [self._text(part) for part in node.args]
            yield f"{other}({', '.join(parts)})", f"the {other}imum is taken where the {node.func.id}imum belongs"
            for part in node.args:
                rest = self._words(part) or "one of the two"
                yield self._text(part), f"the limit is missing: {rest} alone stands there"
                yield f"abs({self._text(part)})", "an absolute value is taken where a limit belongs"
        if node.func.id == "leave_one_out":
            inner = self._text(node.args[0])
            for new, clause in _VALUES.items():
                if "mean" in new or "std" in new:
                    yield new.format(x=inner), f"{clause.format(w='Q')}, and nothing is left out"

    def _of_arguments(self) -> Iterator[tuple[str, str]]:
        """Put something else in the place of an argument wherever it stands."""
        first = self.function.body[0]
        start = self.starts[first.lineno - 1] + first.col_offset
        for name in self.parameters:
            if name in _OBJECTS or name not in self.spoken:
                continue
            for new, clause in self._filled(_VALUES, x=name, w=self._name(name)):
                line = f"{name} = {new}\n{' ' * first.col_offset}".encode()
                yield (self.source[:start] + line + self.source[start:]).decode(), clause

    def _swaps(self) -> Iterator[tuple[str, str]]:
        uses = [n for n in ast.walk(self.function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
        for i, one in enumerate(self.parameters):
            for two in self.parameters[i + 1 :]:
                source = self.source
                places = sorted((self._span(n), n.id) for n in uses if n.id in (one, two))
                for (start, end), name in reversed(places):
                    source = source[:start] + (two if name == one else one).encode() + source[end:]
                if len({name for _, name in places}) == 2:
                    yield source.decode(), f"{self._name(one)} and {self._name(two)} are swapped"

    def _filled(self, table: Mapping[str, str], x: str, w: str | None) -> Iterator[tuple[str, str]]:
        for new, clause in table.items():
            yield new.format(x=x), clause.format(w=w)

    def _result(self) -> ast.AST | None:
        last = self.function.body[-1]
        return last.value if isinstance(last, ast.Return) else None

    def _name(self, name: str) -> str:
        return self.spoken.get(name, name)

    def _words(self, node: ast.AST) -> str | None:
        """Say what an expression is, without showing its code; None where that is not known."""
        if isinstance(node, ast.Name):
            return self._name(node.id) if node.id in self.names else None
        if isinstance(node, ast.Constant):
            return f"{node.value:g}" if isinstance(node.value, int | float) else None
        if isinstance(node, ast.Subscript):
            return self._words(node.value)
        if isinstance(node, ast.Attribute) and node.attr in ("probs", "log_probs"):
            return {"probs": "π", "log_probs": "log π"}[node.attr]
        if isinstance(node, ast.UnaryOp):
            return self._words(node.operand)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Mult | ast.Div):
            sides = [self._words(part) for part in (node.left, node.right)]
            if all(words and " of " not in words and len(words) < 20 for words in sides):
                return {ast.Sub: "{} − {}", ast.Mult: "{} · {}", ast.Div: "{} / {}"}[type(node.op)].format(*sides)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return {"critic": "Q", "target_critic": "Q", "leave_one_out": "the leave-one-out weight"}.get(node.func.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method, inner = node.func.attr, node.func.value
            if method in ("log_prob", "sample", "rsample", "all_actions"):
                return {"log_prob": "log π", "all_actions": "Q"}.get(method, "the drawn action")
            if method in ("where", "softmax", "tanh", "atanh"):
                return self._words(node.args[-1] if method == "where" else node.args[0])
            if method in ("detach", "unsqueeze", "squeeze", "expand", "double", "to"):
                return self._words(inner)
            if method in ("exp", "log", "square") and (words := self._words(inner)):
                return {"exp": "the exponential of ", "log": "the logarithm of ", "square": "the square of "}[
                    method
                ] + words
        return None

    def _span(self, node: ast.AST) -> tuple[int, int]:
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self.source[start:end].decode()

    def _text_of_arguments(self, node: ast.Call) -> str:
        return ", ".join(self._text(part) for part in [*node.args, *node.keywords])

    def _put(self, node: ast.AST, new: str) -> str:
        start, end = self._span(node)
        return (self.source[:start] + new.encode() + self.source[end:]).decode()
