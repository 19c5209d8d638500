"""``weakspot train-agent``: trains the agents of the experiments."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from weakspot.progress import say
from weakspot.training.config import DoubleDQNConfig
from weakspot.training.train_double_dqn import train


def train_agent(
    algorithm: tyro.conf.Positional[Literal["double-dqn"]],
    config: Annotated[DoubleDQNConfig, tyro.conf.arg(name="")],
    output: Path | None = None,
    threads: int = 1,
) -> None:
    """Trains an agent on an Atari game; hours of work, which the same command goes on with after a kill.

    Args:
        algorithm: double-dqn, the dueling double DQN of the paper's section 4.1.
        config: its settings.
        output: the training's folder, runs/ALGORITHM-GAME-SEED by default.
        threads: of the tensor work; a second one pays where nothing else runs on its core.
    """
    torch.set_num_threads(threads)
    folder = output or Path("runs") / f"{algorithm}-{config.game}-{config.seed}"
    agent = train(config, folder, say, command=shlex.join(["weakspot", *sys.argv[1:]]))
    say(f"agent: {agent}")
