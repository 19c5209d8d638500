"""weakspot: shows where a trained deep RL agent that sees images is weak.

    import weakspot as ws
    from pathlib import Path

    config = ws.RunConfig(agent="pong-double-dqn", output=Path("runs/pong"), targets=("T-", "LEFT"))
    report = ws.Pipeline(config).run()          # collect, train, synthesize, analyse, report

Everything that the stages are made of is public under its own module; the names here are those most programs need.
"""

from weakspot.agents.base import Agent, AgentOutput, Perceiver
from weakspot.agents.load import load_agent
from weakspot.config import RunConfig
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset
from weakspot.envs.driving.registration import register
from weakspot.errors import WeakspotError
from weakspot.pipeline import Pipeline
from weakspot.search.algorithm_1 import synthesize
from weakspot.search.config import SynthesisConfig
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.model import StateModel
from weakspot.state_model.train import train

__all__ = [
    "Agent",
    "AgentOutput",
    "CollectConfig",
    "Perceiver",
    "Pipeline",
    "RunConfig",
    "StateDataset",
    "StateModel",
    "SynthesisConfig",
    "TrainConfig",
    "WeakspotError",
    "collect",
    "load_agent",
    "synthesize",
    "train",
]

register()
