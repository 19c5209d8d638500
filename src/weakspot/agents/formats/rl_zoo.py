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
WAY_OUT = "write a function that builds the network with its preprocessing in front, and name it as path.py:factory"


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
    if not isinstance(environment, str) or ":" in environment:  # a module that a file names is not imported
        raise AgentError(
            f"{described / 'args.yml'} says env: {environment}",
            expected="the id of an environment, as the training script writes it, without a module",
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


SKIPS = ("rl_zoo3.wrappers.FrameSkip",)
RESIZES = (
    "rl_zoo3.wrappers.YAMLCompatResizeObservation",
    "gymnasium.wrappers.ResizeObservation",
    "gymnasium.wrappers.resize_observation.ResizeObservation",
    "gymnasium.wrappers.transform_observation.ResizeObservation",
)
GRAYS = {
    "gymnasium.wrappers.GrayScaleObservation": True,
    "gymnasium.wrappers.gray_scale_observation.GrayScaleObservation": True,
    "gymnasium.wrappers.GrayscaleObservation": [0.2125, 0.7154, 0.0721],
    "gymnasium.wrappers.transform_observation.GrayscaleObservation": [0.2125, 0.7154, 0.0721],
}
"""As gymnasium had it before 1.0, with OpenCV's weights of the colours, and since, with weights of its own."""


def _shown(settings: dict[str, Any], source: Path, environment: str, make: Any) -> dict[str, Any]:
    """The entries of a description that say what the wrappers did."""
    wrapped: dict[str, Any] = {}
    for name, told in _wrappers(settings, source):
        entry = _entry(name, told)
        if entry is None or entry[0] in wrapped:
            raise AgentError(
                f"{source} says env_wrapper: {name} {told or ''}".rstrip() + (" once more" if entry else ""),
                expected=f"each at most once: {', '.join((*SKIPS, *RESIZES, *GRAYS))}",
                todo="name the zip itself, and describe the environment in a TOML file if that can say it",
            )
        wrapped[entry[0]] = entry[1]
    if around := settings.get("vec_env_wrapper"):
        raise AgentError(f"{source} says vec_env_wrapper: {around}", expected="none", todo=WAY_OUT)
    return {"id": environment, "frames": settings.get("frame_stack") or 1, "gray": False, "make": make, **wrapped}


def _entry(name: str, told: dict[str, Any]) -> tuple[str, Any] | None:
    """The entry of a description that says what a wrapper did; None where none does."""
    if name in SKIPS and set(told) <= {"skip"}:
        return "frame_skip", told.get("skip", 4)
    if name in RESIZES and set(told) == {"shape"}:
        side = told["shape"]
        return "size", list(side) if isinstance(side, list | tuple) else [side, side]
    if name in GRAYS and set(told) <= {"keep_dim"}:
        return "gray", GRAYS[name]
    return None


def _wrappers(settings: dict[str, Any], source: Path) -> list[tuple[str, dict[str, Any]]]:
    """The wrappers around an environment by their names, each with what it was told."""
    given = settings.get("env_wrapper") or []
    wrappers = []
    for wrapper in given if isinstance(given, list) else [given]:
        pairs = wrapper.items() if isinstance(wrapper, dict) else [(wrapper, {})]
        for name, told in pairs:
            if not isinstance(name, str) or not isinstance(told or {}, dict):
                raise AgentError(
                    f"{source} says env_wrapper: {given}", expected="names of wrappers, with arguments by name", todo=WAY_OUT
                )
            wrappers.append((name, dict(told or {})))
    return wrappers


def _check_normalised(settings: dict[str, Any], source: Path) -> None:
    normalize = settings.get("normalize")
    if normalize and not re.search(r"norm_obs\W*[:=]\s*False", str(normalize)):
        raise AgentError(
            f"{source} says normalize: {settings['normalize']}; RL Zoo scales pictures before their channels come first, "
            "and of such today's stable-baselines3 makes no CnnPolicy",
            expected="an agent that saw the frames as they are",
            todo="if a script of yours trained it on pictures that VecNormalize scaled, put vecnormalize.pkl beside the zip "
            "and name the zip itself; otherwise " + WAY_OUT,
        )


def _check_atari(settings: dict[str, Any], source: Path) -> None:
    wrappers = _wrappers(settings, source)
    other = [name for name, told in wrappers if told or name.split(".")[-1] not in WRAPPERS]
    around = settings.get("vec_env_wrapper")
    if other or around or not wrappers or settings.get("frame_stack") != FRAMES:
        raise AgentError(
            f"{source} says env_wrapper: {settings.get('env_wrapper')}, vec_env_wrapper: {around}, "
            f"frame_stack: {settings.get('frame_stack')}",
            expected=f"stable_baselines3.common.atari_wrappers.AtariWrapper alone, as it is, and {FRAMES} frames",
            todo=WAY_OUT,
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
