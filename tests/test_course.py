"""The course as a whole says the same everywhere: minutes, titles, links."""

import re

import nbformat
import pytest

from offac_lite import checks
from tests.refresh_notebooks import ROOT

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "notebooks" / "INSTRUCTORS.md").read_text(encoding="utf-8")


def text_of(path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_minutes_of_the_sections_are_those_of_the_notebook_and_of_the_readme(path):
    text = text_of(path)
    total = int(re.search(r"\*\*Time:\*\* about (\d+) minutes", text)[1])
    sections = [int(m) for m in re.findall(r"^## .*<small>\((\d+) minutes?\)</small>$", text, re.MULTILINE)]
    assert abs(sum(sections) - total) <= 5
    (row,) = [line for line in README.splitlines() if line.startswith(f"| {path.stem[:2]} |")]
    assert path.name in row and row.endswith(f"| {total} |")


def test_the_map_of_notebook_00_names_every_notebook_with_the_readme_s_title():
    start = text_of(PATHS[0])
    for path in PATHS[1:]:
        (title,) = re.findall(rf"\[([^\]]+)\]\(notebooks/{path.name}\)", README)
        assert f"[{title}]({path.name})" in start


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("notebooks/*.md"), *PATHS], ids=lambda path: path.stem)
def test_links_within_the_repository_lead_somewhere(path):
    text = text_of(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.split("#")[0]).exists(), target



def test_the_plans_of_the_instructors_guide_have_the_minutes_of_the_notebooks():
    rows = re.findall(r"^\| (at home|\d) \| (\d\d) \| (all|[\d–, ]+) \| (\d+) \|$", GUIDE, re.MULTILINE)
    assert len(rows) == 7 + 9
    for _, number, sections, minutes in rows:
        text = text_of(next(path for path in PATHS if path.name.startswith(number)))
        total = int(re.search(r"\*\*Time:\*\* about (\d+) minutes", text)[1])
        each = dict(re.findall(r"^## (\d+) · .*<small>\((\d+) minutes?\)</small>$", text, re.MULTILINE))
        first, _, last = sections.partition("–")
        wanted = range(int(first), int(last) + 1) if last else re.findall(r"\d+", sections)
        assert int(minutes) == (total if sections == "all" else sum(int(each[str(n)]) for n in wanted)), number


def test_the_plan_of_two_sessions_is_the_five_hour_path_of_notebook_00():
    (path,) = re.findall(r"\*\*In five hours\.\*\*.* its side roads: (.*?)\. What is left out", text_of(PATHS[0]))
    rows = re.findall(r"^\| [12] \| (\d\d) \| (\S.*?) \| \d+ \|$", GUIDE.split("**Four half-days")[0], re.MULTILINE)
    say = {"all": "", "1–3": "1 to 3", "1–2": "1 and 2", "1–4": "1 to 4", "1, 3, 7": "1, 3 and 7"}
    assert path == "; ".join(f"of {n}, sections {say[s]}" if say[s] else n for n, s in rows)


def test_the_instructors_guide_names_every_exercise_and_quotes_what_its_check_says():
    named = []
    for number, part in re.findall(r"^### (\d\d) · .*?\n(.*?)(?=^##)", GUIDE, re.MULTILINE | re.DOTALL):
        notebook = next(path for path in PATHS if path.name.startswith(number))
        source = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
        for row in re.findall(r"^\| \d .*\|$", part, re.MULTILINE):
            which, name = re.match(r"\| (\d) `(\w+)`", row).groups()
            exercise = getattr(checks, name.upper())
            named.append(exercise)
            assert re.search(rf"### Exercise {which} ·(?:(?!### Exercise).)*checks\.{name}\(", source, re.DOTALL), row
            quotes = re.findall("“(.*?)”", row)
            assert quotes
            for quote in quotes:
                assert any(quote in words for _, words in exercise.mistakes), quote
    assert {e.name for e in named} == {e.name for e in vars(checks).values() if isinstance(e, checks.Exercise)}
