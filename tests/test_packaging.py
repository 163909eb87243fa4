"""What a wheel is made of, and that all that names a version names the same."""

import re
import tomllib
from importlib.metadata import metadata

from setuptools import find_packages

from tests.refresh_notebooks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = [p.relative_to(ROOT) for p in (ROOT / "offac_lite").rglob("*") if p.is_file() and p.suffix != ".pyc"]


def test_a_wheel_holds_every_module_and_the_mark_of_a_typed_package():
    modules = {path for path in FILES if path.suffix == ".py"}
    packages = {".".join(path.parent.parts) for path in modules}
    found = find_packages(str(ROOT), include=PROJECT["tool"]["setuptools"]["packages"]["find"]["include"])
    assert packages == set(found)
    data = PROJECT["tool"]["setuptools"]["package-data"]
    assert [path.as_posix() for path in FILES if path not in modules] == ["offac_lite/py.typed"]
    assert data == {"offac_lite": ["py.typed"]}


def test_the_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert metadata("offac-lite")["Version"] == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1] == version


def test_the_authors_and_the_licence_are_those_of_the_citation():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    (author,) = PROJECT["project"]["authors"]
    assert f"- name: {author['name']}\n" in citation and f"license: {PROJECT['project']['license']}\n" in citation
    assert author["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")
