"""Settings of ``weakspot check-agent``."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.analysis.config import MAX_SEED
from weakspot.errors import ConfigError
from weakspot.options import SaliencyRule


@dataclass(frozen=True)
class CheckConfig:
    """Checks an agent: whether it loads, whether its outputs are sound, and whether it plays as well as you expect.

    Attributes:
        agent: A name that `weakspot agents` lists, a file of weights (safetensors, stable-baselines3 zip, .cleanrl_model),
            the folder of an RL Zoo training, or path.py:factory for a PyTorch module of your own.
        environment: An Atari game, such as pong or PongNoFrameskip-v4, a gymnasium id, or a TOML file that describes an
            environment. Not needed if the agent's file names it.
        trust: Allow code in the agent's file to run: TorchScript, torch.export, or a network that was pickled whole. For a
            stable-baselines3 zip, compare the actions with those of its own predict, which runs the pickles in the zip and
            in a vecnormalize.pkl next to it. Only for files from a source you trust.
        score: The mean score you expect. By default, the agent must score more than random play, and other ranges, orders
            and interpolations of its observations are tried in any case.
        episodes: Number of episodes to play.
        most: Episodes are added until it is clear whether the agent plays as expected, up to this many.
        longest: Maximum number of decisions in an episode; longer episodes are truncated and count with the score so far.
        seed: Seed of the episodes.
        saliency: Saliency rule to check, as in `weakspot run`: guided or gradient.
        device: Device of the agent: cpu or cuda.

    Raises:
        ConfigError: a value is out of range.
    """

    agent: str = "pong-double-dqn"
    environment: str | None = None
    trust: bool = False
    score: float | None = None
    episodes: int = 8
    most: int = 32
    longest: int = 3_000
    seed: int = 20_000
    saliency: SaliencyRule = "guided"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.episodes < 2 or self.longest < 1:
            raise ConfigError(
                f"{self.episodes} episodes of at most {self.longest} decisions",
                expected="at least 2 episodes of at least 1",
                todo="raise --episodes or --longest",
            )
        beyond = MAX_SEED - self.most - 4 * self.episodes
        if not 0 <= self.seed < beyond:
            raise ConfigError(f"seed {self.seed}", expected=f"at least 0, and less than {beyond:,}")
