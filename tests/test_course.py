"""The course as a whole says the same everywhere: minutes, titles, links."""

import re

import nbformat
import pytest

from tests.refresh_notebooks import ROOT

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PATHS], ids=lambda path: path.stem)
def test_links_within_the_repository_lead_somewhere(path):
    text = text_of(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            assert (path.parent / target.split("#")[0]).exists(), target
