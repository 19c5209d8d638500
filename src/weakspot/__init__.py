"""weakspot: finds weaknesses of trained deep RL agents that see images.

    import weakspot as ws

    run = ws.Pipeline(ws.RunConfig(agent="pong-double-dqn", output="runs/pong", targets=("T-", "LEFT"))).run()
    run = ws.load_run("runs/pong")              # reads the same results, without torch and without the agent
    run.findings["T-"].states                   # (n, k, h, w, c), uint8

The driving environments are registered with gymnasium if it was imported before weakspot; otherwise call
:func:`register`.

All modules are public; the names here are those that most programs need. Each is imported on first access, so that
``import weakspot`` is fast.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weakspot.agents.base import Agent, AgentOutput, Perceiver
    from weakspot.agents.load import load_agent
    from weakspot.artifacts.run import Run, load_run
    from weakspot.config import RunConfig
    from weakspot.data.config import CollectConfig
    from weakspot.data.dataset import StateDataset
    from weakspot.envs.driving.registration import register
    from weakspot.errors import WeakspotError
    from weakspot.pipeline import Pipeline
    from weakspot.search.config import SynthesisConfig
    from weakspot.state_model.config import TrainConfig
    from weakspot.state_model.model import StateModel

_MODULES = {
    "Agent": "agents.base",
    "AgentOutput": "agents.base",
    "CollectConfig": "data.config",
    "Perceiver": "agents.base",
    "Pipeline": "pipeline",
    "Run": "artifacts.run",
    "RunConfig": "config",
    "StateDataset": "data.dataset",
    "StateModel": "state_model.model",
    "SynthesisConfig": "search.config",
    "TrainConfig": "state_model.config",
    "WeakspotError": "errors",
    "load_agent": "agents.load",
    "load_run": "artifacts.run",
    "register": "envs.driving.registration",
}

__all__ = [
    "Agent",
    "AgentOutput",
    "CollectConfig",
    "Perceiver",
    "Pipeline",
    "Run",
    "RunConfig",
    "StateDataset",
    "StateModel",
    "SynthesisConfig",
    "TrainConfig",
    "WeakspotError",
    "load_agent",
    "load_run",
    "register",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


if "gymnasium" in sys.modules:  # as in gymnasium.make("weakspot:weakspot/Drive-v0")
    __getattr__("register")()
