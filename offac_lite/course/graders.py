"""For instructors: student copies that nbgrader or otter grades. `python -m offac_lite copies FOLDER --nbgrader`.

Each exercise is worth one point, where a notebook first checks it. The test calls `checks.require`.
For nbgrader it is a locked cell below the exercise. The student's cell stays an ordinary one: nbgrader would empty a
cell that it knows as a solution, and with it the stub. For otter it is a file beside the notebook.
"""

import ast

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

NBGRADER_CONFIG = """# Made by `python -m offac_lite copies --nbgrader`.
c = get_config()
c.CourseDirectory.course_id = "offac_lite"
c.ExecutePreprocessor.timeout = 300  # seconds that a cell may take
"""

OTTER_TEST = """# Made by `python -m offac_lite copies --otter`.
from otter.test_files import test_case

from offac_lite.course import checks

OK_FORMAT = False
name = "{name}"
points = 1


@test_case()
def test({argument}):
    checks.require("{name}", {argument})
"""


def checked(source: str) -> list[tuple[str, str]]:
    """Return what a cell checks: the name of each exercise and the argument, as written.

    >>> checked("v_target = checks.v_target(my_v_target)")
    [('v_target', 'my_v_target')]
    """
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and len(node.args) == 1]
    return [
        (call.func.attr, ast.unparse(call.args[0]))
        for call in calls
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "checks"
    ]


def with_points(notebook: NotebookNode, graded: set[str]) -> NotebookNode:
    """Return a copy with nbgrader's cell of one point below each exercise that is not in `graded`, and add it there.

    The cell raises where the answer is wrong or missing. Its tag lets *Run All* go on all the same.
    """
    copy = NotebookNode(notebook)
    copy.cells = []
    for cell in notebook.cells:
        copy.cells.append(cell)
        for name, argument in _not_yet(graded, cell):
            copy.cells.append(_test_cell(name, argument))
    return copy


def otter_tests(notebook: NotebookNode, graded: set[str]) -> dict[str, str]:
    """Return otter's test of one point, {name of its file: text}, for each exercise not in `graded`; add it there."""
    exercises = [exercise for cell in notebook.cells for exercise in _not_yet(graded, cell)]
    return {f"{name}.py": OTTER_TEST.format(name=name, argument=argument) for name, argument in exercises}


def _not_yet(graded: set[str], cell: NotebookNode) -> list[tuple[str, str]]:
    """Return what a cell checks that is not in `graded`, and add it there."""
    found = [one for one in (checked(cell.source) if cell.cell_type == "code" else ()) if one[0] not in graded]
    graded |= {name for name, _ in found}
    return found


def _test_cell(name: str, argument: str) -> NotebookNode:
    marks = {"grade": True, "locked": True, "solution": False, "task": False, "points": 1, "schema_version": 3}
    source = f'from offac_lite.course import checks\n\nchecks.require("{name}", {argument})  # 1 point'
    metadata = {"nbgrader": marks | {"grade_id": name, "cell_type": "code"}, "tags": ["raises-exception"]}
    return new_code_cell(source, id=f"grade-{name}", metadata=metadata)
