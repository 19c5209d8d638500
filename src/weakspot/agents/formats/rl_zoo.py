"""The folder of a training with RL Zoo (rl-baselines3-zoo): its agent, its environment and the preprocessing.

See :mod:`weakspot.agents.formats.sb3_files` for the files in it.  The settings are YAML with OrderedDicts and tuples; other
Python objects in them raise an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import yaml

from weakspot.agents.base import Agent
from weakspot.agents.build import resolve_interface
from weakspot.agents.formats.sb3 import load_sb3
from weakspot.agents.formats.sb3_files import is_training, training_files
from weakspot.errors import AgentError, UnknownGameError
from weakspot.games import game_version, resolve_game
from weakspot.interface import Interface
from weakspot.system.files import raise_unless_damage

FRAMES = 4
ATARI_WRAPPER = "AtariWrapper"
USE_FACTORY = "write a function that builds the network with its preprocessing in front, and pass path.py:factory"

LARGEST_SETTINGS = 100_000
"""In bytes, of a file of settings, and in entries."""

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
"""Wrappers that make observations gray, and the entry ``gray`` of a description for each: before gymnasium 1.0 with OpenCV's
weights of the colours (True), since then with gymnasium's own."""


class RLZooFormat:
    """The folder of a training with RL Zoo."""

    name = "rl-zoo"

    def recognises(self, reference: str, trust: bool) -> bool:
        """Whether it is a folder with an ``args.yml`` in one of its subfolders."""
        return is_training(Path(reference).expanduser())

    def load(self, reference: str, *, environment: str | Interface | None, device: torch.device | str, trust: bool) -> Agent:
        """Loads the agent's zip; runs no code in the folder.

        Raises:
            AgentError: see :func:`read_training`.
            WeightsError, MismatchError: see :func:`weakspot.agents.formats.sb3.load_sb3`.
        """
        training = read_training(Path(reference).expanduser())
        interface = resolve_interface(training.archive, environment, training.environment)
        return load_sb3(training.archive, interface, device=device)


FORMAT = RLZooFormat()


@dataclass(frozen=True)
class Training:
    """The agent of a training folder, and its environment.

    Attributes:
        archive: the agent's zip.
        environment: id of the environment it was trained on.
        description: the environment and its preprocessing as the entries of a description (see docs/environments.md); None
            for an Atari game with the usual preprocessing.
    """

    archive: Path
    environment: str
    description: dict[str, Any] | None


def read_training(folder: Path) -> Training:
    """Reads a training folder.

    Args:
        folder: one for which :func:`~weakspot.agents.formats.sb3_files.is_training` is true.

    Raises:
        AgentError: there is no agent in the folder, a file cannot be read, or the agent's observations cannot be reproduced.
    """
    files = training_files(folder)
    arguments = _read(files.arguments)
    environment = arguments.get("env")
    if not isinstance(environment, str) or ":" in environment:  # a module named in a file is not imported
        raise AgentError(
            f"{files.arguments} says env: {environment}",
            expected="the id of an environment, as the training script writes it, without a module",
            todo="name the zip itself, and give the environment",
        )
    if files.archive is None:
        raise AgentError(
            f"{folder} holds no agent",
            expected=f"best_model.zip or {files.default_archive_name}",
            todo="train longer, or name a zip",
        )
    settings = _read(files.settings)
    _check_not_normalised(settings, files.settings)
    make_arguments = arguments.get("env_kwargs")
    if not _is_atari(environment):
        entries = _description(settings, files.settings, environment, make_arguments or {})
        return Training(files.archive, environment, entries)
    _check_atari_preprocessing(settings, files.settings)
    skips_by_itself = environment.startswith("ALE/") or game_version(environment).maximum == 1
    if make_arguments or skips_by_itself:
        raise AgentError(
            f"{files.arguments} says env: {environment}, env_kwargs: {make_arguments}",
            expected="an environment without arguments and without its own frame skip, which is left to AtariWrapper",
            todo="name the zip itself, and describe the environment in a TOML file",
        )
    return Training(files.archive, environment, None)


def _is_atari(environment: str) -> bool:
    try:
        resolve_game(environment)
    except UnknownGameError:
        return False
    return True


def _description(settings: Mapping[str, Any], source: Path, environment: str, make_arguments: object) -> dict[str, Any]:
    """The entries of a description that has the same effect as the wrappers."""
    wrapped: dict[str, Any] = {}
    for name, arguments in _wrappers(settings, source):
        entry = _entry(name, arguments)
        if entry is None or entry[0] in wrapped:
            repeated = " once more" if entry else ""
            raise AgentError(
                f"{source} says env_wrapper: {name} {arguments or ''}".rstrip() + repeated,
                expected=f"each at most once: {', '.join((*SKIPS, *RESIZES, *GRAYS))}",
                todo="name the zip itself, and describe the environment in a TOML file if that can express it",
            )
        wrapped[entry[0]] = entry[1]
    if vec_wrapper := settings.get("vec_env_wrapper"):
        raise AgentError(f"{source} says vec_env_wrapper: {vec_wrapper}", expected="none", todo=USE_FACTORY)
    frames = settings.get("frame_stack") or 1
    return {"id": environment, "frames": frames, "gray": False, "make": make_arguments, **wrapped}


def _entry(name: str, arguments: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The entry of a description that has the same effect as a wrapper, as (key, value); None if there is none."""
    names = set(arguments)
    if name in SKIPS and names <= {"skip"}:
        return "frame_skip", arguments.get("skip", 4)
    if name in RESIZES and names == {"shape"}:
        shape = arguments["shape"]
        return "size", list(cast(Iterable[Any], shape)) if isinstance(shape, list | tuple) else [shape, shape]
    if name in GRAYS and names <= {"keep_dim"}:
        return "gray", GRAYS[name]
    return None


def _wrappers(settings: Mapping[str, Any], source: Path) -> list[tuple[str, dict[str, Any]]]:
    """The names of the wrappers around the environment, each with its arguments."""
    setting: object = settings.get("env_wrapper") or []
    entries = cast(list[object], setting) if isinstance(setting, list) else [setting]
    wrappers: list[tuple[str, dict[str, Any]]] = []
    for entry in entries:
        pairs = cast(dict[object, object], entry).items() if isinstance(entry, dict) else [(entry, None)]
        for name, arguments in pairs:
            if not isinstance(name, str) or not isinstance(arguments or {}, dict):
                raise AgentError(
                    f"{source} says env_wrapper: {setting}",
                    expected="names of wrappers, with arguments by name",
                    todo=USE_FACTORY,
                )
            wrappers.append((name, dict(cast(dict[str, Any], arguments or {}))))
    return wrappers


def _check_not_normalised(settings: Mapping[str, Any], source: Path) -> None:
    normalize = settings.get("normalize")
    if normalize and not re.search(r"norm_obs\W*[:=]\s*False", str(normalize)):
        raise AgentError(
            f"{source} says normalize: {normalize}; RL Zoo normalises images before their channels come first, and current "
            "versions of stable-baselines3 cannot make a CnnPolicy for these",
            expected="an agent without normalised observations",
            todo="if your own script trained it on images normalised by VecNormalize, put vecnormalize.pkl next to the zip "
            "and name the zip itself; otherwise " + USE_FACTORY,
        )


def _check_atari_preprocessing(settings: Mapping[str, Any], source: Path) -> None:
    wrappers = _wrappers(settings, source)
    others = [name for name, arguments in wrappers if arguments or name.split(".")[-1] != ATARI_WRAPPER]
    vec_wrapper = settings.get("vec_env_wrapper")
    if others or vec_wrapper or not wrappers or settings.get("frame_stack") != FRAMES:
        raise AgentError(
            f"{source} says env_wrapper: {settings.get('env_wrapper')}, vec_env_wrapper: {vec_wrapper}, "
            f"frame_stack: {settings.get('frame_stack')}",
            expected=f"stable_baselines3.common.atari_wrappers.{ATARI_WRAPPER} alone, without arguments, and {FRAMES} "
            "frames",
            todo=USE_FACTORY,
        )


class _Loader(yaml.SafeLoader):
    """YAML without Python objects other than OrderedDicts and tuples."""


def _ordered_dict(loader: _Loader, node: yaml.Node) -> dict[str, Any]:
    return dict(*_sequence(loader, node))


def _sequence(loader: _Loader, node: yaml.Node) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise TypeError(f"a list is expected at{node.start_mark}")
    return loader.construct_sequence(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _ordered_dict)
_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _sequence)


def _check_size(content: bytes) -> None:
    """Raises ValueError if settings are large, or become large when every alias is replaced by what it stands for."""
    if len(content) > LARGEST_SETTINGS:
        raise ValueError(f"it has {len(content):,} bytes")
    compose = cast("Callable[..., yaml.Node | None]", yaml.compose)  # pyright: ignore[reportUnknownMemberType]  # its stub
    pending: list[object] = [compose(content, _Loader)]
    for _ in range(LARGEST_SETTINGS):
        if not pending:
            return
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            pending += [part for pair in cast("list[tuple[object, object]]", node.value) for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += cast("list[object]", node.value)
    raise ValueError(f"it stands for more than {LARGEST_SETTINGS:,} entries, or contains itself")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        _check_size(content)
        return dict(yaml.load(content, _Loader))  # a SafeLoader
    except (OSError, yaml.YAMLError, TypeError, ValueError, RecursionError, OverflowError, AttributeError) as error:
        raise_unless_damage(path, error)
        raise AgentError(
            f"{path} cannot be read: {' '.join(str(error).split())[:300]}",
            expected="settings as the training script of RL Zoo writes them, without Python objects in them",
            todo="name the zip itself, and give the environment",
        ) from error
