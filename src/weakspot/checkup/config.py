"""Settings of ``weakspot check-agent``."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.analysis.config import HIGHEST_SEED
from weakspot.errors import ConfigError
from weakspot.options import SaliencyRule


@dataclass(frozen=True)
class CheckConfig:
    """Checks an agent: whether it loads, whether its outputs are sound, and whether it plays as well as you expect."""

    agent: str = "pong-double-dqn"
    """A name from ``weakspot agents``, a file of weights (safetensors, a zip of stable-baselines3, a .cleanrl_model), the
    folder of a training with RL Zoo, or path.py:factory for a module of your own."""
    environment: str | None = None
    """Atari game, such as pong or PongNoFrameskip-v4, a gymnasium id, or a TOML file that describes an environment. Not
    needed if the agent's file names it."""
    trust: bool = False
    """Run code that the agent's file holds: TorchScript, torch.export, or a network that was pickled whole. For a zip of
    stable-baselines3, compare the actions with those of its own predict, which runs the pickles in the zip and in a
    vecnormalize.pkl beside it. Only for files whose maker you trust."""
    score: float | None = None
    """The mean score you expect. Without it, the agent must score more than random play."""
    episodes: int = 8
    """Number of episodes to play."""
    longest: int = 3_000
    """Decisions after which an episode is stopped; it counts with its score so far."""
    seed: int = 20_000
    """Seed of the episodes."""
    saliency: SaliencyRule = "guided"
    """Rule of the agent's saliency, as in `weakspot run`: guided, or gradient."""
    device: str = "cpu"
    """Device of the agent: cpu, cuda."""

    def __post_init__(self) -> None:
        if self.episodes < 2 or self.longest < 1:
            raise ConfigError(
                f"{self.episodes} episodes of at most {self.longest} decisions", expected="at least 2 episodes of at least 1"
            )
        if not 0 <= self.seed < HIGHEST_SEED - 2 * self.episodes:
            raise ConfigError(
                f"seed {self.seed}", expected=f"at least 0, and less than {HIGHEST_SEED - 2 * self.episodes:,}"
            )
