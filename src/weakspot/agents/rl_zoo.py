"""The folder that a training with RL Zoo (rl-baselines3-zoo) leaves: which agent is in it, and what it was trained on.

    DQN/PongNoFrameskip-v4_1/best_model.zip                       the best of the evaluations, where there were any
    DQN/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip               the last
    DQN/PongNoFrameskip-v4_1/PongNoFrameskip-v4/args.yml          arguments: the environment
    DQN/PongNoFrameskip-v4_1/PongNoFrameskip-v4/config.yml        settings: wrappers, frames, normalisation

The files are YAML with an OrderedDict or two in them; any other Python object in them is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from weakspot.errors import AgentError

FRAMES = 4
WRAPPERS = ("AtariWrapper",)


@dataclass(frozen=True)
class Training:
    """A training's folder.

    Attributes:
        archive: the agent's zip.
        environment: id of what it was trained on.
    """

    archive: Path
    environment: str


def is_training(folder: Path) -> bool:
    """Whether a folder looks like one of these."""
    return folder.is_dir() and any(folder.glob("*/args.yml"))


def read_training(folder: Path) -> Training:
    """What a folder holds.

    Raises:
        AgentError: there is no agent in it, a file cannot be read, or the agent was trained on observations that are
            not four gray frames of 84x84.
    """
    described = next(iter(sorted(folder.glob("*/args.yml")))).parent
    arguments = _read(described / "args.yml")
    environment = arguments.get("env")
    if not isinstance(environment, str):
        raise AgentError(
            f"{described / 'args.yml'} does not tell an environment",
            expected="env, as the training script writes it",
            todo="name the zip itself, and give the environment",
        )
    checkpoints = [path for path in folder.glob("rl_model_*_steps.zip") if path.stem.split("_")[2].isdigit()]
    latest = sorted(checkpoints, key=lambda path: int(path.stem.split("_")[2]), reverse=True)
    archives = [folder / "best_model.zip", folder / f"{described.name}.zip", *latest]
    found = next((path for path in archives if path.is_file()), None)
    if found is None:
        raise AgentError(
            f"{folder} holds no agent",
            expected=f"best_model.zip or {described.name}.zip",
            todo="train longer, or name a zip",
        )
    _check(_read(described / "config.yml"), described / "config.yml")
    if arguments.get("env_kwargs") or environment.startswith("ALE/"):
        raise AgentError(
            f"{described / 'args.yml'} says env: {environment}, env_kwargs: {arguments.get('env_kwargs')}",
            expected="an environment without arguments, and one that leaves the skipping of frames to AtariWrapper",
            todo="name the zip itself, and describe the environment in a TOML file",
        )
    return Training(found, environment)


def _check(settings: dict[str, Any], source: Path) -> None:
    todo = "write a function that builds the network with its preprocessing in front, and name it as path.py:factory"
    normalize = settings.get("normalize")
    if normalize and not re.search(r"norm_obs\W*[:=]\s*False", str(normalize)):
        raise AgentError(
            f"{source} says normalize: {settings['normalize']}, so the agent saw observations scaled by running statistics, "
            "which are in a pickle (vecnormalize.pkl)",
            expected="an agent that sees the frames as they are",
            todo=todo,
        )
    given = settings.get("env_wrapper") or []
    wrappers = [given] if isinstance(given, str) else given
    other = [wrapper for wrapper in wrappers if str(wrapper).split(".")[-1] not in WRAPPERS]
    around = settings.get("vec_env_wrapper")
    if other or around or not wrappers or settings.get("frame_stack") != FRAMES:
        raise AgentError(
            f"{source} says env_wrapper: {wrappers}, vec_env_wrapper: {around}, frame_stack: {settings.get('frame_stack')}",
            expected=f"stable_baselines3.common.atari_wrappers.AtariWrapper alone, as it is, and {FRAMES} frames",
            todo=todo,
        )


class _Loader(yaml.SafeLoader):
    """YAML without Python objects, OrderedDicts and tuples aside."""


def _ordered(loader: _Loader, node: yaml.Node) -> dict[str, Any]:
    assert isinstance(node, yaml.SequenceNode)
    return dict(*loader.construct_sequence(node, deep=True))


def _row(loader: _Loader, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _ordered)
_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _row)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(), _Loader)  # (a SafeLoader)
        return dict(content)
    except (OSError, yaml.YAMLError, TypeError, ValueError, AssertionError) as error:
        raise AgentError(
            f"{path} cannot be read: {' '.join(str(error).split())}",
            expected="settings as the training script of RL Zoo writes them, without Python objects in them",
            todo="name the zip itself, and give the environment",
        ) from error
