"""A training run: what was asked for, what came out, and how to keep it."""

import io
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from offac_lite import _check
from offac_lite.agent import make_networks
from offac_lite.config import Config
from offac_lite.envs import Spaces
from offac_lite.networks import Policy


@dataclass
class Run:
    """What `train` returns. S seeds, E evaluations.

    - `config`: the options, each "auto" replaced; `train(run.config)` repeats the run. `spaces`: see `Spaces`.
    - `steps` (E,): environment steps per seed before each evaluation.
    - `returns` (S, E): the mean undiscounted return of each evaluation's episodes, played with the most probable
      actions. NaN after a seed was stopped.
    - `log`: more curves (S, E). "exploring_return": the mean of the last ten training episodes. Of the last batch:
      "critic_loss", with twins (the default) the sum of both; "value", the critic's mean estimate of the states' value,
      in scaled rewards; "entropy" of the policy, in nats. NaN where there was none yet.
    - `policy`, `critic`: the networks at the end; `policy.act(obs)` acts.
    - `checkpoints`: (policy, critic) at each evaluation, with `train(checkpoints=True)`; not saved.
    - `stopped`: {seed: environment steps} of the seeds whose numbers were no longer finite.
    - `interrupted`: whether the run ended early. `seconds`: how long it took; `eval_seconds`: of them for evaluations.
    """

    config: Config
    spaces: Spaces
    policy: Policy
    critic: torch.nn.Module
    steps: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64, device="cpu"))
    returns: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float32, device="cpu"))
    log: dict[str, torch.Tensor] = field(default_factory=dict)
    checkpoints: list[tuple[Policy, torch.nn.Module]] = field(default_factory=list)
    stopped: dict[int, int] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0
    eval_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Start without evaluations."""
        if not len(self.steps):
            self.returns = torch.zeros(self.config.seeds, 0, dtype=torch.float32, device="cpu")

    def record(self, step: int, returns: torch.Tensor, **log: torch.Tensor) -> None:
        """Append one evaluation: `returns` and every value of `log` are (S,)."""
        _check.count("step", step, at_least=0)
        for name, value in {"returns": returns, **log}.items():
            _check.shape(name, _check.tensor(name, value), (self.config.seeds,), "(S,)")
        self.steps = torch.cat([self.steps, torch.tensor([step], device="cpu")])
        self.returns = torch.cat([self.returns, returns.detach().cpu().float()[:, None]], 1)
        for name, value in log.items():
            before = self.log.get(name, value.new_empty(len(value), 0).cpu())
            self.log[name] = torch.cat([before, value.detach().cpu()[:, None]], 1)

    def save(self, path: str | os.PathLike) -> None:
        """Write the run to one file, whole or not at all: an earlier file stays until the new one is complete.

        Tensors are kept as tensors and all the rest as JSON. Checkpoints are left out. Functions of your own, and old
        data from a network or a buffer, are kept by name only.
        """
        path = Path(path)
        rest: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        rest |= {"config": self.config.to_json(), "spaces": asdict(self.spaces)}
        contents: dict[str, Any] = {name: getattr(self, name) for name in _TENSORS}
        contents |= {"policy": self.policy.state_dict(), "critic": self.critic.state_dict(), "rest": json.dumps(rest)}
        file = io.BytesIO()
        torch.save(contents, file)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            unfinished.write_bytes(file.getvalue())
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Run":
        """Read what `save` wrote, on the CPU. No code in the file is ever run.

        Raises `FileNotFoundError`, or `ValueError` for a file that is no saved run.
        """
        data = Path(path).read_bytes()
        try:
            contents = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            rest = json.loads(contents["rest"])
            config, spaces = Config.from_json(rest["config"]), _spaces(rest["spaces"])
            policy, critic = make_networks(config, spaces, torch.Generator())
            policy.load_state_dict(contents["policy"])
            critic.load_state_dict(contents["critic"])
            kept = {name: contents[name] for name in _TENSORS} | {name: rest[name] for name in _PLAIN}
            kept["stopped"] = {int(seed): step for seed, step in kept["stopped"].items()}
            return cls(config, spaces, policy, critic, **kept)
        except Exception as error:
            raise ValueError(f"{path} is not a run that Run.save wrote: {error}") from error

    def __repr__(self) -> str:
        """The end of the run in a line."""
        notes = [self.config.env_id, f"{self.config.seeds} seeds", "no evaluation yet"]
        if len(self.steps):
            notes[2] = f"median return {self.returns[:, -1].nanmedian():.1f} after {self.steps[-1]} steps"
        if self.stopped:
            notes.append(f"{len(self.stopped)} stopped")
        if self.interrupted:
            notes.append("interrupted")
        return f"Run({', '.join(notes)})"


def _spaces(values: dict[str, Any]) -> Spaces:
    fields: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
    return Spaces(**fields)


_TENSORS = ("steps", "returns", "log")
_PLAIN = ("stopped", "interrupted", "seconds", "eval_seconds")
