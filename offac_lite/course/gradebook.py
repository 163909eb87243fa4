"""For instructors: one row of points per student, ready for a gradebook (`grade FOLDER --gradebook FILE`)."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from offac_lite.course import material


def student_of(file: str) -> str:
    """Return whose file this is: its folders, without those of the course itself; else what its name adds to one.

    >>> [student_of(f) for f in ("ann/further/stability.ipynb", "04_q_critic/ben.ipynb", "1/ann/04_q_critic.ipynb")]
    ['ann', 'ben', '1/ann']
    >>> [student_of(f) for f in ("cem_17_04_q_critic (2).ipynb", "04_q_critic-dora.ipynb", "04_q_critic.ipynb")]
    ['cem_17', 'dora', '04_q_critic']
    """
    path = PurePosixPath(file)
    originals = material.notebooks()
    of_course = {one.stem.casefold() for one in originals} | {one.parent.name for one in originals} - {
        material.NOTEBOOKS.name
    }
    folders = [part for part in path.parts[:-1] if part.casefold() not in of_course]
    if folders:
        return "/".join(folders)
    for original in originals:
        before, *after = re.split(re.escape(original.stem), path.stem, maxsplit=1, flags=re.IGNORECASE)
        if after:
            return before.strip(" _-.") or after[0].strip(" _-.") or path.stem
    return path.stem


def rows(found: Mapping[str, Mapping[str, tuple[str, str]]], notes: Mapping[str, str]) -> list[list[str | int]]:
    """Return a table: one row per student, one point per exercise, the sum, and what is to be looked at by hand.

    `found` maps file → exercise → (mark, words), and `notes` says of a file why it was not judged to its end. Where a
    student handed in several files, the best verdict on each exercise counts.

    >>> found = {"ann/a.ipynb": {"v_target": ("✓", "right")}, "ben/a.ipynb": {"actor_loss": ("✗", "the sign")}}
    >>> for row in rows(found, {"ben/b.ipynb": "cannot be read"}):
    ...     print(row)
    ['student', 'v_target', 'actor_loss', 'points', 'of', 'notes']
    ['ann', 1, 0, 1, 2, '']
    ['ben', 0, 0, 0, 2, 'ben/b.ipynb cannot be read']
    """
    names = list(dict.fromkeys(name for verdicts in found.values() for name in verdicts))
    right: dict[str, set[str]] = {}
    words: dict[str, list[str]] = {}
    for file, verdicts in found.items():
        right.setdefault(student_of(file), set()).update(name for name, (mark, _) in verdicts.items() if mark == "✓")
    for file, note in notes.items():
        right.setdefault(student_of(file), set())
        words.setdefault(student_of(file), []).append(f"{file} {note}")
    table: list[list[str | int]] = [["student", *names, "points", "of", "notes"]]
    for student, done in sorted(right.items()):
        points = [int(name in done) for name in names]
        table.append([student, *points, sum(points), len(names), "; ".join(words.get(student, []))])
    return table


def save(path: Path, found: Mapping[str, Mapping[str, tuple[str, str]]], notes: Mapping[str, str]) -> None:
    """Write the table of `rows` as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows(found, notes))
