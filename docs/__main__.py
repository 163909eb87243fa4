"""Build the course as a static site from the committed notebooks, without running them and without a network.

python -m docs                           # into docs/_build
python -m docs FOLDER --labs 00 05       # elsewhere; only the labs of these notebooks move

To publish it, say where it will stand, for the previews of shared links, and where the notebooks are, to launch them:

python -m docs --address https://OWNER.github.io/NAME/ --repository OWNER/NAME
"""

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx

from docs import api
from offac_lite.course import material

HERE = Path(__file__).parent
ROOT = HERE.parent
CONTENTS = """

```{toctree}
:hidden:
:glob:

notebooks/*
```

```{toctree}
:hidden:
:glob:
:caption: Further chapters

notebooks/further/*
```

```{toctree}
:hidden:
:caption: The package

docs/setup
docs/package
equations
api/algorithm
api/exact
api/course
```

```{toctree}
:hidden:
:caption: The project

docs/measurements
CONTRIBUTING
docs/maintaining
CHANGELOG
```
"""
LINK = re.compile(r"\]\(([^)#\s:]+)(#[^)\s]*)?\)")  # within the repository
# a row of the README's map from equations to functions
MAP = re.compile(r"^(\| \((\w\.\d+)\) \|.*)\[`([\w.]+)`\]\(offac_lite/[\w/]+\.py\)", re.MULTILINE)


def page_of(text: str, name: str, source: Path) -> str:
    """Let the links of a page lead where they can on the site, and copy the files that they offer."""
    functions = {one.number: one.function for one in api.equations()}
    text = MAP.sub(lambda row: f"{row[1]}{{py:obj}}`{row[3]} <{functions[row[2]]}>`", text)

    def link(match: re.Match) -> str:
        path = (ROOT / name).parent / match[1]
        if path.name == "README.md":
            return f"]({match[1].replace('README', 'index')}{match[2] or ''})"
        if path.suffix not in (".md", ".ipynb"):
            file = source / path.resolve().relative_to(ROOT)
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, file)
        return match[0]

    return LINK.sub(link, text)


def stage(source: Path) -> None:
    """Gather in `source` what becomes the site: the README as its first page, the rest in its place."""
    for folder in ("notebooks/further", "docs"):
        (source / folder).mkdir(parents=True)
    for file in material.notebooks():
        shutil.copy(file, source / file.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *HERE.glob("*.md"), *material.NOTEBOOKS.glob("*.md")]:
        name = str(path.relative_to(ROOT))
        text = page_of(path.read_text(encoding="utf-8"), name, source)
        page = source / name.replace("README", "index")
        page.write_text(text + CONTENTS if name == "README.md" else text, encoding="utf-8")
    api.write_pages(source)


def main(arguments: list[str] | None = None) -> int:
    """Build the site; return 0 where all went well."""
    parser = argparse.ArgumentParser(prog="python -m docs", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "_build", help="docs/_build by default")
    parser.add_argument("--labs", nargs="*", metavar="NN", help="make only the labs of these notebooks move")
    parser.add_argument("--address", default="", help="where the site will stand: https://…/")
    parser.add_argument("--repository", default="", help="OWNER/NAME on GitHub: notebooks link to Colab, Binder, …")
    options = parser.parse_args(arguments)
    if options.address and not re.fullmatch(r"https?://\S+", options.address):
        parser.error(f"--address is {options.address}, wanted https://…/")
    if options.repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", options.repository):
        parser.error(f"--repository is {options.repository}, wanted OWNER/NAME")
    with tempfile.TemporaryDirectory() as scratch:
        source, trees, site = (Path(scratch, name) for name in ("source", "trees", "site"))
        stage(source)
        address = options.address and options.address.rstrip("/") + "/"
        chosen = ["-D", f"repository={options.repository}", "-D", f"ogp_site_url={address}"]
        if options.labs is not None:
            chosen += ["-D", f"labs={' '.join(options.labs)}"]
        status = sphinx(["-j", "auto", "-q", "-W", "-c", str(HERE), "-d", str(trees), *chosen, str(source), str(site)])
        if status:
            return status
        if (options.folder / "searchindex.js").exists():  # an earlier site: nothing of it stays
            shutil.rmtree(options.folder)
        shutil.copytree(site, options.folder, dirs_exist_ok=True)
    print(options.folder / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
