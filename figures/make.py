"""Make the figures of the README: `python -m figures.make`."""

from pathlib import Path

import torch

from offac_lite import TabularMDP, plots
from offac_lite.estimators import gradient_moments


def main() -> None:
    """Draw them and save them beside this file."""
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    history, ages = mdp.policy_path(n_steps=20, step_size=5.0), list(range(21))
    length = mdp.policy_gradient(history[-1]).norm().item()

    def distances(estimator: str, baseline: str | None) -> list[float]:
        written_by = [torch.softmax(history[20 - age], -1) for age in ages]
        moments = [gradient_moments(mdp, history[-1], estimator, baseline=baseline, behavior=b) for b in written_by]
        return [m.bias / length for m in moments]

    figure = plots.bias_against_age(ages, distances("resampled", None), distances("stored", "value"))
    Path(__file__).with_name("bias_against_age.png").write_bytes(plots.png(figure))


if __name__ == "__main__":
    main()
