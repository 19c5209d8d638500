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

from weakspot.errors import AgentError, UnknownGameError
from weakspot.games import resolve_game

FRAMES = 4
WRAPPERS = ("AtariWrapper",)


@dataclass(frozen=True)
class Training:
    """A training's folder.

    Attributes:
        archive: the agent's zip.
        environment: id of what it was trained on.
        shown: how that was made and shown, as the entries of a description (see docs/environments.md); None for an Atari
            game, which is shown as usual.
    """

    archive: Path
    environment: str
    shown: dict[str, Any] | None


def is_training(folder: Path) -> bool:
    """Whether a folder looks like one of these."""
    return folder.is_dir() and any(folder.glob("*/args.yml"))


def read_training(folder: Path) -> Training:
    """What a folder holds.

    Raises:
        AgentError: there is no agent in it, a file cannot be read, or the agent was trained on observations that cannot
            be made here.
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
    settings, source = _read(described / "config.yml"), described / "config.yml"
    _check_normalised(settings, source)
    if not _is_atari(environment):
        return Training(found, environment, _shown(settings, source, environment, arguments.get("env_kwargs") or {}))
    _check_atari(settings, source)
    if arguments.get("env_kwargs") or environment.startswith("ALE/"):
        raise AgentError(
            f"{described / 'args.yml'} says env: {environment}, env_kwargs: {arguments.get('env_kwargs')}",
            expected="an environment without arguments, and one that leaves the skipping of frames to AtariWrapper",
            todo="name the zip itself, and describe the environment in a TOML file",
        )
    return Training(found, environment, None)


def _is_atari(environment: str) -> bool:
    try:
        resolve_game(environment)
    except UnknownGameError:
        return False
    return True


def _shown(settings: dict[str, Any], source: Path, environment: str, make: dict[str, Any]) -> dict[str, Any]:
    """The entries of a description that say what the wrappers did."""
    shown: dict[str, Any] = {"id": environment, "frames": settings.get("frame_stack") or 1, "gray": False, "size": None}
    shown["make"] = make
    for name, told in _wrappers(settings):
        kind = name.split(".")[-1].removeprefix("YAMLCompat").lower()
        if kind == "frameskip" and set(told) <= {"skip"}:
            shown["frame_skip"] = told.get("skip", 4)
        elif kind == "resizeobservation" and set(told) == {"shape"}:
            side = told["shape"]
            shown["size"] = (side, side) if isinstance(side, int) else tuple(side)
        elif kind == "grayscaleobservation" and set(told) <= {"keep_dim"}:
            shown["gray"] = True
        else:
            raise AgentError(
                f"{source} says env_wrapper: {name} {told or ''}".rstrip(),
                expected="FrameSkip, ResizeObservation and GrayscaleObservation, or none",
                todo="name the zip itself, and describe the environment in a TOML file if that can say it",
            )
    if around := settings.get("vec_env_wrapper"):
        raise AgentError(f"{source} says vec_env_wrapper: {around}", expected="none", todo=TODO)
    return shown


def _wrappers(settings: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The wrappers around an environment by their names, each with what it was told, the innermost first."""
    given = settings.get("env_wrapper") or []
    wrappers = []
    for wrapper in [given] if isinstance(given, str | dict) else given:
        pairs = wrapper.items() if isinstance(wrapper, dict) else [(wrapper, {})]
        wrappers += [(str(name), dict(told or {})) for name, told in pairs]
    return wrappers


TODO = "write a function that builds the network with its preprocessing in front, and name it as path.py:factory"


def _check_normalised(settings: dict[str, Any], source: Path) -> None:
    normalize = settings.get("normalize")
    if normalize and not re.search(r"norm_obs\W*[:=]\s*False", str(normalize)):
        raise AgentError(
            f"{source} says normalize: {settings['normalize']}, so the agent saw observations scaled by running statistics, "
            "which are in a pickle (vecnormalize.pkl)",
            expected="an agent that sees the frames as they are",
            todo=TODO,
        )


def _check_atari(settings: dict[str, Any], source: Path) -> None:
    given = settings.get("env_wrapper") or []
    wrappers = [given] if isinstance(given, str) else given
    other = [wrapper for wrapper in wrappers if str(wrapper).split(".")[-1] not in WRAPPERS]
    around = settings.get("vec_env_wrapper")
    if other or around or not wrappers or settings.get("frame_stack") != FRAMES:
        raise AgentError(
            f"{source} says env_wrapper: {wrappers}, vec_env_wrapper: {around}, frame_stack: {settings.get('frame_stack')}",
            expected=f"stable_baselines3.common.atari_wrappers.AtariWrapper alone, as it is, and {FRAMES} frames",
            todo=TODO,
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
