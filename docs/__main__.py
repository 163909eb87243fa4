"""Build the course as a static site from the committed notebooks, without running them and without a network.

python -m docs                           # into docs/_build
python -m docs FOLDER --labs 00 05       # elsewhere; only the labs of these notebooks move
"""

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx

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
:caption: The project

docs/measurements
CONTRIBUTING
docs/maintaining
CHANGELOG
```
"""
WORDS = ["README", "CONTRIBUTING", "CHANGELOG", "docs/maintaining", "docs/measurements", "notebooks/INSTRUCTORS"]


def stage(source: Path) -> None:
    """Gather in `source` what becomes the site: the README as its first page, the rest in its place."""
    for folder, pattern in (("notebooks", "*.ipynb"), ("figures", "*.png"), (".", "LICENSE")):
        (source / folder).mkdir(parents=True, exist_ok=True)
        for file in (ROOT / folder).glob(pattern):
            shutil.copy(file, source / folder)
    (source / "docs").mkdir()
    for name in WORDS:
        text = re.sub(r"\]\((\.\./)?README\.md", r"](\1index.md", (ROOT / f"{name}.md").read_text(encoding="utf-8"))
        page = source / f"{name.replace('README', 'index')}.md"
        page.write_text(text + CONTENTS if name == "README" else text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Build the site; return 0 where all went well."""
    parser = argparse.ArgumentParser(prog="python -m docs", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "_build", help="docs/_build by default")
    parser.add_argument("--labs", nargs="*", metavar="NN", help="make only the labs of these notebooks move")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        source, trees, site = (Path(scratch, name) for name in ("source", "trees", "site"))
        stage(source)
        chosen = [] if options.labs is None else ["-D", f"labs={' '.join(options.labs)}"]
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
