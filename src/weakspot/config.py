"""The settings of a run. The command line, its help and the record of a run are generated from them. Imports no torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from weakspot.analysis.config import FidelityConfig, GogglesConfig, OverconfidenceConfig, PolicyValuesConfig, SamplesConfig
from weakspot.confirm.config import ConfirmConfig
from weakspot.data.config import CollectConfig
from weakspot.ground.config import GroundConfig
from weakspot.options import SaliencyRule
from weakspot.report.config import ReportConfig
from weakspot.search.config import SynthesisConfig
from weakspot.state_model.config import TrainConfig
from weakspot.system.checks import check_positive, check_text


@dataclass(frozen=True)
class RunConfig:
    """Finds weaknesses of one agent in one environment.

    Attributes:
        agent: A name that `weakspot agents` lists, a file of weights (safetensors, stable-baselines3 zip, .cleanrl_model),
            the folder of an RL Zoo training, or path.py:factory for a PyTorch module of your own.
        environment: An Atari game, such as pong or PongNoFrameskip-v4, a gymnasium id, or a TOML file that describes an
            environment. Not needed if the agent's file names it.
        trust: Allow code in the agent's file to run: TorchScript, torch.export, or a network that was pickled whole. Only
            for files from a source you trust.
        output: The run folder.
        store: A folder of results that several runs share. By default, results are stored inside the run folder.
        targets: T-, T+, T+-, S+, S-, V+, V-, overconfidence, the name of an action such as LEFT, a dimension of continuous
            actions with a sign such as steer-, an expression such as 'q["LEFT"] - max(q)', or path.py:function. Default: T-,
            T+ and T+- for agents with Q-values; V-, V+ and T+- for actor-critics; T+- and the actions, if there are at most
            six, for policies without a critic; for continuous actions V+, V- and both ends of every dimension.
        sharpness: Sharpness of the soft maximum: b times the mean standard deviation of the agent's scores within a state.
        saliency: guided: guided backpropagation, as in the paper, for networks with ReLUs only. gradient: the plain
            gradient, for any network.
        device: Device of the agent and the state model: cpu or cuda.
        collect, train, fidelity, samples, goggles, policy_values, overconfidence, synthesize, ground, confirm, report:
            settings of the stages.

    Raises:
        ConfigError: a value is out of range.
    """

    agent: str = "pong-double-dqn"
    environment: str | None = None
    trust: bool = False
    output: Path = Path("runs/pong")
    store: Path | None = None
    targets: tuple[str, ...] = ()
    sharpness: float = 10.0
    saliency: SaliencyRule = "guided"
    device: str = "cpu"
    collect: CollectConfig = field(default_factory=CollectConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    fidelity: FidelityConfig = field(default_factory=FidelityConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    goggles: GogglesConfig = field(default_factory=GogglesConfig)
    policy_values: PolicyValuesConfig = field(default_factory=PolicyValuesConfig)
    overconfidence: OverconfidenceConfig = field(default_factory=OverconfidenceConfig)
    synthesize: SynthesisConfig = field(default_factory=SynthesisConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    confirm: ConfirmConfig = field(default_factory=ConfirmConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", Path(self.output))  # strings are accepted as well
        object.__setattr__(self, "store", None if self.store is None else Path(self.store))
        check_positive(self, "sharpness")
        check_text(self)

    @property
    def store_path(self) -> Path:
        """Where results are stored."""
        return self.store or self.output / "store"

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON data, without the folders that results are written to."""
        record = asdict(self)
        del record["output"], record["store"]
        return json.loads(json.dumps(record))


def command_line(config: RunConfig) -> str:
    """The command that repeats a run, with all settings that differ from their defaults."""
    words = ["weakspot", "run"]

    def walk(settings: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str) -> None:
        for name, value in settings.items():
            option = f"{prefix}{name.replace('_', '-')}"
            if isinstance(value, dict):
                walk(settings[name], defaults[name], f"{prefix}{name}.")
            elif value == defaults[name]:
                continue
            elif isinstance(value, bool):
                words.append(f"--{option}" if value else f"--{prefix}no-{name.replace('_', '-')}")
            else:
                words.extend([f"--{option}", *(str(item) for item in _values(value))])

    walk(asdict(config), asdict(RunConfig()), "")
    return shlex.join(words)


def _values(value: Any) -> tuple[Any, ...]:
    return tuple(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else (value,)
