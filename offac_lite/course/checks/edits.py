"""Mistakes of one exercise, as edits of the source of its right answer."""

import ast
import functools
import inspect
import textwrap
import warnings
from collections.abc import Callable, Mapping

Edit = str | tuple[str, ...] | Callable


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
    source = source_of(right)
    for change in (edit,) if isinstance(edit, str) else edit:
        if change.startswith("return "):
            last = ast.parse(source).body[0].body[-1]
            source = "".join(source.splitlines(keepends=True)[: last.lineno - 1]) + f"    {change}\n"
            continue
        old, new = map(str.strip, change.split("→"))
        if (found := source.count(old)) != 1:
            raise ValueError(f"{change!r} does not fit {right.__name__}: the old text is found {found} times, not once")
        source = source.replace(old, new)
    return compiled(right, source, str(edit))


@functools.cache
def source_of(function: Callable) -> str:
    """Return the source of a function, from the margin on. It is read once for all edits."""
    return textwrap.dedent(inspect.getsource(function))


def compiled(right: Callable, source: str, label: str) -> Callable:
    """Make a function of changed source, with the globals of the function that it changes."""
    scope: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a kind may be nonsense: "tuple indices must be integers"
        exec(compile(source, f"<{right.__name__}: {label}>", "exec"), right.__globals__, scope)
    return scope[right.__name__]
