"""A training run: what was asked for, what came out, and how to keep it."""

import io
import json
import os
from dataclasses import dataclass, field

import torch

from offac_lite import _check
from offac_lite.agent import make_networks
from offac_lite.config import Config, written
from offac_lite.networks import Policy


@dataclass
class Run:
    """What `train` gives back. S seeds, E evaluations.

    - `config`: what was asked for, as `Config`; `spaces`: what the environment is like.
    - `steps` (E,): environment steps per seed before each evaluation; `returns` (S, E): the mean undiscounted return
      of that evaluation's episodes, played with each seed's most probable actions. NaN after a seed was stopped.
    - `log`: more curves (S, E). "exploring_return" is the mean of the last ten training episodes; "critic_loss",
      "value" (the critic's mean estimate of the state's value, in scaled rewards), and "entropy" of the policy in nats
      are of the last batch. NaN where there was none yet.
    - `policy`, `critic`: the networks as the run left them; `policy.act(obs)` acts.
    - `checkpoints`: (policy, critic) as they were at each evaluation, where `train(checkpoints=True)`; not saved.
    - `stopped`: {seed: environment steps} of the seeds whose numbers ceased to be finite.
    - `interrupted`: whether the run was ended early; `seconds`: how long it took, `eval_seconds` of them evaluating.
    """

    config: Config
    spaces: dict
    policy: Policy
    critic: torch.nn.Module
    steps: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    returns: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    log: dict[str, torch.Tensor] = field(default_factory=dict)
    checkpoints: list[tuple[Policy, torch.nn.Module]] = field(default_factory=list)
    stopped: dict[int, int] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0
    eval_seconds: float = 0.0

    def __post_init__(self):
        """Start without evaluations."""
        if not len(self.steps):
            self.returns = torch.zeros(self.config["seeds"], 0)

    def record(self, step: int, returns: torch.Tensor, **log: torch.Tensor) -> None:
        """Append one evaluation: `returns` and every value of `log` are (S,)."""
        _check.count("step", step, at_least=0)
        for name, value in {"returns": returns, **log}.items():
            _check.shape(name, _check.tensor(name, value), (self.config["seeds"],), "(S,)")
        self.steps = torch.cat([self.steps, torch.tensor([step])])
        self.returns = torch.cat([self.returns, returns.detach().cpu().float()[:, None]], 1)
        for name, value in log.items():
            before = self.log.get(name, value.new_empty(len(value), 0).cpu())
            self.log[name] = torch.cat([before, value.detach().cpu()[:, None]], 1)

    def save(self, path) -> None:
        """Write the run to one file, whole or not at all: what was there before stays until the new one is complete.

        Tensors are kept as such and all the rest as JSON; checkpoints are left out. Functions of your own and old data
        given to `train` are kept by name only.
        """
        path = _check.path("path", path)
        rest = {name: getattr(self, name) for name in _JSON}
        contents = {name: getattr(self, name) for name in _TENSORS}
        contents |= {"policy": self.policy.state_dict(), "critic": self.critic.state_dict()}
        contents["rest"] = json.dumps(rest, default=written)
        file = io.BytesIO()
        torch.save(contents, file)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            unfinished.write_bytes(file.getvalue())
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path) -> "Run":
        """Read what `save` wrote, on the CPU. No code in the file is ever run.

        Raises `FileNotFoundError`, or `ValueError` for a file that is no saved run.
        """
        path = _check.path("path", path)
        data = path.read_bytes()
        try:
            contents = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            rest = json.loads(contents["rest"])
            config, spaces = Config(rest.pop("config")), rest.pop("spaces")
            policy, critic = make_networks(config, spaces, torch.Generator())
            policy.load_state_dict(contents["policy"])
            critic.load_state_dict(contents["critic"])
            rest["stopped"] = {int(seed): step for seed, step in rest["stopped"].items()}
            return cls(config, spaces, policy, critic, **{name: contents[name] for name in _TENSORS}, **rest)
        except Exception as error:
            raise ValueError(f"{path} is not a run that Run.save wrote: {error}") from error

    def __repr__(self) -> str:
        """The end of the run in a line."""
        end = "no evaluation yet"
        if len(self.steps):
            last = self.returns[:, -1]
            end = f"median return {last.nanmedian():.1f} after {self.steps[-1]} steps"
        notes = [f"{len(self.stopped)} stopped"] * bool(self.stopped) + ["interrupted"] * self.interrupted
        return f"Run({', '.join([self.config['env_id'], str(self.config['seeds']) + ' seeds', end, *notes])})"


_TENSORS = ("steps", "returns", "log")
_JSON = ("config", "spaces", "stopped", "interrupted", "seconds", "eval_seconds")
