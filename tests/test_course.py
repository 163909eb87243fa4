"""The course as a whole says the same everywhere: minutes, titles, links, symbols, numbers of equations, modules."""

import ast
import importlib
import inspect
import re
from operator import attrgetter

import nbformat
import pytest

import offac_lite
from offac_lite.course import checks, material
from tests.refresh_notebooks import ROOT

PATHS = material.notebooks()
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = (ROOT / "docs" / "package.md").read_text(encoding="utf-8")
CHAPTERS = [path for path in PATHS if path.parent.name == "further"]
CORE = [path for path in PATHS if path not in CHAPTERS]
GUIDE_PATH = ROOT / "notebooks" / "INSTRUCTORS.md"
GUIDE = GUIDE_PATH.read_text(encoding="utf-8")


def text_of(path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_minutes_of_the_sections_are_those_of_the_notebook_and_of_the_readme(path):
    """A chapter has no row in the README."""
    text = text_of(path)
    total = int(re.search(r"\*\*Time:\*\* about (\d+) minutes", text)[1])
    sections = [int(m) for m in re.findall(r"^## .*<small>\((\d+) minutes?\)</small>$", text, re.MULTILINE)]
    assert abs(sum(sections) - total) <= 5
    if path in CHAPTERS:
        assert total <= 75 and f"({path.relative_to(ROOT).as_posix()})" in README
        return
    (row,) = [line for line in README.splitlines() if line.startswith(f"| {path.stem[:2]} |")]
    assert path.name in row and row.endswith(f"| {total} |")


def test_the_map_of_notebook_00_names_every_notebook_with_the_readme_s_title():
    start = text_of(PATHS[0])
    for path in CORE[1:]:
        (title,) = re.findall(rf"^\| \d\d \| \[([^\]]+)\]\(notebooks/{path.name}\)", README, re.MULTILINE)
        assert f"[{title}]({path.name})" in start


def anchors_of(path) -> set[str]:
    """What a link into a file may name after its #: its headings, as GitHub makes anchors of them."""
    text = text_of(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path",
    [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), GUIDE_PATH, *PATHS],
    ids=lambda p: p.name,
)
def test_links_within_the_repository_lead_somewhere(path):
    text = text_of(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            file = path.parent / name if name else path
            assert file.exists(), target
            assert not anchor or anchor in anchors_of(file), target


def equations_of(path) -> list[str]:
    """The numbers of a notebook's equations, in order, such as 4.2."""
    return re.findall(r"\\tag\{([^}]*)\}", text_of(path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_equations_are_numbered_in_order(path):
    numbers = [number.split(".") for number in equations_of(path)]
    assert numbers == sorted(numbers, key=lambda number: (number[0], int(number[1])))
    assert path in CHAPTERS or {chapter for chapter, _ in numbers} <= {str(int(path.stem[:2]))}


def test_each_numbered_equation_is_implemented_by_the_one_function_that_names_it():
    named = []
    for module in sorted((ROOT / "offac_lite").rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                named += re.findall(r"Equation \((\w\.\d+)\)", ast.get_docstring(node) or "")
    tags = [number for path in PATHS for number in equations_of(path)]
    assert sorted(named) == sorted(tags) and len(tags) > 30


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_references_to_equations_lead_to_one(path):
    tags = {number for other in PATHS for number in equations_of(other)}
    cells = nbformat.read(path, as_version=4).cells
    referred = {number for cell in cells for number in re.findall(r"(?<!\w)\(([1-9CS]\.\d{1,2})\)", cell.source)}
    assert referred <= tags
    assert not any(re.search(r"(?i)equation \(?\d+\)", cell.source) for cell in cells), "equations are numbered N.k"


CLOSED = ("checks", "clinic", "labs", "plots", "stage")  # their modules are parts of one thing


def test_the_page_of_the_package_says_what_every_public_module_holds():
    table = MODULES[MODULES.index("| module | what it holds |") :].partition("\n\n")[0]
    listed = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    modules = {path.stem for path in (ROOT / "offac_lite").rglob("*.py") if path.parent.name not in CLOSED}
    assert listed == {name for name in modules if not name.startswith("_")}
    assert all(f"`{folder}` (" in MODULES for folder in CLOSED)


def test_the_readme_s_map_leads_from_an_equation_to_the_function_that_names_it_and_the_notebook_that_shows_it():
    row = r"^\| \((\w\.\d+)\) \| .+ \| \[`([\w.]+)`\]\((\S+)\.py\) \| \[(\d\d|C)\]\((\S+)\) \|$"
    rows = re.findall(row, README, re.MULTILINE)
    assert len(rows) == 12 == len(re.findall(r"^\| \(\w\.", README, re.MULTILINE))
    assert [number for number, *_ in rows] == sorted({number for number, *_ in rows})
    for number, function, file, notebook, path in rows:
        found = attrgetter(function)(importlib.import_module(file.replace("/", ".")))
        assert f"Equation ({number})" in inspect.getdoc(found), function
        assert found.__module__ == file.replace("/", "."), "it is defined there, not only imported"
        assert (notebook == "C" or f"notebooks/{notebook}_" in path) and number in equations_of(ROOT / path)


def test_the_readme_names_the_three_rooms():
    rooms = re.findall(r"^- `(offac_lite/[\w/]*)`: ", README, re.MULTILINE)
    assert rooms == ["offac_lite/", "offac_lite/exact/", "offac_lite/course/"]
    assert {path.name for path in (ROOT / "offac_lite").iterdir() if (path / "__init__.py").exists()} == {
        "exact",
        "course",
    }


@pytest.mark.parametrize(("name", "most"), [("README", 1100), ("CONTRIBUTING", 500)])
def test_readme_and_contributing_are_short(name, most):
    assert len((ROOT / f"{name}.md").read_text(encoding="utf-8").split()) <= most


@pytest.mark.slow
def test_the_examples_of_the_package_run(monkeypatch):
    """They stand as they are, with runs that are cut short."""
    first, options, second = re.findall(r"^```python\n(.*?)^```", MODULES, re.MULTILINE | re.DOTALL)
    train, calls = offac_lite.train, []

    def short_train(*config, **changes):
        short = {"total_steps": 400, "eval_episodes": 1, "progress": False}
        if calls:  # of the first the text says how many seeds and evaluations there are
            short |= {"seeds": 2, "evaluations": 1}
        calls.append(changes)
        return train(*config, **changes | short)

    monkeypatch.setattr(offac_lite, "train", short_train)
    here = {}
    exec(first, here)
    assert len(calls) == 6 and here["run"].returns.shape == (16, 20)
    exec(options, here)
    assert len(calls) == 9 and here["run"].config.tau == 0.005
    exec(second, here)
    assert here["m"].bias < 1e-12 < here["m"].variance_actions
    assert "  # 18.5 actions" in second and round(eval(second.splitlines()[-1], here), 1) == 18.5


def test_the_plans_of_the_instructors_guide_have_the_minutes_of_the_notebooks():
    rows = re.findall(r"^\| (at home|\d) \| (\d\d) \| (all|[\d–, ]+) \| (\d+) \|$", GUIDE, re.MULTILINE)
    assert len(rows) == 8 + 8
    for _, number, sections, minutes in rows:
        text = text_of(next(path for path in PATHS if path.name.startswith(number)))
        total = int(re.search(r"\*\*Time:\*\* about (\d+) minutes", text)[1])
        each = dict(re.findall(r"^## (\d+) · .*<small>\((\d+) minutes?\)</small>$", text, re.MULTILINE))
        first, _, last = sections.partition("–")
        wanted = range(int(first), int(last) + 1) if last else re.findall(r"\d+", sections)
        assert int(minutes) == (total if sections == "all" else sum(int(each[str(n)]) for n in wanted)), number


def test_the_instructors_guide_names_every_exercise_and_quotes_what_its_check_says():
    named = []
    titled = {text_of(path).partition("\n")[0].lstrip("# "): path for path in PATHS}
    exercises = GUIDE[GUIDE.index("## What the exercises show") :]
    for title, part in re.findall(r"^### (.*?)\n(.*?)(?=^##)", exercises, re.MULTILINE | re.DOTALL):
        notebook = titled[title]
        source = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
        for row in re.findall(r"^\| \d .*\|$", part, re.MULTILINE):
            which, name = re.match(r"\| (\d) `(\w+)`", row).groups()
            exercise = getattr(checks, name)
            named.append(exercise)
            assert re.search(rf"### Exercise {which} ·(?:(?!### Exercise).)*checks\.{name}\(", source, re.DOTALL), row
            quotes = re.findall("“(.*?)”", row)
            assert quotes
            for quote in quotes:
                assert any(quote in words for _, words in exercise.mistakes), quote
    assert set(named) == set(checks.EXERCISES.values())
