"""The configuration of a run: help, command line and record at once. Nothing here imports torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from weakspot.analysis.config import FidelityConfig, GogglesConfig, SamplesConfig
from weakspot.data.config import CollectConfig
from weakspot.errors import ConfigError
from weakspot.options import SaliencyRule
from weakspot.search.config import SynthesisConfig
from weakspot.state_model.config import TrainConfig


@dataclass(frozen=True)
class RunConfig:
    """Finds weaknesses of one agent in one environment."""

    agent: str = "pong-double-dqn"
    """A name from ``weakspot agents``, a file of weights (safetensors, a zip of stable-baselines3, a .cleanrl_model), the
    folder of a training with RL Zoo, or path.py:factory for a module of your own."""
    environment: str | None = None
    """Atari game, such as pong or PongNoFrameskip-v4, a gymnasium id, or a TOML file that describes an environment. Not
    needed if the agent's file names it."""
    trust: bool = False
    """Run code that the agent's file holds: TorchScript, torch.export, or a network that was pickled whole. Only for files
    whose maker you trust."""
    output: Path = Path("runs/pong")
    """The run folder."""
    store: Path | None = None
    """Folder of results that several runs share. Without it, results are stored inside the run folder."""
    targets: tuple[str, ...] = ()
    """T-, T+, T+-, S+, S-, V+, V-, the name of an action such as LEFT, a dimension of continuous actions with a sign
    such as steer-, or path.py:function. Default: T-, T+ and T+-; for continuous actions V+, V- and both ends of every
    dimension."""
    sharpness: float = 10.0
    """b of the soft maximum, over the mean spread of the agent's scores within a state."""
    saliency: SaliencyRule = "guided"
    """guided: guided backpropagation, as in the paper, for networks with ReLUs only. gradient: the plain gradient, for any
    network."""
    device: str = "cpu"
    """Device of the agent and the state model: cpu, cuda."""
    collect: CollectConfig = field(default_factory=CollectConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    fidelity: FidelityConfig = field(default_factory=FidelityConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    goggles: GogglesConfig = field(default_factory=GogglesConfig)
    synthesize: SynthesisConfig = field(default_factory=SynthesisConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", Path(self.output))  # a string will do as well
        object.__setattr__(self, "store", None if self.store is None else Path(self.store))
        if not self.sharpness > 0:
            raise ConfigError(f"sharpness is {self.sharpness}", expected="a positive number")

    @property
    def store_path(self) -> Path:
        """Where results are stored."""
        return self.store or self.output / "store"

    def record(self) -> dict[str, Any]:
        """The settings as JSON holds them, without the places where results go."""
        record = asdict(self)
        del record["output"], record["store"]
        return json.loads(json.dumps(record))


def command_line(config: RunConfig) -> str:
    """The command that repeats a run, with the settings that are not defaults."""
    words = ["weakspot", "run"]

    def walk(given: Mapping[str, Any], usual: Mapping[str, Any], prefix: str) -> None:
        for name, value in given.items():
            option = f"{prefix}{name.replace('_', '-')}"
            if isinstance(value, dict):
                walk(given[name], usual[name], f"{prefix}{name}.")
            elif value == usual[name]:
                continue
            elif isinstance(value, bool):
                words.append(f"--{option}" if value else f"--{prefix}no-{name.replace('_', '-')}")
            else:
                words.extend([f"--{option}", *(str(one) for one in _values(value))])

    walk(asdict(config), asdict(RunConfig()), "")
    return shlex.join(words)


def _values(value: Any) -> tuple[Any, ...]:
    return tuple(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else (value,)
