"""Put the notebooks and the kept runs into the package that is built. Everything else stands in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithCourse(build_py):
    """Copy into `offac_lite/course/files` what `offac_lite/course/material.py` reads from a checkout."""

    def run(self):
        """Build the modules, then copy. An editable install reads the checkout itself."""
        super().run()
        if self.editable_mode:
            return
        here = Path(__file__).parent
        sources = [
            *(here / "notebooks").rglob("*.ipynb"),
            here / "notebooks" / "glossary.md",
            here / "notebooks" / "clinic_page.md",
            *(path for path in (here / "figures").glob("*.json") if path.name != "manifest.json"),
        ]
        for source in sources:
            target = Path(self.build_lib, "offac_lite", "course", "files", source.relative_to(here))
            if ".ipynb_checkpoints" not in source.parts:
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))


setup(cmdclass={"build_py": BuildWithCourse})
