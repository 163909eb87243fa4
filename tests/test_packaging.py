"""What a wheel is made of, and that all that names a version names the same."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from setuptools import find_packages

from offac_lite.course import material
from tests.refresh_notebooks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = [p.relative_to(ROOT) for p in (ROOT / "offac_lite").rglob("*") if p.is_file() and p.suffix != ".pyc"]


def test_a_wheel_holds_every_module_the_mark_of_a_typed_package_and_what_the_stage_needs():
    modules = {path for path in FILES if path.suffix == ".py"}
    packages = {".".join(path.parent.parts) for path in modules}
    found = find_packages(str(ROOT), include=PROJECT["tool"]["setuptools"]["packages"]["find"]["include"])
    assert packages == set(found)
    data = PROJECT["tool"]["setuptools"]["package-data"]
    others = sorted(path.relative_to("offac_lite").as_posix() for path in FILES if path not in modules)
    patterns = data["offac_lite"]
    assert list(data) == ["offac_lite"] and {"py.typed", "course/stage/stage.css", "course/stage/stage.js"} <= set(
        others
    )
    matched = {
        path.relative_to(ROOT / "offac_lite").as_posix() for p in patterns for path in (ROOT / "offac_lite").glob(p)
    }
    assert matched == set(others)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from what a source distribution holds, and unpack it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("offac_lite", "notebooks", "figures"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source / name)
    build = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, capture_output=True)
    (built,) = folder.glob("offac_lite-*.whl")
    shutil.unpack_archive(built, folder / "unpacked", "zip")
    return folder / "unpacked"


def alone(wheel, folder, *command):
    """Run Python in `folder` with the unpacked wheel first on the path."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(wheel), str(ROOT / "tests" / "guard")])}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_brings_every_module_notebook_and_kept_run(wheel):
    held = {path.relative_to(wheel / "offac_lite") for path in (wheel / "offac_lite").rglob("*") if path.is_file()}
    course = [
        *material.notebooks(),
        ROOT / "notebooks" / "glossary.md",
        ROOT / "notebooks" / "clinic_page.md",
        ROOT / "figures" / "ablations.json",
        ROOT / "figures" / "soft_actor_critic.json",
        ROOT / "figures" / "many_updates.json",
        ROOT / "figures" / "more_tasks.json",
        ROOT / "figures" / "fixed_data.json",
        ROOT / "figures" / "episodes.json",
        ROOT / "figures" / "more_patients.json",
    ]
    wanted = {"course" / Path("files") / path.relative_to(ROOT) for path in course}
    assert held == wanted | {path.relative_to("offac_lite") for path in FILES} and len(wanted) > 5
    for path in course:
        assert (wheel / "offac_lite" / "course" / "files" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_with_the_wheel_alone_the_course_starts_where_there_is_no_checkout(wheel, tmp_path):
    out = alone(wheel, tmp_path, "-m", "offac_lite", "start", "mine", "--no-open")
    names = sorted(path.name for path in material.notebooks())
    assert out.startswith(f"{len(names)} notebooks written to mine")
    assert sorted(path.name for path in (tmp_path / "mine").rglob("*.ipynb")) == names
    code = "from offac_lite.course import material; print(material.FOLDER, len(material.kept_runs()['young']))"
    folder, variants = alone(wheel, tmp_path, "-c", code).split()
    assert Path(folder) == wheel / "offac_lite" / "course" / "files" and int(variants) >= 4


def test_no_notebook_reads_a_file_of_the_checkout():
    """It could not find one where the course came in a wheel: `kept_runs` reads what there is to read."""
    for path in material.notebooks():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert not re.search(r"__file__|\bPath\(|\bopen\(|\.read_text\(|\.\./", code), path.name


def test_the_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert metadata("offac-lite")["Version"] == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_changelog_begins_with_what_is_unreleased_and_ends_with_the_first_version():
    """The version of the package is the newest released one, or a later one that has notes under Unreleased."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first, *released = re.findall(r"^## (\S+)", text, re.MULTILINE)
    released = [Version(number) for number in released]
    assert first == "Unreleased" and released == sorted(set(released), reverse=True) and str(released[-1]) == "0.1.0"
    version = Version(PROJECT["project"]["version"])
    notes = text.partition("## Unreleased\n")[2].partition("\n## ")[0]
    assert version == released[0] or (version > released[0] and "\n- " in notes)


def test_ci_runs_what_the_makefile_calls_lint_and_types():
    """Continuous integration needs no `make`, so its script writes the same commands out."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin")
    recipes = dict(re.findall(r"^([a-z-]+):[^\n]*\n((?:\t[^\n]*\n)+)", makefile, re.MULTILINE))
    wanted = [line.strip() for task in ("lint", "types") for line in recipes[task].splitlines()]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert wanted and script.endswith("\n".join(["", *wanted, ""]))


def test_the_makefile_lists_every_task_and_the_hooks_run_its_tools():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tasks = re.findall(r"^([a-z-]+):.* ## \S", makefile, re.MULTILINE)
    assert tasks == re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    commands = re.findall(r"entry: \.venv/bin/(\w+)", hooks)
    assert commands == ["ruff", "ruff", "codespell"] and hooks.count("repo: ") == hooks.count("repo: local") == 1


def test_a_reader_installs_what_the_package_needs_and_a_developer_all_of_that_and_more():
    """A reader's list names every dependency once, pinned; a developer's includes it and repeats nothing of it."""

    def names(*files):
        text = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
        return re.findall(r"^(\w[\w-]*)==", text, re.MULTILINE)

    def needed(requirements):
        return {Requirement(line).name for line in requirements}

    extras = PROJECT["project"]["optional-dependencies"]
    reader, developer = names("requirements.txt"), names("requirements-dev.txt", "docs/requirements.txt")
    assert (
        needed(PROJECT["project"]["dependencies"])
        <= set(reader)
        <= needed(PROJECT["project"]["dependencies"] + extras["course"])
    )
    assert needed(extras["test"] + extras["docs"]) - {"nbconvert"} <= set(developer)  # JupyterLab brings nbconvert
    assert len({*reader, *developer}) == len(reader) + len(developer)
    assert "\n-e .[course]\n" in (ROOT / "requirements.txt").read_text(encoding="utf-8")
    lines = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert {"-r requirements.txt", "-r docs/requirements.txt"} <= set(lines)


def test_the_authors_and_the_licence_are_those_of_the_citation():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    (author,) = PROJECT["project"]["authors"]
    assert f"- name: {author['name']}\n" in citation and f"license: {PROJECT['project']['license']}\n" in citation
    assert author["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")
