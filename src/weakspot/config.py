"""The configuration of a run: help, command line and record at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from weakspot.analysis.config import GogglesConfig
from weakspot.data.config import CollectConfig
from weakspot.errors import ConfigError
from weakspot.options import SaliencyRule
from weakspot.search.config import SynthesisConfig
from weakspot.state_model.config import TrainConfig


@dataclass(frozen=True)
class AnalyseConfig:
    """Settings of the analysis."""

    goggles: GogglesConfig = field(default_factory=GogglesConfig)
    reconstructions: int = 8
    """Real states shown beside their reconstructions."""
    samples: int = 12
    """Random samples of the state model that are shown."""
    held_out: int = 500
    """Held-out states on which fidelity is measured."""

    def __post_init__(self) -> None:
        for name in ("reconstructions", "samples", "held_out"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}", expected="1 or more")


@dataclass(frozen=True)
class RunConfig:
    """Finds weak spots of one agent in one environment."""

    agent: str = "pong-double-dqn"
    """A name from ``weakspot agents``, a file of weights (safetensors, a zip of stable-baselines3, a .cleanrl_model), the
    folder of a training with RL Zoo, or path.py:factory for a module of your own."""
    environment: str | None = None
    """Atari game, such as pong or PongNoFrameskip-v4, an id of gymnasium, or a TOML file that describes one; not needed
    where the agent's file says it."""
    trust: bool = False
    """Run the code that the agent's file holds: TorchScript, torch.export, or a whole network that was pickled.  Only for
    files whose maker you trust."""
    output: Path = Path("runs/pong")
    """The run folder."""
    targets: tuple[str, ...] = ()
    """T-, T+, T+-, S+, S-, V+, V-, the name of an action such as LEFT, that of a dimension of continuous actions and a sign
    such as steer-, or path.py:function.  Without any, T-, T+ and T+-; for continuous actions V+, V- and every dimension."""
    sharpness: float = 10.0
    """b of the soft maximum, over the mean spread of the agent's scores within a state."""
    saliency: SaliencyRule = "guided"
    """How it is found where the agent looks: guided backpropagation, as in the paper, for networks of ReLUs; or the ordinary
    gradient, for any other."""
    device: str = "cpu"
    """Where agent and state model compute: cpu, cuda."""
    collect: CollectConfig = field(default_factory=CollectConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    synthesize: SynthesisConfig = field(default_factory=SynthesisConfig)
    analyse: AnalyseConfig = field(default_factory=AnalyseConfig)

    def __post_init__(self) -> None:
        if not self.sharpness > 0:
            raise ConfigError(f"sharpness is {self.sharpness}", expected="a positive number, or the soft maximum is none")

    def record(self) -> dict[str, Any]:
        """Everything that decides the results, as plain data; the agent itself is known by its fingerprint."""
        record = asdict(self)
        del record["output"], record["trust"]
        return record
