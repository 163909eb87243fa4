"""Many runs that differ in their options: on the cores of one machine, or on a cluster, through joblib."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from tqdm.auto import tqdm

from offac_lite import _check, stats
from offac_lite.config import CARTPOLE, OWN_FUNCTIONS, Config, changed
from offac_lite.run import Run
from offac_lite.training import resolved, train

INTERRUPTED = "interrupted"
FILE_NAME = r"""[^/\\:*?"<>|.\s][^/\\:*?"<>|]*"""  # on any system


@dataclass
class Row:
    """One variant of a sweep: its run, or the error that ended it ("not run" where the sweep was interrupted)."""

    name: str
    run: Run | None = None
    error: str | None = None


class Sweep(dict):
    """{name: Row} of every variant asked for, in that order; prints as a table."""

    def table(self, goal: float = 475.0) -> list[dict]:
        """Give a dictionary per variant: name, seeds, solved (see `stats.solved_at`), the share of second-half
        evaluations at `goal`, the interquartile mean over seeds of each one's mean second-half return with its 95%
        interval, seconds, and error. A stopped seed has solved nothing, and where there is one no mean is given.
        """
        rows, goal = [], _check.number("goal", goal)
        for name, row in self.items():
            entry = dict.fromkeys(("name", "seeds", "solved", "at_goal", "iqm", "low", "high", "seconds", "error"))
            rows.append(entry | {"name": name, "error": row.error})
            run = row.run
            if run is None or not len(run.steps):
                continue
            late = run.returns[:, len(run.steps) // 2 :].mean(1)
            rows[-1] |= {
                "seeds": len(late),
                "solved": stats.solved_at(run.steps, run.returns, goal).isfinite().sum().item(),
                "at_goal": stats.share_at_goal(run.returns, goal),
                "seconds": run.seconds,
            }
            if late.isfinite().all():
                rows[-1]["iqm"] = stats.iqm(late).item()
            if late.isfinite().all() and len(late) > 1:
                rows[-1] |= dict(zip(("low", "high"), map(float, stats.interval(late)), strict=True))
        return rows

    def __repr__(self) -> str:
        """The table, for a goal of 475 on CartPole-v1. Other environments have no such goal."""
        width = max(map(len, self), default=4)
        lines = [f"{'':{width}}   solved  second half: at goal   mean return [95%]        seconds"]
        for row in self.table():
            if row["seeds"] is None:
                lines.append(f"{row['name']:{width}}   {row['error'] or 'no evaluation'}")
                continue
            mean = "—" if row["iqm"] is None else f"{row['iqm']:.0f}"
            mean += "" if row["low"] is None else f" [{row['low']:.0f}, {row['high']:.0f}]"
            solved, at_goal = f"{row['solved']}/{row['seeds']}", f"{row['at_goal']:.2f}"
            if self[row["name"]].run.config.env_id != "CartPole-v1":
                solved, at_goal = "—", "—"
            lines.append(
                f"{row['name']:{width}}   {solved:>6}   {at_goal:>19}   {mean:21} {row['seconds']:10.1f}"
                + (f"   {row['error']}" if row["error"] else "")
            )
        return "\n".join(lines)


def sweep(
    variants: Mapping[str, Mapping[str, Any]],
    config: Config | str = CARTPOLE,
    *,
    n_jobs: int = -1,
    folder: str | os.PathLike | None = None,
    progress: bool = True,
    **common: Any,
) -> Sweep:
    """Run `train(config, **common, **options)` for each {name: options} of `variants`; return a `Sweep`.

    `n_jobs` processes on this machine (−1: one per core), one thread each. On a cluster, by joblib's own means:

        with joblib.parallel_config(backend="dask"):  # after client = dask.distributed.Client(address)
            sweep(variants)

    A variant that fails is a row with its error. Interrupting returns what is finished. With a `folder`, each run is
    saved there as NAME.run when it finishes, on the machine that ran it. A run that is there already is loaded instead
    of repeated, unless it was interrupted or one of its options differs; a run of an older version of the package
    counts. What a file does not hold is run again: checkpoints, functions of your own, and old data from a buffer or a
    network.

    Raises `TypeError` or `ValueError` before anything runs where `variants` is no such mapping, and where nothing can
    be written to `folder`.

    >>> results = sweep({"K = 1": {"action_samples": 1}, "K = 0": {"action_samples": 0}}, seeds=2, total_steps=800,
    ...                 evaluations=1, n_jobs=1, progress=False)
    >>> results["K = 1"].run.returns.shape, results["K = 0"].error
    (torch.Size([2, 1]), 'ValueError: action_samples must be at least 1, got 0')
    """
    if not isinstance(variants, Mapping) or not all(isinstance(options, Mapping) for options in variants.values()):
        raise TypeError("variants must map names to options, as in {'K = 1': {'action_samples': 1}}")
    if not variants:
        raise ValueError("variants is empty: there is nothing to run")
    if n_jobs != -1:
        _check.count("n_jobs", n_jobs)
    folder = None if folder is None else Path(folder)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"folder must be a folder, got the file {folder}")
    results = Sweep({name: Row(name, error="not run") for name in variants})
    todo = {}
    for name, options in variants.items():
        if not isinstance(name, str) or (folder is not None and not re.fullmatch(FILE_NAME, name)):
            raise ValueError(f"the name {name!r} of a variant cannot be the name of a file")
        path = None if folder is None else folder / f"{name}.run"
        todo[name] = config, {**common, **options}, path
        if path is not None and path.exists() and (run := _kept(config, todo[name][1], path)) is not None:
            results[name] = Row(name, run)
            del todo[name]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        if todo and (fault := _check.unwritable(folder / "a.run")):
            raise ValueError(f"folder: {fault}")
    bar = tqdm(total=len(variants), initial=len(variants) - len(todo), unit="run", disable=not progress)
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    try:
        for row in parallel(joblib.delayed(_one)(name, *arguments) for name, arguments in todo.items()):
            results[row.name] = row
            bar.update()
            if row.error == INTERRUPTED:
                break
    except KeyboardInterrupt:
        pass
    finally:
        bar.close()
    for name, (_, changes, path) in todo.items():  # saved by a process whose answer the interruption cut off
        if results[name].run is not None or path is None or not path.exists():
            continue
        if (run := _kept(config, changes, path)) is not None:
            results[name] = Row(name, run)
    return results


def _one(name: str, config: Config | str, changes: dict[str, Any], path: Path | None) -> Row:
    """Train one variant, where joblib sends it."""
    try:
        if path is not None and (fault := _check.unwritable(path)):  # on the machine that runs it
            raise ValueError(fault)
        run = train(config, **{"progress": False} | changes)
        try:
            if path is not None:
                run.save(path)
        except OSError as error:
            return Row(name, run, f"not saved: {error}")
        return Row(name, run, INTERRUPTED if run.interrupted else None)
    except Exception as error:
        return Row(name, error=f"{type(error).__name__}: {error}")


def _kept(config: Config | str, changes: dict[str, Any], path: Path) -> Run | None:
    """Load a finished run of the same options; None for any other."""
    try:
        run = Run.load(path)
        changes = {name: value for name, value in changes.items() if name != "progress"}
        wanted = resolved(changed(config, changes), run.spaces)
    except (TypeError, ValueError):
        return None
    if run.interrupted or wanted.checkpoints or not _known_by_value(wanted):
        return None
    return run if run.config.to_json() == wanted.to_json() else None


def _known_by_value(config: Config) -> bool:
    """Tell whether what `to_json` writes of a config says all of it: no buffer, network or function."""
    old = config.prefill
    by_value = old is None or (isinstance(old, tuple) and not callable(old[0]))
    return by_value and all(getattr(config, name) is None for name in OWN_FUNCTIONS)
