"""A small lab for the tests: a wave, a filled staircase, a legend and a caption that follow three controls."""

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from offac_lite.course.stage.lab import Lab


class WaveView:
    def __init__(self):
        self.figure = Figure(figsize=(5.2, 3.4), layout="constrained", dpi=100)
        self.axes = self.figure.subplots()
        self.x = np.linspace(0, 10, 200)
        (self.line,) = self.axes.plot(self.x, np.sin(self.x), color="#0072b2", lw=3, label="wave")
        self.steps = self.axes.stairs(np.zeros(20), np.linspace(0, 10, 21), fill=True, color="#e69f00", label="level")
        self.axes.plot(self.x, np.zeros(200), "k--", lw=1, zorder=4, label="zero")
        self.caption = self.axes.text(5, 1.6, "", ha="center")
        self.axes.set(xlim=(0, 10), ylim=(-2, 2), xlabel="time in s", ylabel="height in m", title="A wave")
        self.axes.grid(True)
        self.axes.legend(loc="lower right")
        self.artists = [self.line, self.steps, self.caption]

    def update(self, result):
        frequency, heights, wide = result
        self.line.set_ydata(2 * np.sin(frequency * self.x))  # touches the frame
        self.steps.set_data(heights)
        self.caption.set_text(f"$\\omega$ = {frequency}")
        if wide != (self.axes.get_xlim() == (0, 20)):
            self.axes.set_xlim(0, 20 if wide else 10)


def wave(frequency, level, wide):
    if frequency == 7:
        raise ValueError("seven is <not> a frequency")
    if frequency == 6:
        print("six is printed")
    return frequency, np.linspace(-level, level, 20), wide


def demo_lab(view=None, compute=wave, **keywords):
    controls = {
        "frequency": ipywidgets.IntSlider(1, 1, 9, description="Frequency"),
        "level": ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.1, description="Level of the steps"),
        "wide": ipywidgets.Checkbox(False),
    }
    summary = lambda result: f"The wave has frequency {result[0]}; the steps end at {result[1][-1]:.1f}."  # noqa: E731
    return Lab(controls, compute, view or WaveView(), summary, **keywords)
