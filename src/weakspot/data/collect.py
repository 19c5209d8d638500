"""Plays an agent and stores the states it visits (paper, section 3: an epsilon-greedy policy fills the data set)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weakspot.actions import Action
from weakspot.agents.base import Agent, AgentOutput, AgentSpec, choose_with_greedy
from weakspot.agents.recurrent import Carried
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset
from weakspot.data.shards import (
    FOLLOWING,
    FORMAT,
    VERSION,
    ShardContent,
    ShardIndex,
    check_content,
    frames_file,
    index_file,
    read_following,
    read_index,
    read_meta,
    read_snapshot,
    snapshots_file,
    steps_file,
    write_shard,
)
from weakspot.envs.base import Environment, EnvironmentSpec
from weakspot.envs.parallel import ParallelEnvironments
from weakspot.errors import DatasetError, MismatchError, OutputError, RewardError, RunMismatchError
from weakspot.system.files import make_folder, remove_temporary, storage_errors, temporary_files, write_json


def collect(
    agent: Agent,
    environment_factory: Callable[[], Environment],
    config: CollectConfig,
    folder: str | Path,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> StateDataset:
    """Plays ``agent`` in ``config.streams`` environments and stores the states it visits.

    If the process was killed, the same call continues after the last complete shard, and the result is the same bit for bit.
    A finished collection is only opened.

    Args:
        agent: the agent that plays.
        environment_factory: makes one environment; called once per stream, in forked processes.
        config: number of states, exploration, and seed.
        folder: where the states are stored; created if it does not exist.
        progress: called with (states so far, states in total) after each step of all streams.
        workers: number of processes, by default one per core; the states do not depend on it.

    Returns:
        The stored states.

    Raises:
        MismatchError: the agent's actions or observation shape do not match the environment.
        OutputError: the agent returned NaN or a wrong shape.
        DatasetError: the folder holds states of another agent, or something else.
        RewardError: the environment returned a reward that is not finite.
        RunMismatchError: the folder was collected with other settings or in another environment.
        StorageError: the disk is full or read-only.
    """
    folder = make_folder(Path(folder))
    environment = environment_factory().spec
    check_fit(agent.spec, environment)
    _prepare_folder(folder, _meta(agent.spec, environment, config))
    complete = _complete_shards(folder, config)
    if not complete or complete[-1].stop < config.steps:
        with ParallelEnvironments(environment_factory, environment, config.streams, workers) as environments:
            player = _Player(agent, environments, environment.id, config)
            if complete:
                player.resume(folder, len(complete) - 1, complete[-1])
            else:
                player.start()
            _record(player, config, folder, len(complete), progress)
    return StateDataset.open(folder)


def check_fit(agent: AgentSpec, environment: EnvironmentSpec) -> None:
    """Raises :class:`MismatchError` if the agent's actions or observation shape do not match the environment."""
    seen = (len(agent.action_names), agent.observation_shape)
    expected = (len(environment.action_names), environment.observation_shape)
    if agent.action_bounds != environment.action_bounds:
        kinds = [
            f"between {bounds}" if bounds else "discrete" for bounds in (agent.action_bounds, environment.action_bounds)
        ]
        raise MismatchError(
            f"the actions of agent {agent.name!r} (made for {agent.environment}) are {kinds[0]}",
            expected=f"{kinds[1]}, like those of {environment.id}",
            todo="choose the environment the agent was trained in",
        )
    if seen != expected:
        raise MismatchError(
            f"agent {agent.name!r} (made for {agent.environment}) has {seen[0]} actions and takes observations of shape "
            f"{seen[1]}",
            expected=f"{environment.id} has {expected[0]} actions and observations of shape {expected[1]}",
            todo="choose the environment the agent was trained in, with the same preprocessing",
        )


class _Player:
    """Plays the agent in all environments, and holds the random state of its actions.

    Attributes:
        time: steps so far, of each stream.
    """

    def __init__(self, agent: Agent, environments: ParallelEnvironments, environment: str, config: CollectConfig) -> None:
        self._agent, self._environments, self._environment = agent, environments, environment
        self._config = config
        self._generator = torch.Generator().manual_seed(config.seed)
        self._carried = Carried(agent, config.streams)
        self._ages = np.zeros(config.streams, np.int32)
        self._snapshots: list[bytes] = []
        self.time = 0

    def start(self) -> None:
        """Resets every environment, each with its own seed."""
        seeds = np.random.SeedSequence(self._config.seed).generate_state(self._config.streams) >> 1
        self._environments.reset(seeds.tolist())

    def resume(self, folder: Path, shard: int, index: ShardIndex) -> None:
        """Restores the end of a shard."""
        self._snapshots = [read_snapshot(folder, shard, entry) for entry in index.resume]
        self._environments.restore(self._snapshots)
        self._carried.place(np.arange(self._config.streams), read_following(folder, shard))
        self._ages[:] = index.ages
        self._generator.set_state(torch.frombuffer(bytearray.fromhex(index.generator), dtype=torch.uint8))
        self.time = index.stop

    def shard(self, length: int, progress: Callable[[int], None]) -> ShardContent:
        """Plays ``length`` steps of every stream, and calls ``progress`` with the number of states so far."""
        start, current, streams = self.time, self._environments.current, self._config.streams
        frames = np.empty((streams, length, *current.frames.shape[1:]), np.uint8)
        rows: list[dict[str, np.ndarray]] = []
        snapshots: dict[tuple[int, int], bytes] = {}
        for step in range(length):
            if self.time % self._config.snapshot_every == 0:
                snapshots |= {(stream, self.time): snapshot for stream, snapshot in enumerate(self._take_snapshots())}
            frames[:, step] = current.frames
            rows.append(self._advance())
            progress(self.time * streams)
        return ShardContent(
            start=start,
            frames=frames,
            columns={name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]} | self._following(),
            snapshots=snapshots,
            resume=self._take_snapshots(),
            ages=self._ages.tolist(),
            generator=self._generator.get_state().numpy().tobytes().hex(),
        )

    def _take_snapshots(self) -> list[bytes]:
        """Snapshots of all environments; taken only once between two steps, though a shard's end and start both use them."""
        self._snapshots = self._snapshots or self._environments.snapshot()
        return self._snapshots

    def _following(self) -> dict[str, np.ndarray]:
        """The hidden states after the shard, for the next one."""
        hidden = self._carried.hidden
        return {} if hidden is None else {FOLLOWING: hidden[:, None]}

    def _advance(self) -> dict[str, np.ndarray]:
        current, self._snapshots = self._environments.current, []
        row, actions = self._act(current.observations)
        row |= {"age": self._ages.copy(), "ram": current.ram.copy()}
        self._environments.step(actions)
        self._check_rewards(current.reward)
        row |= {name: getattr(current, name).copy() for name in ("reward", "terminated", "truncated", "life_lost")}
        self._carried.restart(row["terminated"] | row["truncated"])
        self._ages = np.where(row["terminated"] | row["truncated"], 0, self._ages + 1).astype(np.int32)
        self.time += 1
        return row

    def _check_rewards(self, rewards: np.ndarray) -> None:
        if np.isfinite(rewards).all():
            return
        stream = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise RewardError(
            f"{self._environment} returned the reward {rewards[stream]} in stream {stream}, step {self.time}",
            expected="a finite number of single precision",
            todo="correct the environment's rewards",
        )

    def _act(self, observations: np.ndarray) -> tuple[dict[str, np.ndarray], Sequence[Action]]:
        """Columns and actions for one step of all streams."""
        self._carried.see(self._environments.current.entries)
        hidden = self._carried.hidden
        with torch.no_grad():
            output = self._carried.act(torch.as_tensor(observations).to(self._agent.device, torch.float32))
        spec = self._agent.spec
        _check_output(output, spec, len(observations))
        allowed = self._environments.spec.allowed(self._environments.current.entries)
        actions, greedy_actions = choose_with_greedy(output, spec, self._generator, self._config.epsilon, allowed)
        row: dict[str, np.ndarray] = {
            "action": actions.numpy(),
            "explored": (actions != greedy_actions).reshape(len(actions), -1).any(dim=1).numpy(),
            "scores": output.scores.float().cpu().numpy(),
        }
        if output.value is not None:
            row["value"] = output.value.float().cpu().numpy()
        if hidden is not None:
            row["hidden"] = hidden
        chosen: list[Action] = row["action"].tolist()
        return row, chosen


def _check_output(output: AgentOutput, spec: AgentSpec, streams: int) -> None:
    expected = (streams, len(spec.action_names))
    if tuple(output.scores.shape) != expected:
        raise OutputError(
            f"agent {spec.name!r} returned scores of shape {tuple(output.scores.shape)}", expected=str(expected)
        )
    value = output.value
    if value is not None and (tuple(value.shape) != (streams,) or not torch.isfinite(value).all()):
        raise OutputError(
            f"agent {spec.name!r} returned a value of shape {tuple(value.shape)}, or one that is not finite",
            expected=f"({streams},) finite numbers",
        )


def _record(
    player: _Player, config: CollectConfig, folder: Path, shard: int, progress: Callable[[int, int], None] | None
) -> None:
    """Plays and writes the remaining shards, starting with number ``shard``."""

    def report(done: int) -> None:
        if progress:
            progress(done, config.steps * config.streams)

    pending: Future[None] | None = None
    with ThreadPoolExecutor(1) as writer:
        while player.time < config.steps:
            content = player.shard(min(config.shard_steps, config.steps - player.time), report)
            if pending:
                pending.result()  # one shard is written while the next is played
            pending = writer.submit(write_shard, folder, shard, content)
            shard += 1
        if pending:
            pending.result()


def _meta(agent: AgentSpec, environment: EnvironmentSpec, config: CollectConfig) -> dict[str, Any]:
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "environment": asdict(environment),
        "agent": asdict(agent),
        "config": asdict(config),
        "streams": config.streams,
        "steps": config.steps,
    }
    return json.loads(json.dumps(meta))


def _prepare_folder(folder: Path, meta: dict[str, Any]) -> None:
    """Writes ``meta`` into an empty folder, or checks that the folder holds states of the same collection."""
    with storage_errors(folder):
        is_new = all(path in temporary_files(folder) for path in folder.iterdir())
    stored = meta if is_new else read_meta(folder)
    remove_temporary(folder)  # only once it is known whose folder it is
    if is_new:
        write_json(folder / "meta.json", meta)
        return
    todo = "choose another folder, or remove this one"
    if stored["agent"]["fingerprint"] != meta["agent"]["fingerprint"]:
        raise DatasetError(
            f"{folder} holds states of agent {stored['agent']['name']!r} ({stored['agent']['fingerprint'][:12]})",
            expected=f"{meta['agent']['name']!r} ({meta['agent']['fingerprint'][:12]})",
            todo=todo,
        )
    for part in ("environment", "agent", "config"):
        differing = [key for key in meta[part] if stored[part].get(key) != meta[part][key]]
        if differing:
            key = differing[0]
            raise RunMismatchError(
                f"{folder} was collected with {part} {key} = {stored[part].get(key)}",
                expected=f"{meta[part][key]}",
                todo=todo,
            )


def _complete_shards(folder: Path, config: CollectConfig) -> list[ShardIndex]:
    """The shards that an earlier call completed; the first one that is damaged, and all after it, are played again."""
    indices: list[ShardIndex] = []
    while not indices or indices[-1].stop < config.steps:
        try:
            index = read_index(folder, len(indices))
            if index is None or index.start != (indices[-1].stop if indices else 0):
                break
            for name in index.crc32:
                check_content(folder, name, index)
        except DatasetError:
            break
        indices.append(index)
    for number in range(len(indices), config.steps):
        later = [folder / name(number) for name in (index_file, frames_file, steps_file, snapshots_file)]
        if not any(path.exists() for path in later):
            break
        with storage_errors(folder):
            for path in later:  # the index first, so that no part of a shard passes for a whole one
                path.unlink(missing_ok=True)
    return indices
