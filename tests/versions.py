"""Run the tests with the oldest versions that pyproject.toml admits, with Colab's, or with the newest there are.

    python -m tests.versions oldest                               # every test, in an environment that is then deleted
    python -m tests.versions newest --folder ../newest            # keeps the environment, or uses it again
    python -m tests.versions colab -m quick                       # no browser: Colab's page is not here
    python -m tests.versions oldest tests/test_updates.py -n 0    # the rest of the line goes to pytest

Only what pyproject.toml names is held at its lower bound; what that needs in turn comes as pip chooses. On Linux pip
takes PyTorch with its GPU libraries, several GB, unless its settings name an index of CPU-only builds. The exit
status is pytest's, or pip's where the versions cannot be installed together.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from contextlib import nullcontext
from pathlib import Path

from packaging.requirements import Requirement

from tests.refresh_notebooks import ROOT

COLAB = [  # what its machines have installed; the rest comes as pip chooses
    "torch==2.11.0",
    "ipywidgets==7.7.1",
    "ipykernel==6.17.1",
    "ipython==7.34.0",
    "numpy==2.1.3",
    "matplotlib==3.10.0",
    "gymnasium==1.3.0",
]


def listed() -> dict[str, list[Requirement]]:
    """Every direct dependency that pyproject.toml names, by extra; those of the package itself under ""."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"]} | project["optional-dependencies"]
    return {extra: [Requirement(line) for line in lines] for extra, lines in groups.items()}


def oldest(requirement: Requirement) -> str:
    """Pin a requirement to its lower bound.

    >>> oldest(Requirement("gymnasium>=1.1,<2"))
    'gymnasium==1.1'
    """
    bounds = [one.version for one in requirement.specifier if one.operator == ">="]
    if len(bounds) != 1:
        raise ValueError(f"requirement {requirement} has {len(bounds)} lower bounds, wanted one, as in name>=1.2")
    return f"{requirement.name}=={bounds[0]}"


def environment(folder: Path, which: str) -> Path:
    """Make a virtual environment in `folder`, or use the one that is there; install, and return its Python."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise ValueError(f"folder {folder} is neither empty nor a virtual environment; nothing was installed")
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    groups = listed()
    bounds = [oldest(one) for group in groups.values() for one in group]
    pins = {"oldest": bounds, "colab": COLAB, "newest": []}[which]
    course = f"{ROOT}[{','.join(filter(None, groups))}]"
    install = [python, "-m", "pip", "install", "--upgrade", "--upgrade-strategy", "eager", "--editable", course, *pins]
    subprocess.run(install, check=True)
    subprocess.run([python, "-m", "pip", "freeze", "--exclude-editable"], check=True)
    return python


def main(arguments: list[str] | None = None) -> int:
    """Install what the command line asks for and run pytest there; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["oldest", "colab", "newest"])
    parser.add_argument("--folder", type=Path, help="where to keep the environment (default: a temporary one)")
    options, to_pytest = parser.parse_known_args(arguments)
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as folder:
        try:
            python = environment(Path(folder).absolute(), options.which)
        except subprocess.CalledProcessError as error:
            return error.returncode
        except ValueError as error:
            parser.error(str(error))
        # old packages call what newer ones that they need have deprecated: their affair
        calm = ["-W", "ignore::DeprecationWarning"] if options.which != "newest" else []
        return subprocess.run([python, "-m", "pytest", *calm, *to_pytest], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
