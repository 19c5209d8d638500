"""The recorded play as a data set of Minari, for offline reinforcement learning.

Observations are single frames as they were recorded, at the size that the agent sees, before they are stacked and turned
gray; they are stored without loss. Minari needs an observation after the last action. That of an episode that terminated was
not recorded: its last frame is there twice, and no method that respects terminations looks at it. Where an episode was cut
off, by a time limit or by the end of the recording, the last action is left out instead.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weakspot.artifacts.run import Run
from weakspot.errors import RunError, missing_extra
from weakspot.system.files import refuse_links, storage_errors
from weakspot.system.locks import waiting_lock
from weakspot.system.progress import say
from weakspot.system.provenance import public_version

if TYPE_CHECKING:
    from weakspot.data.dataset import StateDataset

NAMESPACE, FOLDER = "weakspot", "MINARI_DATASETS_PATH"
"""Of the data set's name; and the environment variable that names the folder in which Minari looks for data sets."""
WRITING = ".writing-"
"""Start of the name of a folder that is being written."""


def write_minari(folder: Path, run: Run) -> str:
    """Writes the states that a run recorded as a Minari data set below ``folder``, in place of an earlier one.

    Returns:
        The name of the data set, such as ``weakspot/pong-double-dqn-v0``; Minari finds it with the environment variable
        ``MINARI_DATASETS_PATH`` set to ``folder``.

    Raises:
        ConfigError: Minari is not installed.
        RunError: the run has no recorded states, or no two of them are from one episode.
        StorageError: the folder cannot be written.
    """
    for package in ("minari", "h5py"):  # Minari imports the second one only when it writes
        try:
            import_module(package)
        except ModuleNotFoundError as error:
            raise missing_extra(package, "minari") from error
    dataset = _recorded(run)
    name = f"{NAMESPACE}/{re.sub(r'[^A-Za-z0-9_-]+', '-', run.agent.name).strip('-') or 'agent'}-v0"
    target = folder / name
    refuse_links(folder, target)
    with waiting_lock(folder / ".lock", lambda: say("another process is writing this data set; waiting for it")):
        for left in folder.glob(f"{WRITING}*"):  # by an export that was killed
            shutil.rmtree(left, ignore_errors=True)
        with storage_errors(folder), tempfile.TemporaryDirectory(dir=folder, prefix=WRITING) as temporary:
            with _datasets_in(Path(temporary)):
                _write(name, dataset, run)
            target.parent.mkdir(exist_ok=True)
            for description in (Path(temporary) / NAMESPACE).glob("*.json"):
                description.replace(target.parent / description.name)
            if target.exists():
                target.replace(Path(temporary) / "before")
            (Path(temporary) / name).replace(target)
    return name


def _recorded(run: Run) -> StateDataset:
    from weakspot.data.dataset import StateDataset

    if "collect" not in run.entries:
        raise RunError(f"{run.folder} has no recorded states", expected="a run with its stage collect")
    return StateDataset.open(run.entries["collect"].folder)


@contextmanager
def _datasets_in(folder: Path) -> Generator[None]:
    """Lets Minari write to a folder, and keeps it quiet about what a data set without its environment does not have."""
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            del os.environ[FOLDER]
        else:
            os.environ[FOLDER] = before


def _write(name: str, dataset: StateDataset, run: Run) -> None:
    """Writes one episode after the other, so that memory does not grow with the data set."""
    from gymnasium.spaces import Box, Discrete

    create: Any = import_module("minari").create_dataset_from_buffers

    environment = run.environment
    if environment.action_bounds is None:
        actions: Any = Discrete(len(environment.action_names))
    else:
        low, high = np.array(environment.action_bounds, np.float32).T
        actions = Box(low, high, dtype=np.float32)
    written: Any = None
    for episode in episodes(dataset):
        if written is None:
            written = create(
                name, [episode], action_space=actions, description=_description(run), algorithm_name=run.agent.name,
                observation_space=Box(0, 255, (environment.height, environment.width, environment.channels), np.uint8),
                jpeg_encoding=False,
            )  # fmt: skip
        else:
            written.update_dataset_from_buffer([episode])
    if written is None:
        raise RunError("the recorded states have no two states of one episode", todo="collect more frames in fewer streams")


def episodes(dataset: StateDataset) -> Iterator[Any]:
    """The recorded play as Minari's buffers, one episode or part of one each, in the order of the states."""
    buffer: Any = import_module("minari.data_collector").EpisodeBuffer
    ends = dataset.terminated | dataset.truncated
    for stream in range(dataset.streams):
        first, stop = stream * dataset.steps, (stream + 1) * dataset.steps
        last = [*(first + np.flatnonzero(ends[first:stop])).tolist(), stop - 1]
        starts = [first, *(index + 1 for index in last[:-1])]
        for start, end in zip(starts, last, strict=True):
            if start > end:
                continue
            terminated = bool(dataset.terminated[end])
            frames = dataset.newest(np.arange(start, end + 1))
            taken = slice(start, end + 1) if terminated else slice(start, end)
            count = taken.stop - taken.start
            if count:
                is_last = np.arange(count) == count - 1
                yield buffer(
                    observations=np.concatenate([frames, frames[-1:]]) if terminated else frames,
                    actions=dataset.action[taken],
                    rewards=dataset.reward[taken],
                    terminations=is_last & terminated,
                    truncations=is_last & (not terminated),
                    infos={"explored": dataset.explored[taken], "life_lost": dataset.life_lost[taken]},
                )


def _description(run: Run) -> str:
    environment, epsilon = run.environment, run.collection.epsilon if run.collection else 0.0
    return (
        f"Play of the agent {run.agent.name} in {environment.id}, recorded by weakspot {public_version('weakspot')} with "
        f"{100 * epsilon:g} % random actions (info explored). Observations are single frames, of which the agent sees "
        f"{environment.frames} at a time; preprocessing: {environment.preprocessing}. Actions: "
        f"{', '.join(environment.action_names)}. The frame after the last action of an episode that terminated was not "
        "recorded and is the one before it."
    )
