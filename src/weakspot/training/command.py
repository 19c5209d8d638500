"""``weakspot train-agent``: trains the agents of the experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import torch
import tyro

from weakspot.errors import ConfigError
from weakspot.system.progress import say
from weakspot.training.algorithms import algorithm_of
from weakspot.training.arenas import arena_of
from weakspot.training.config import A2CConfig, ACKTRConfig, DoubleDQNConfig
from weakspot.training.train import train

Chosen: TypeAlias = (
    Annotated[DoubleDQNConfig, tyro.conf.subcommand("double-dqn")]
    | Annotated[A2CConfig, tyro.conf.subcommand("a2c")]
    | Annotated[ACKTRConfig, tyro.conf.subcommand("acktr")]
)


@tyro.conf.configure(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
def train_agent(config: Chosen, output: Path | None = None, threads: int = 1) -> None:
    """Trains an agent on an Atari game or in the town.  This takes hours.  After a kill, the same command resumes.

    Args:
        config: the algorithm and its settings.
        output: Folder of the training; runs/ALGORITHM-GAME-SEED by default.
        threads: Number of threads for tensor operations; a second one helps if nothing else runs on its core.
    """
    if threads < 1:
        raise ConfigError(f"threads is {threads}", expected="a whole number, at least 1")
    torch.set_num_threads(threads)
    folder = (
        output or Path("runs") / f"{algorithm_of(config)}-{arena_of(config.game, config.pedestrians).name}-{config.seed}"
    )
    agent = train(config, folder, say)
    say(f"agent: {agent}")
