"""The layout of the package: three rooms, and which may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import offac_lite

PACKAGE = Path(offac_lite.__file__).parent
NOTEBOOK_LIBRARIES = {"IPython", "ipykernel", "ipywidgets", "anywidget", "jupyterlab", "matplotlib", "nbformat"}
FLOORS = {"": 0, "exact": 1, "course": 2}


def room_of(path: Path) -> str:
    """Return "" for a module of the algorithm, else "exact" or "course"."""
    return path.relative_to(PACKAGE).parts[0] if path.parent != PACKAGE else ""


def modules() -> list[Path]:
    """List all modules but `__main__`, the command line, which stands above all rooms."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__main__.py"]


def imports(path: Path) -> set[str]:
    """List the modules that a file imports, `from a import b` as both "a" and "a.b"."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_at_most_fifteen_files_stand_at_the_top():
    assert len([path for path in PACKAGE.iterdir() if path.suffix == ".py"]) <= 15


def test_only_the_course_imports_jupyter_or_matplotlib():
    for path in modules():
        if room_of(path) != "course":
            assert not {name.split(".")[0] for name in imports(path)} & NOTEBOOK_LIBRARIES, path


def test_imports_only_go_down():
    for path in modules():
        for name in imports(path):
            parts = name.split(".")
            room = parts[1] if parts[0] == "offac_lite" and len(parts) > 1 and parts[1] in FLOORS else ""
            assert FLOORS[room] <= FLOORS[room_of(path)], f"{path} imports {name}"


def test_no_imports_go_in_circles():
    name_of = {".".join(("offac_lite", *p.relative_to(PACKAGE).with_suffix("").parts)): p for p in modules()}
    arrows = {name: {n for n in imports(path) if n in name_of} for name, path in name_of.items()}
    while leaves := [name for name, targets in arrows.items() if not targets]:
        arrows = {name: targets - set(leaves) for name, targets in arrows.items() if name not in leaves}
    assert not arrows


def test_importing_the_algorithm_and_what_is_exact_loads_neither_jupyter_nor_matplotlib():
    names = [".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts) for p in modules() if room_of(p) != "course"]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in out.stdout.split()} & (NOTEBOOK_LIBRARIES - {"nbformat"})
