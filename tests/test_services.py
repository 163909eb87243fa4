"""What other machines are told: workflows, a codespace, Binder, an image. They are read here, and not run."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from offac_lite.course import material
from tests.refresh_notebooks import ROOT

WORKFLOWS = sorted((ROOT / ".github").glob("*/*.yml"))
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def read(*parts) -> str:
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def workflow(name) -> dict:
    return yaml.safe_load(read(".github", "workflows", name))


def commands(job) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_workflow_loads_names_its_rights_and_ends(path):
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.parent.name == "ISSUE_TEMPLATE":
        return
    assert loaded["permissions"] and True in loaded, "`on` is a boolean in YAML 1.1"
    for job in loaded["jobs"].values():
        if job.get("uses", "").startswith("./.github/workflows/"):
            continue  # the jobs of a workflow that is among these
        assert all(len({"uses", "run"} & set(step)) == 1 for step in job["steps"])
        assert "timeout-minutes" in job or job.get("environment") == "release"


def test_the_quick_tests_run_on_three_systems_with_every_python():
    jobs = workflow("ci.yml")["jobs"]
    assert jobs["quick"]["strategy"]["matrix"] == {
        "os": ["ubuntu-latest", "windows-latest", "macos-latest"],
        "python": PYTHONS,
    }
    assert commands(jobs["quick"]) == ["python -m pip install -r requirements-dev.txt", "python -m pytest -m quick"]
    assert commands(jobs["check"]) == ["bash .ci/run"]
    assert f'requires-python = ">={PYTHONS[0]}"' in read("pyproject.toml")


def test_a_release_is_published_only_after_all_tests_and_after_the_wheel_alone_has_run():
    release = workflow("release.yml")
    jobs = release["jobs"]
    assert release[True] == {"push": {"tags": ["v*"]}}
    assert jobs["try"]["needs"] == "build" and jobs["publish"]["needs"] == ["check", "try"]
    assert jobs["check"] == {"uses": "./.github/workflows/ci.yml"}
    on = workflow("ci.yml")[True]
    assert on.keys() == {"push", "pull_request", "workflow_call"} and on["push"] == {"branches": ["**"]}
    assert not any("checkout" in step.get("uses", "") for step in jobs["try"]["steps"] + jobs["publish"]["steps"])
    assert commands(jobs["try"])[-1] == "jupyter execute my_course/00_start_here.ipynb"
    rights = {name: job.get("permissions") for name, job in jobs.items()}
    assert rights == {"check": None, "build": None, "try": None, "publish": {"contents": "write", "id-token": "write"}}


def test_the_pages_are_the_site():
    steps = workflow("pages.yml")["jobs"]["site"]["steps"]
    (build,) = [step["run"] for step in steps if "-m docs" in step.get("run", "")]
    assert build.startswith("python -m docs site --address ") and "--repository" in build
    (upload,) = [step for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    assert upload["with"] == {"path": "site"}


def test_a_codespace_binder_and_the_image_install_what_a_reader_needs_and_not_the_tests():
    codespace = json.loads(read(".devcontainer", "devcontainer.json"))
    texts = [codespace["postCreateCommand"], read("binder", "postBuild"), read("Dockerfile")]
    for text in texts:
        assert "--torch-backend=cpu -r requirements.txt" in text and "requirements-dev" not in text
    for text in texts[:2]:
        assert "-m offac_lite start --no-open" in text
    assert codespace["customizations"]["codespaces"]["openFiles"] == ["my_course/00_start_here.ipynb"]
    assert re.fullmatch(r"python-3\.\d+\n", read("binder", "runtime.txt"))
    assert re.findall(r"^\w+", read("binder", "requirements.txt"), re.MULTILINE) == ["uv"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no execute bit")
def test_the_script_of_binder_is_one():
    subprocess.run(["bash", "-n", ROOT / "binder" / "postBuild"], check=True)
    assert (ROOT / "binder" / "postBuild").stat().st_mode & 0o111


def test_the_image_is_sent_what_it_copies():
    sources = [
        name for line in re.findall(r"^COPY (.*)$", read("Dockerfile"), re.MULTILINE) for name in line.split()[:-1]
    ]
    assert set(sources) == set(re.findall(r"^!(\S+)", read(".dockerignore"), re.MULTILINE))
    assert all(list(ROOT.glob(name)) for name in sources)
    kept = {path.name for name in sources for path in ROOT.glob(name)}
    texts = [path.read_text(encoding="utf-8") for path in material.notebooks()]
    runs = {name or "ablations" for text in texts for name in re.findall(r'kept_runs\((?:\\"(\w+)\\")?\)', text)}
    assert len(runs) > 5 and {f"{name}.json" for name in runs} <= kept
