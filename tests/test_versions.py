"""What the command that tries other versions would install."""

import re

import pytest
from packaging.requirements import Requirement

from tests import versions
from tests.refresh_notebooks import ROOT

LISTED = [one for group in versions.listed().values() for one in group]


@pytest.mark.parametrize("requirement", LISTED, ids=str)
def test_every_dependency_has_one_lower_bound_that_it_admits(requirement):
    name, version = versions.oldest(requirement).split("==")
    assert name == requirement.name and requirement.specifier.contains(version)


@pytest.mark.parametrize("line", ["torch", "torch<3", "torch==2.6", "torch>=2.6,>=2.7"])
def test_a_dependency_without_one_is_refused(line):
    with pytest.raises(ValueError, match="requirement torch.* lower bounds, wanted one"):
        versions.oldest(Requirement(line))


def test_what_the_course_is_tested_with_is_admitted():
    files = [ROOT / name for name in ("requirements.txt", "requirements-dev.txt", "docs/requirements.txt")]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    pinned = dict(re.findall(r"^(\w[\w-]*)==(\S+)$", text, re.MULTILINE))
    assert len(pinned) > 15
    for requirement in LISTED:
        if requirement.name in pinned:
            assert requirement.specifier.contains(pinned[requirement.name]), requirement


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit):
        versions.main(["oldest", "--folder", str(tmp_path)])
    assert "is neither empty nor a virtual environment; nothing was installed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
