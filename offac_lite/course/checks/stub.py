"""Tell whether a function is still as the notebook gives it: empty, or with its bug."""

import ast
import dis
import inspect
import linecache
import textwrap
from collections.abc import Callable


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
