"""Mistakes that people make in any exercise, as transformations of the source of its right answer.

A kind takes a part of the right answer (a name, a product, a mean, the result), puts something else in its place, and
says what it put there. Nothing about an exercise is written down here but how its names are spoken of.
"""

import ast
from collections.abc import Callable, Iterator, Mapping

from offac_lite.course.checks.edits import compiled, source_of
from offac_lite.course.checks.tables import (
    AXES,
    BROADCAST,
    CENTRED,
    MISSING,
    NUMBERS,
    OBJECTS,
    OF_A_NUMBER,
    OPERATORS,
    REDUCTIONS,
    RESULTS,
    SOFT,
    SPOKEN,
    SYMBOLS,
    VALUES,
)


def kinds(right: Callable, spoken: Mapping[str, str] | None = None) -> Iterator[tuple[Callable, str]]:
    """Make wrong functions from the source of `right`, each with a clause that says what is done in it.

    >>> def target(reward, next_value, gamma):
    ...     return reward + gamma * next_value
    >>> found = {clause: wrong for wrong, clause in kinds(target)}
    >>> found["γ is applied twice"](1.0, 10.0, 0.5), found["the term with r is missing"](1.0, 10.0, 0.5)
    (3.5, 5.0)
    """
    source = source_of(right)
    if not isinstance(ast.parse(source).body[0], ast.FunctionDef):  # a lambda inside a statement
        return
    changed = set()
    for new, clause in _Changes(source, SPOKEN | dict(spoken or {})).all():
        if new not in changed:
            changed.add(new)
            try:
                yield compiled(right, new, clause), clause
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
        yield from self._of_axes()
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
                yield f"{self._text(node.value)}[{axis}]", f"the length is that of {AXES[axis].removeprefix('over ')}"
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
        if not words or isinstance(node, ast.Constant | ast.Subscript | ast.UnaryOp) or node is self._result():
            return
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in OBJECTS:
                return
            for other in self.parameters:
                if self._name(other) != words and other not in OBJECTS:
                    yield other, f"{self._name(other)} stands where {words} belongs"
                if other != node.id and other in NUMBERS:
                    yield f"{node.id} * {other}", f"{words} is multiplied by {self._name(other)} as well"
                    yield f"{node.id} * (1 - {other})", f"{words} is multiplied by 1 − {self._name(other)} as well"
                    yield f"{node.id} / {other}", f"{words} is divided by {self._name(other)} as well"
        elif isinstance(node, ast.Name) or self._words_are_inner(node):
            return
        for new, clause in self._filled(VALUES, x=f"({self._text(node)})", w=words):
            if words != "log π" or not any(said in clause for said in CENTRED):
                yield new, clause

    def _of_result(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        if node is self._result():
            yield from self._filled(RESULTS, x=f"({self._text(node)})", w="the result")

    def _of_broadcast(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        if (words := self._words(node)) and isinstance(node, ast.Name | ast.Call) and not self._words_are_inner(node):
            yield from self._filled(BROADCAST, x=f"({self._text(node)})", w=words)

    @staticmethod
    def _words_are_inner(node: ast.AST) -> bool:
        """Tell whether this is a call that only reshapes or cuts what it is called on."""
        if not isinstance(node, ast.Call):
            return False
        return isinstance(node.func, ast.Attribute) and node.func.attr in ("detach", "unsqueeze", "squeeze", "expand")

    def _of_operator(self, node: ast.BinOp) -> Iterator[tuple[str, str]]:
        table = OPERATORS.get(type(node.op), {})
        sides = {"l": node.left, "r": node.right}
        texts = {side: f"({self._text(part)})" for side, part in sides.items()}
        words = {side: self._words(part) or "the rest" for side, part in sides.items()}
        if isinstance(node.right, ast.Constant):
            table = table | OF_A_NUMBER.get(type(node.op), {})
        for new, clause in table.items():
            yield new.format(**texts), clause.format(**words)
        for side, part in sides.items():
            if type(node.op) in SYMBOLS and isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add | ast.Sub):
                bare = texts | {side: self._text(part)}
                yield (
                    f" {SYMBOLS[type(node.op)]} ".join(bare.values()),
                    f"the brackets around {words[side]} are missing",
                )

    def _of_method(self, node: ast.Call) -> Iterator[tuple[str, str]]:
        function, of_torch = node.func, self._text(node.func.value) == "torch"
        inner = node.args[0] if of_torch and node.args else function.value
        text, inside = f"({self._text(inner)})", self._words(inner) or "the rest"
        if function.attr in ("mean", "sum"):
            own = self._text_of_arguments(node)
            for axes, where in AXES.items():
                where = f"where the {function.attr} belongs" if axes == own else where
                for new, clause in REDUCTIONS.items():
                    yield new.format(x=text, axes=axes), clause.format(where=where)
            yield text, f"the {function.attr} is missing"
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Mult):
                left, right = self._text(inner.left), self._text(inner.right)
                for axes, where in {own: "", **{a: f" ({w})" for a, w in AXES.items() if a != own}}.items():
                    then = "" if own or not axes else ".mean()"  # the other axes are averaged over, too
                    yield (
                        f"(({left}).mean({axes}) * ({right}).mean({axes})){then}",
                        f"the means of the factors are multiplied{where}: the mean of the products is wanted",
                    )
        if function.attr in MISSING:
            yield text, f"{MISSING[function.attr].format(w=inside)} is missing"
        if function.attr == "square":
            yield SOFT.format(x=text), "the square is replaced by the Huber (smooth L1) loss"
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
            for new, clause in VALUES.items():
                if "mean" in new or "std" in new:
                    yield new.format(x=inner), f"{clause.format(w='Q')}, and nothing is left out"

    def _of_arguments(self) -> Iterator[tuple[str, str]]:
        """Put something else in the place of an argument wherever it stands."""
        first = self.function.body[0]
        start = self.starts[first.lineno - 1] + first.col_offset
        used = [n.id for n in ast.walk(self.function) if isinstance(n, ast.Name)]
        for name in self.parameters:
            if name in OBJECTS or name not in self.spoken or used.count(name) < 2:  # once: that is done already
                continue
            for new, clause in self._filled(VALUES, x=name, w=self._name(name)):
                line = f"{name} = {new}\n{' ' * first.col_offset}".encode()
                yield (self.source[:start] + line + self.source[start:]).decode(), clause

    def _of_axes(self) -> Iterator[tuple[str, str]]:
        """Let everything that runs along the last axis run along another one."""
        calls = [n for n in ast.walk(self.function) if isinstance(n, ast.Call) and self._text_of_arguments(n) == "-1"]
        places = sorted(self._span(n.args[0]) for n in calls if isinstance(n.func, ast.Attribute))
        for axis, where in {"0": "the first axis", "-2": "the axis before the last"}.items() if places[1:] else ():
            source = self.source
            for start, end in reversed(places):
                source = source[:start] + axis.encode() + source[end:]
            yield source.decode(), f"what belongs to the last axis is done along {where}"

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
            if method == "clamp" and (words := self._words(inner)):
                return f"the limited {words}"
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
