"""Matplotlib's list of fonts, made before any notebook runs.

Making it can take a minute, and Matplotlib says so on stderr, as it does where it has no folder to keep it in. Strict
nbval takes that for a wrong output.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / ".pytest_cache" / "matplotlib"


def prepare_fonts() -> None:
    """Give Matplotlib a folder of its own in this process and those that it starts, and let it make its list there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["MPLCONFIGDIR"] = str(FOLDER)
    os.environ.pop("MATPLOTLIBRC", None)
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=True, capture_output=True)
