"""Settings of the training of agents."""

from __future__ import annotations

import dataclasses
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from weakspot.agents.networks.sizes import NetworkSize
from weakspot.envs.driving.registration import ENVIRONMENTS, PEDESTRIANS
from weakspot.errors import ConfigError, UnknownGameError
from weakspot.games import resolve_game
from weakspot.options import Precision
from weakspot.system.checks import check_positive

MAX_SEED = 999
"""The game seeds of a training start at a million times its seed.  Game seeds after a resume are larger than all of these,
and those of the final measurements are larger than both."""
MAX_ENVS = 1_000
"""Each environment is a separate emulator or town."""


@dataclass(frozen=True)
class CommandConfig:
    """Settings of the command that do not change the agent."""

    output: Path | None = None
    """Folder of the training; runs/ALGORITHM-GAME-SEED by default."""
    threads: int = 1
    """Number of threads for tensor operations; a second one helps if nothing else runs on its core."""

    def __post_init__(self) -> None:
        check_positive(self, "threads")


@dataclass(frozen=True)
class TrainingConfig:
    """Settings that all algorithms share."""

    game: str = "pong"
    """Atari game, by the name of its ROM; for a2c and acktr also the id of a driving environment."""
    steps: int = 600_000
    """Decisions of the agent; in Atari games, each lasts four emulator frames [double DQN in the paper: 2000000]."""
    seed: int = 0
    """Seed of all random numbers of the training, from 0 to 999."""
    pedestrians: str | None = None
    """Pedestrians of a driving environment: reasonable (the default), distracted, none, or the share of crossings that
    people start without looking, such as 0.3."""
    start: str | None = None
    """Agent file of the same kind and network with the initial weights; by default, they are random."""
    network: NetworkSize = "small"
    """Size of the network; nature is that of Mnih et al. 2015."""
    gamma: float = 0.99
    """Discount factor [double DQN in the paper: 0.95]."""
    evaluate_every: int = 25_000
    """Decisions between two evaluations, each of which stores a checkpoint."""
    evaluation_episodes: int = 8
    """Episodes of each evaluation."""
    final_episodes: int = 20
    """Episodes of each measurement after the training: the selection of the policy, and its final score."""
    episode_decisions: int = 27_000
    """Games of an evaluation are truncated after this many decisions; the default is the emulator's 30 minutes of play."""
    device: str = "cpu"
    """Device of the training: cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        """Raises :class:`ConfigError` for invalid settings and :class:`UnknownGameError` for unknown games."""
        if self.game.startswith("weakspot/") and self.game not in ENVIRONMENTS:
            raise UnknownGameError(f"there is no driving environment {self.game!r}", expected=", ".join(ENVIRONMENTS))
        if self.game not in ENVIRONMENTS and (rom := resolve_game(self.game)) != self.game:
            raise ConfigError(f"game is {self.game!r}", expected=f"the ROM's name, {rom!r}", todo=f"write {rom}")
        if self.pedestrians is not None:
            self._check_pedestrians(self.pedestrians)
        if self.network not in get_args(NetworkSize):
            raise ConfigError(f"network is {self.network!r}", expected=" or ".join(get_args(NetworkSize)))
        self._check_whole(1, "steps", "evaluate_every", "evaluation_episodes", "final_episodes", "episode_decisions")
        self._check_whole(0, "seed")
        if self.seed > MAX_SEED:
            raise ConfigError(f"seed is {self.seed}", expected=f"a whole number from 0 to {MAX_SEED}")
        if not 0 < self.gamma <= 1:
            raise ConfigError(f"gamma is {self.gamma}", expected="a number above 0, at most 1")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ConfigError(f"device is {self.device!r}", expected="cpu, cuda or cuda:N")

    def _check_pedestrians(self, pedestrians: str) -> None:
        if self.game not in ENVIRONMENTS:
            raise ConfigError(
                f"pedestrians is {pedestrians}, and the game is {self.game}",
                expected="pedestrians for driving environments only: " + ", ".join(ENVIRONMENTS),
                todo="leave --pedestrians out, or choose another --game",
            )
        if pedestrians not in PEDESTRIANS and not re.fullmatch(r"1(\.0*)?|0?\.\d+|0", pedestrians):
            raise ConfigError(
                f"pedestrians is {pedestrians}",
                expected=f"{', '.join(PEDESTRIANS)}, or the share of distracted crossings, from 0 to 1",
                todo="change --pedestrians",
            )

    def _check_whole(self, least: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name} is {value}", expected=f"a whole number, at least {least}")

    def _check_env_count(self, envs: int) -> None:
        self._check_whole(1, "envs")
        if envs > MAX_ENVS:
            raise ConfigError(f"envs is {envs:,}", expected=f"a whole number from 1 to {MAX_ENVS:,}")


@dataclass(frozen=True)
class DoubleDQNConfig(TrainingConfig):
    """Settings of the training of a dueling double DQN.  The defaults suit two cores without a GPU; in brackets
    those of the original DQN (Mnih et al. 2015), since the paper gives only the number of steps and gamma."""

    n_steps: int = 3
    """Rewards summed before bootstrapping [1]."""
    learning_rate: float = 2e-4
    """Learning rate at the start."""
    final_learning_rate: float = 0.0
    """Learning rate at the end; it falls linearly over all steps."""
    envs: int = 8
    """Environments that run in parallel."""
    updates: int = 1
    """Gradient steps after each step of all environments."""
    batch_size: int = 128
    """Transitions of a gradient step [32]; much of the cost of a step does not depend on their number."""
    average: float = 0.999
    """Decay, per update, of the running average of the weights, which is the policy that is evaluated and exported."""
    buffer_size: int = 100_000
    """Transitions in the replay buffer; about 57 KB each."""
    learning_starts: int = 10_000
    """Decisions before the first update."""
    target_interval: int = 4_000
    """Decisions between two updates of the target network."""
    exploration_steps: int = 80_000
    """Decisions over which epsilon falls linearly from 1 to its final value in each environment."""
    exploration_final: float = 0.01
    """Final epsilon of the greediest environment: the probability of a random action, held for 3 decisions on average."""
    exploration_most: float = 0.2
    """Final epsilon of the most exploring environment; the others are spaced geometrically (Horgan et al. 2018)."""
    precision: Precision = "auto"
    """Number format of the convolutions and hidden layers; auto uses the fastest one on the machine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.game in ENVIRONMENTS:
            raise ConfigError(
                f"a double DQN for {self.game}",
                expected="an Atari game, whose states are small enough for a replay buffer",
                todo="use a2c or acktr for driving environments",
            )
        if self.precision not in get_args(Precision):
            raise ConfigError(f"precision is {self.precision!r}", expected=" or ".join(get_args(Precision)))
        self._check_env_count(self.envs)
        self._check_whole(1, "n_steps", "updates", "batch_size", "buffer_size", "target_interval", "exploration_steps")
        self._check_whole(0, "learning_starts")
        if not 0 <= self.average < 1:
            raise ConfigError(f"average is {self.average}", expected="a number of at least 0 and below 1")
        if not 0 < self.exploration_final <= self.exploration_most <= 1:
            raise ConfigError(
                f"exploration_final is {self.exploration_final}, exploration_most {self.exploration_most}",
                expected="numbers above 0 and at most 1, exploration_final not above exploration_most",
            )
        check_positive(self, "learning_rate")
        if not 0 <= self.final_learning_rate <= self.learning_rate:
            raise ConfigError(
                f"final_learning_rate is {self.final_learning_rate}", expected=f"a number from 0 to {self.learning_rate}"
            )
        capacity = self.buffer_size // self.envs * self.envs  # the same number for each environment
        if self.learning_starts > capacity:
            raise ConfigError(
                f"learning starts after {self.learning_starts:,} transitions, but the buffer holds only {capacity:,}",
                expected="learning_starts at most buffer_size",
                todo="raise buffer_size or lower learning_starts",
            )
        if self.steps <= self.learning_starts:
            raise ConfigError(
                f"{self.steps:,} decisions, but learning starts after {self.learning_starts:,}",
                expected="steps above learning_starts",
                todo="raise steps or lower learning_starts, otherwise nothing is learned",
            )
        if self.buffer_size < self.envs:
            raise ConfigError(f"buffer_size is {self.buffer_size}", expected=f"at least {self.envs}, the number of envs")


@dataclass(frozen=True)
class ActorCriticConfig(TrainingConfig):
    """Settings that A2C and ACKTR share."""

    envs: int = 16
    """Environments that run in parallel."""
    n_steps: int = 5
    """Decisions in each environment between two updates, and rewards summed before bootstrapping."""
    learning_rate: float = 7e-4
    """Learning rate at the start; it falls linearly to 0 over all steps."""
    entropy: float = 0.01
    """Weight of the policy's entropy in the loss."""
    value: float = 0.5
    """Weight of the critic's squared error in the loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_env_count(self.envs)
        self._check_whole(1, "n_steps")
        check_positive(self, "learning_rate", "value")
        if not 0 <= self.entropy < float("inf"):
            raise ConfigError(f"entropy is {self.entropy}", expected="a number of at least 0")


@dataclass(frozen=True)
class A2CConfig(ActorCriticConfig):
    """Settings of the training by A2C (Mnih et al. 2016), with RMSprop."""

    max_grad_norm: float = 0.5
    """Maximum norm of the gradient, which is clipped."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "max_grad_norm")


@dataclass(frozen=True)
class ACKTRConfig(ActorCriticConfig):
    """Settings of the training by ACKTR (Wu et al. 2017). The values of that paper are in brackets where ours suit two cores
    better."""

    n_steps: int = 10
    """Decisions in each environment between two updates, and rewards summed before bootstrapping [20]."""
    learning_rate: float = 0.25
    """Maximum step size along the natural gradient; it falls linearly to 0 over all steps."""
    kl: float = 4e-3
    """Bound on the KL divergence of a step, estimated by the factored Fisher matrix [0.001]."""
    damping: float = 1e-2
    """Added to every eigenvalue of the Fisher matrix."""
    fisher_states: int = 32
    """States of each batch used to estimate the Fisher matrix [all]; its running average spans about 100 batches."""
    inverse_every: int = 10
    """Steps between two inversions of the Fisher matrix."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "kl", "damping")
        self._check_whole(1, "fisher_states", "inverse_every")


def command_of(algorithm: str, config: TrainingConfig, folder: str, threads: int) -> str:
    """The command that repeats this training.  It lists every setting, so that it does not depend on the defaults."""
    settings = {name: value for name, value in dataclasses.asdict(config).items() if value is not None}
    options = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(["weakspot", "train-agent", algorithm, *options, "--threads", str(threads), "--output", folder])
