"""``weakspot train-agent``: trains the agents of the experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import torch
import tyro

from weakspot.system.progress import say
from weakspot.training.algorithms import algorithm_of
from weakspot.training.arenas import arena_of
from weakspot.training.config import A2CConfig, ACKTRConfig, CommandConfig, DoubleDQNConfig
from weakspot.training.train import train

Chosen: TypeAlias = (
    Annotated[DoubleDQNConfig, tyro.conf.subcommand("double-dqn")]
    | Annotated[A2CConfig, tyro.conf.subcommand("a2c")]
    | Annotated[ACKTRConfig, tyro.conf.subcommand("acktr")]
)

DEFAULT = CommandConfig()


@tyro.conf.configure(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
def train_agent(config: Chosen, command: CommandConfig = DEFAULT) -> None:
    """Trains an agent on an Atari game or in the town.  This takes hours.  After a kill, the same command resumes.

    Args:
        config: the algorithm and its settings.
        command: folder and threads.
    """
    torch.set_num_threads(command.threads)
    arena = arena_of(config.game, config.pedestrians).name
    folder = command.output or Path("runs") / f"{algorithm_of(config)}-{arena}-{config.seed}"
    say(f"agent: {train(config, folder, say)}")
