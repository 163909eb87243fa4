"""The labs on the site, which work without a kernel: pictures made beforehand, and controls that select one of them.

GRIDS says which lab gets which controls, at which values.
"""

import hashlib
import html
import io
import itertools
import json
import math
import re
from pathlib import Path

import ipywidgets
import numpy as np
import PIL.Image
import torch

from offac_lite.course import checks, labs
from offac_lite.course.stage.lab import Lab

SHOWN = re.compile(r"^\w+ = ((\w+)\(.*\))\n\w+\.show\(\)", re.M)  # lab = variance_lab(...), then lab.show()
SCOPE = {name: exercise.right for name, exercise in checks.EXERCISES.items()} | vars(labs)  # what such a call may name
OCTAVES = (1, 2, 4, 8, 16, 32, 64)
GRIDS = {  # notebook, function → control → values; other controls keep their first value
    ("00_start_here", "variance_lab"): dict(action_samples=OCTAVES, baseline=("none", "value")),
    ("00_start_here", "learning_lab"): dict(action_samples=OCTAVES, baseline=("none", "value")),
    ("01_on_policy_actor_critic", "baseline_lab"): dict(
        share=(0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0), batch_size=(4, 8, 16, 32, 64)
    ),
    ("02_replay_breaks_it", "age_lab"): dict(age=range(21), writers=("all", "one"), baseline=("value", "none")),
    ("03_importance_weights", "one_ratio_lab"): dict(
        weighting=("whole", "single"), horizon=(4, 8, 16, 20), right=(0.3, 0.5, 0.6, 0.9), n=(100, 1_000, 100_000)
    ),
    ("04_q_critic", "two_critics_lab"): dict(updates=(0, 10, 20, 30, 50, 100, 200, 400), age=range(0, 21, 4)),
    ("04_q_critic", "critic_lab"): dict(
        lake=("slippery", "firm"),
        next_action=("resampled", "stored"),
        age=range(0, 21, 2),
        next_action_samples=(1, 4, 16),
    ),
    ("05_resampled_actions", "variance_lab"): dict(
        action_samples=OCTAVES, batch_size=(8, 16, 32, 64), baseline=("none", "value")
    ),
    ("05_resampled_actions", "reward_lab"): dict(
        reward_offset=(0.0, 0.01, 0.03, 0.1, 0.3, 1.0), action_samples=OCTAVES, baseline=("none", "value")
    ),
    ("05_resampled_actions", "action_lab"): dict(
        estimator=("stored", "resampled"), age=range(21), baseline=("none", "value")
    ),
    ("05_resampled_actions", "fixes_lab"): dict(
        fixes=("none", "fix 1", "both"), data=("fresh", "old"), baseline=("none", "value")
    ),
    ("further/variance_and_learning", "weights_lab"): dict(
        weighting=("whole", "causal", "single", "clipped"),
        baseline=("none", "value"),
        horizon=(8, 16),
        right=(0.3, 0.6, 0.9),
        n=(100, 1_000, 100_000),
    ),
    ("further/fixed_data", "fixed_data_lab"): dict(
        data=("random", "mostly right"),
        play=("most probable", "drawn"),
        temperature=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, math.inf),
    ),
    ("further/continuous_actions", "continuous_lab"): dict(
        landscape=("one peak", "two humps"),
        baseline=("none", "value"),
        std=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0),
        action_samples=(1, 64),
        offset=(0.0, 20.0),
    ),
}


def moving(notebook: str, source: str, site: Path) -> str | None:
    """Make the pictures and the HTML of the lab that a cell shows; return None if the cell shows no lab with a grid.

    The lab is made by the cell's own source. The pictures go into a folder of `site`/_labs.
    """
    found = SHOWN.search(source)
    grid = GRIDS.get((notebook, found[2])) if found else None
    if grid is None:
        return None
    torch.set_num_threads(1)
    lab = eval(found[1], SCOPE)
    controls = {name: lab.controls[name] for name in grid}
    start = [list(values).index(controls[name].value) for name, values in grid.items()]
    words = [[_label(controls[name], value) for value in values] for name, values in grid.items()]
    others = "; ".join(control.description for name, control in lab.controls.items() if name not in grid)
    note = f"<p><small>In the notebook this lab has more controls: {html.escape(others)}.</small></p>" if others else ""
    up = "../" * (1 + notebook.count("/"))
    folder = f"{notebook.rpartition('/')[2][:2]}-{found[2]}"
    rows = [_row(f"{folder}-{name}", controls[name], *rest) for name, *rest in zip(grid, words, start, strict=True)]
    states = render_grid(lab, grid, site / "_labs" / folder)
    file, text = map(html.escape, states[np.ravel_multi_index(start, [*map(len, words)])])
    width, height = PIL.Image.open(site / "_labs" / folder / file).size
    data = json.dumps({"folder": f"{up}_labs/{folder}/", "words": words, "states": states}).replace("<", "\\u003c")
    return f"""<div class="moving-lab">
<form hidden>{"".join(rows)}</form>
<div class="picture"><img src="{up}_labs/{folder}/{file}" alt="{text}" width="{width}" height="{height}"></div>
<p role="status">{text}</p>
{note}
<script type="application/json">{data}</script>
</div>"""


def render_grid(lab: Lab, grid: dict, folder: Path) -> list[tuple[str, str]]:
    """Write the lab's picture at each point of the grid into `folder`; return each point's file and words."""
    folder.mkdir(parents=True)
    if hasattr(lab._view, "pin"):
        lab._view.pin(lab.result)  # one ghost for all, not that of the picture before
    states = []
    for point in itertools.product(*grid.values()):
        lab.set(**dict(zip(grid, point, strict=True)))
        if lab.error:
            raise ValueError(f"{folder.name} at {point}: {lab.error}")
        file = folder / f"{hashlib.sha256(lab.png).hexdigest()[:12]}.webp"  # equal pictures share a file
        if not file.exists():
            PIL.Image.open(io.BytesIO(lab.png)).save(file, lossless=True, quality=50, method=2)
        states.append((file.name, lab.summary_text))
    return states


def _label(control: ipywidgets.ValueWidget, value) -> str:
    """Return the text that the control itself shows for a value."""
    if not hasattr(control, "options"):
        return format(value, control.readout_format)
    options = [option if isinstance(option, tuple) else (option, option) for option in control.options]
    return next(str(label) for label, own in options if own == value)


def _row(name: str, control: ipywidgets.ValueWidget, words: list[str], at: int) -> str:
    """Return the HTML of one control: radio buttons for toggle buttons, else a slider over the values."""
    label, words = html.escape(control.description), [html.escape(word) for word in words]
    if isinstance(control, ipywidgets.ToggleButtons):
        buttons = "".join(
            f'<label><input type="radio" name="{name}" value="{i}"{" checked" if i == at else ""}> {word}</label>'
            for i, word in enumerate(words)
        )
        return f'<div role="radiogroup" aria-label="{label}"><span>{label}</span><span>{buttons}</span></div>'
    slider = f'<input type="range" name="{name}" max="{len(words) - 1}" value="{at}" aria-valuetext="{words[at]}">'
    return f"<label><span>{label}</span><span>{slider}<output>{words[at]}</output></span></label>"
