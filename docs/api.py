"""The API reference and the page of equations, made from docstrings.

A docstring is plain text with a little Markdown, and `to_rst` says what of it is understood:

- `code`, *emphasis* and **strong emphasis**; everything else, such as the star of V* or the bar of π(a|s), is text;
- lists, whose items begin with "- ";
- an indented block, which is shown as it stands;
- the NumPy style's "Parameters", underlined, with a term and its indented description for each;
- doctests.
"""

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat

from offac_lite.course import checks, material
from offac_lite.course.checks.exercise import Exercise

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "offac_lite"
ROOMS = {
    "algorithm": ("The algorithm", "Data, networks, equations, updates, and the training made of them."),
    "exact": ("What is exact", "What is solved instead of learned, in float64."),
    "course": ("The course", "Everything that needs Jupyter or Matplotlib: checks, labs, figures, the clinic."),
}
MARKUP = re.compile(r"`[^`]+`|(?<!\w)\*\*(?!\s)[^*]+(?<!\s)\*\*(?!\w)|(?<![\w*])\*(?!\s)[^*]+(?<!\s)\*(?![\w*])")
NUMBER = re.compile(r"Equation \((\w\.\d+)\)")


class Equation(NamedTuple):
    """A numbered equation: the function that implements it, in which room, and the notebook that shows it."""

    number: str
    function: str  # with its module: "offac_lite.exact.mdp.TabularMDP.policy_gradient"
    room: str
    notebook: str  # without ".ipynb"
    tex: str


# ------------------------------------------------------------------------------------------------- what there is


@cache
def modules(room: str) -> list[str]:
    """List the public modules of a room: in each folder first those that need the fewest others."""
    paths = PACKAGE.glob("*.py") if room == "algorithm" else (PACKAGE / room).rglob("*.py")
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    names = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
    return sorted(names, key=lambda name: (name.count("."), name.rpartition(".")[0], len(needs(name)), name))


@cache
def needs(module: str) -> frozenset[str]:
    """List the modules of the package that a module imports, directly or through others."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else ()
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("offac_lite")]
    direct = {name for node in imports for name in (node.module, *(f"{node.module}.{one.name}" for one in node.names))}
    direct = {name for name in direct if (ROOT / f"{name.replace('.', '/')}.py").exists()}
    return frozenset(direct).union(*map(needs, direct))


def documented(module: str) -> dict[str, str]:
    """List a module's classes, functions and methods by their full names, each with its docstring."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    found, waiting = {}, [(module, ast.parse(path.read_text(encoding="utf-8")))]
    while waiting:
        name, node = waiting.pop()
        found[name] = ast.get_docstring(node) or ""
        children = [child for child in node.body if isinstance(child, ast.ClassDef | ast.FunctionDef)]
        waiting += [
            (f"{name}.{child.name}", child) for child in children if isinstance(node, ast.Module | ast.ClassDef)
        ]
    return found


@cache
def equations() -> list[Equation]:
    """List the numbered equations in order, from the docstrings that name them and the notebooks that show them."""
    shown = {}
    for path in material.notebooks():
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                for block in re.findall(r"\$\$(.+?)\$\$", cell.source, re.DOTALL):
                    for number in re.findall(r"\\tag\{(.*?)\}", block):
                        name = path.relative_to(material.NOTEBOOKS).with_suffix("").as_posix()
                        shown[number] = name, re.sub(r"\\tag\{.*?\}", "", block).strip().rstrip(".,").strip()
    found = []
    for room in ROOMS:
        for module in modules(room):
            for name, docstring in documented(module).items():
                found += [Equation(number, name, room, *shown[number]) for number in NUMBER.findall(docstring)]
    return sorted(found, key=lambda one: (one.number[0], int(one.number[2:])))


# ------------------------------------------------------------------------------------------------- the pages


def heading(text: str, line: str) -> str:
    """Underline a heading of reStructuredText."""
    return f"{text}\n{line * len(text)}\n"


def exercises() -> str:
    """Tabulate what the notebooks call as `checks.…`."""
    rows = []
    for name, check in sorted(vars(checks).items()):
        words = (inspect.getdoc(check) or "").partition("\n")[0] if callable(check) and name.islower() else ""
        if words.startswith("Check "):
            rows.append(f"   * - ``checks.{name}``\n     - {inline(words)}\n")
    return ".. list-table::\n   :widths: 1 3\n\n" + "".join(rows)


def has_exercises_only(module: str) -> bool:
    """Whether all public names of a module are exercises. They stand in the table of exercises.

    >>> has_exercises_only("offac_lite.course.checks.notebook_01"), has_exercises_only("offac_lite.course.checks.kinds")
    (True, False)
    """
    there = importlib.import_module(module)
    public = [getattr(there, name) for name in getattr(there, "__all__", ())]
    return bool(public) and all(isinstance(value, Exercise) for value in public)


def reference(room: str) -> str:
    """Write the page of a room: each module with its public names, in the order of the source."""
    title, words = ROOMS[room]
    parts = [heading(title, "="), f"{words}\n"]
    folder = ""
    for module in modules(room):
        short = module.removeprefix("offac_lite.").removeprefix(f"{room}.")
        if "." in short and short.partition(".")[0] != folder:
            folder = short.partition(".")[0]
            package = importlib.import_module(f"offac_lite.{room}.{folder}")
            parts += [heading(folder, "-"), "\n".join(to_rst(inspect.getdoc(package).splitlines())), ""]
            parts += [exercises()] if folder == "checks" else []
        if has_exercises_only(module):
            continue  # they are in the table
        parts += [heading(short, "~" if "." in short else "-")]
        parts += [f".. automodule:: {module}\n   :members:\n   :member-order: bysource\n"]
    return "\n".join(parts)


def table_of_equations() -> str:
    """Write the page that leads from each equation to its function, a section for each notebook."""
    lines = [
        "# Equations",
        "",
        "Each numbered equation of the notebooks has one function, whose docstring names it.",
        "",
    ]
    notebook = None
    for one in equations():
        if one.notebook != notebook:
            notebook = one.notebook
            title = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells[0].source.partition("\n")[0]
            lines += ["", f"## [{title.lstrip('# ')}](notebooks/{notebook}.ipynb)", ""]
            lines += ["| | function | equation |", "|---|---|---|"]
        place = f'<a href="notebooks/{notebook}.html#equation-{one.number}">({one.number})</a>'
        tex = re.sub(r"\s+", " ", one.tex).replace("|", r"\|")
        lines.append(f"| {place} | {{py:obj}}`{short_name(one.function)} <{one.function}>` | ${tex}$ |")
    return "\n".join([*lines, ""])


def short_name(full: str) -> str:
    """Leave the modules out of a full name."""
    module = max((name for room in ROOMS for name in modules(room) if full.startswith(f"{name}.")), key=len)
    return full.removeprefix(f"{module}.")


def write_pages(source: Path) -> None:
    """Write the pages of this module beside the others that become the site."""
    (source / "api").mkdir()
    for room in ROOMS:
        (source / "api" / f"{room}.rst").write_text(reference(room), encoding="utf-8")
    (source / "equations.md").write_text(table_of_equations(), encoding="utf-8")


# ------------------------------------------------------------------------------------------------- docstrings


def plain(text: str) -> str:
    """Escape what reStructuredText would take for markup.

    >>> print(plain("V*(s), a_k, π(a|s)"))
    V\\*(s), a\\_k, π(a\\|s)
    """
    return re.sub(r"([\\*`_|])", r"\\\1", text)


def inline(text: str) -> str:
    """Turn the markup within a line of a docstring into that of reStructuredText.

    >>> print(inline("*Data*: `obs` of π(a|s); K* of them"))
    *Data*: ``obs`` of π(a\\|s); K\\* of them
    >>> print(inline("K. A list would begin here."))
    \\K. A list would begin here.
    """
    out, end = "", 0
    for match in MARKUP.finditer(text):
        out += plain(text[end : match.start()])
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        marked = f"`{match[0]}`" if match[0][0] == "`" else re.sub(r"[\\`_|]", r"\\\g<0>", match[0])
        left = "" if re.match(r"[\s'\"([{<:/-]?$", before) else r"\ "  # markup needs a gap here, which is not shown
        right = "" if re.match(r"[\s'\")\]}>:/.,;!?-]?$", after) else r"\ "
        out += left + marked + right
        end = match.end()
    return re.sub(r"^(?=(\(?\w+[.)]|[-+•])(\s|$)|:\w)", r"\\", linked(out + plain(text[end:])))  # no list, no field


def linked(text: str) -> str:
    """Let "Equation (4.2)" lead to where notebook 04 shows it, and close the gap before it."""

    def link(match: re.Match) -> str:
        notebook = next((one.notebook for one in equations() if one.number == match[1]), None)
        return f"`{match[0]} <../notebooks/{notebook}.html#equation-{match[1]}>`__" if notebook else match[0]

    return NUMBER.sub(link, re.sub(r"(?<=\S) {2,}", "  ", text))


def to_rst(lines: list[str]) -> list[str]:
    """Turn a docstring into reStructuredText.

    >>> to_rst(["Where:", "- `K`: how many", ">>> 1 + 1", "2"])
    ['Where:', '', '- ``K``: how many', '', '>>> 1 + 1', '2', '']
    >>> to_rst(["Draw K actions.", "", "    a ~ π(·|s)", "", "- `q`: Q(s, a_k),", "  (K, B)"])
    ['Draw K actions.', '', '::', '', '    a ~ π(·|s)', '', '- ``q``: Q(s, a\\\\_k), (K, B)', '']
    """
    out = []
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        rows = block.split("\n")
        kinds = [next((kind for kind in ("- ", ">>> ") if row.startswith(kind)), "") for row in rows]
        new = next((i for i in range(1, len(rows)) if kinds[i] and kinds[i] != kinds[0] != ">>> "), None)
        if new:  # a list or a doctest without an empty line before it
            out += [*to_rst(rows[:new]), *to_rst(rows[new:])]
            continue
        if rows[0].lstrip().startswith(">>> "):
            out += rows
        elif all(row.startswith("    ") for row in rows):
            out += ["::", "", *rows]
        elif len(rows) > 2 and set(rows[1]) == {"-"}:  # "Parameters", underlined
            out += [f"**{plain(rows[0])}**", ""]
            for row in rows[2:]:
                text = inline(row.strip())
                out.append(f"    {text}" if row.startswith("    ") else text)
        elif rows[0].startswith("- "):
            for item in re.split(r"\n(?=- )", block):
                out.append("- " + inline(re.sub(r"\s*\n\s*", " ", item[2:])))
        else:
            out.append(inline(block.replace("\n", " ")))
        out.append("")
    return out


def process_docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Answer Sphinx's event of that name: change the lines in place."""
    lines[:] = to_rst(lines)


def skip_member(app, what, name, obj, skip, options) -> bool | None:
    """Answer Sphinx's event of that name: leave out long constants, and fields that have nothing to say."""
    long = isinstance(obj, str | tuple | list | dict) and len(repr(obj)) > 100
    silent = (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")  # of a NamedTuple
    return True if long or silent else None
