"""Collection with the real emulator: stored rollouts match play, also after kills."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.data.collect import collect
from weakspot.data.config import CollectConfig
from weakspot.data.dataset import StateDataset
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.errors import (
    ConfigError,
    DatasetError,
    MismatchError,
    OutputError,
    RunMismatchError,
    StorageError,
    WeakspotError,
)

GAME = AtariConfig("ALE/Breakout-v5", max_frames=150)
"""Episodes of 38 decisions, with sticky actions."""
CONFIG = CollectConfig(frames=360, streams=3, snapshot_every=30, shard_steps=50, seed=4)


class TinyAgent:
    """An untrained network with fixed weights; returns Q-values or log-probabilities, and a value."""

    device = torch.device("cpu")

    def __init__(self, *, acts="greedy", actions=4, shape=(4, 84, 84), fingerprint="tiny", output=None):
        generator = torch.Generator().manual_seed(0)
        self.module = nn.Sequential(nn.AvgPool2d(12), nn.Flatten(), nn.Linear(shape[0] * 49, actions))
        for parameter in self.module.parameters():
            parameter.data = torch.rand(parameter.shape, generator=generator) - 0.5
        scores_are = "q-values" if acts == "greedy" else "log-probabilities"
        names = tuple(str(i) for i in range(actions))
        self.spec = AgentSpec("tiny", "Breakout", names, shape, scores_are, acts, fingerprint)
        self._output = output

    def __call__(self, observation):
        if self._output is not None:
            return self._output(observation)
        scores = self.module(observation / 255).log_softmax(1)
        return AgentOutput(scores, scores.mean(1))


def make():
    return AtariEnvironment(GAME)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collected") / "states"
    progress = []
    dataset = collect(TinyAgent(acts="sampled"), make, CONFIG, folder, lambda *counts: progress.append(counts))
    return dataset, progress


def test_stored_rollouts_match_play(collected):
    dataset, progress = collected
    assert len(dataset) == 360 and progress[-1] == (360, 360) and len(progress) == 120
    assert dataset.truncated.sum() == 9
    agent, environment = TinyAgent(acts="sampled"), make()
    for stream in range(dataset.streams):
        first = stream * dataset.steps
        step = environment.restore(dataset.snapshot_before(first)[1])
        age = 0
        for index in range(first, first + dataset.steps):
            np.testing.assert_array_equal(dataset.stacks(np.array([index]))[0], environment.stack)
            np.testing.assert_array_equal(dataset.ram[index], step.ram)
            assert dataset.age[index] == age
            with torch.no_grad():
                output = agent(torch.from_numpy(step.observation[None]).float())
            np.testing.assert_allclose(dataset.scores[index], output.scores[0].numpy(), atol=1e-5)
            np.testing.assert_allclose(dataset.value[index], output.value[0].numpy(), atol=1e-5)
            if index % 30 == 0:
                found_index, snapshot = dataset.snapshot_before(index)
                assert found_index == index and snapshot == environment.snapshot()
            step = environment.step(int(dataset.action[index]))
            assert dataset.reward[index] == step.reward
            assert dataset.life_lost[index] == step.life_lost
            assert (dataset.terminated[index], dataset.truncated[index]) == (step.terminated, step.truncated)
            age += 1
            if step.terminated or step.truncated:
                step, age = environment.reset(), 0
    dataset.verify()


def test_streams_differ_and_every_complete_episode_has_a_score(collected):
    dataset, _ = collected
    starts = dataset.ram[dataset.time == 0]
    assert len({row.tobytes() for row in starts}) > 1
    assert len(dataset.episode_scores()) == (dataset.terminated | dataset.truncated).sum()


def test_share_of_random_actions_matches_epsilon(tmp_path):
    config = CollectConfig(frames=300, streams=3, epsilon=0.5)
    dataset = collect(TinyAgent(), make, config, tmp_path / "half")
    best = dataset.scores.argmax(1)
    np.testing.assert_array_equal(dataset.explored, dataset.action != best)
    # Half of the actions are random; three quarters of those differ from the greedy one.
    assert 0.25 < dataset.explored.mean() < 0.5
    greedy = collect(TinyAgent(), make, CollectConfig(frames=20, streams=1, epsilon=0.0), tmp_path / "none")
    assert not greedy.explored.any()
    np.testing.assert_array_equal(greedy.action, greedy.scores.argmax(1))


def test_result_does_not_depend_on_the_number_of_processes(collected, tmp_path):
    dataset = collect(TinyAgent(acts="sampled"), make, CONFIG, tmp_path / "here", workers=1)
    assert dataset.fingerprint == collected[0].fingerprint


def test_killed_collections_resume_with_the_same_result(collected, tmp_path):
    folder = tmp_path / "states"
    program = """
        import os, signal, sys
        from pathlib import Path
        import torch
        torch.set_num_threads(1)
        from test_collect import CONFIG, TinyAgent, _children, collect, make

        def progress(done, total):
            print(done, flush=True)
            if done >= int(sys.argv[2]):
                print(*_children(os.getpid()), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        collect(TinyAgent(acts="sampled"), make, CONFIG, Path(sys.argv[1]), progress)
    """
    paths = [str(Path(__file__).parent), *sys.path]
    for kill_at in (240, 330):  # in the second of three shards, and after resuming, in the last one
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(folder), str(kill_at)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        assert process.returncode == -signal.SIGKILL
        *progress, children = process.stdout.splitlines()
        first = int(progress[0])
        _wait_until_gone([int(pid) for pid in children.split()])
        with pytest.raises(DatasetError, match="continues"):
            StateDataset.open(folder)
        (folder / ".frames-00002.npy.abc.tmp").write_bytes(b"half")
    assert first > 150, "the second attempt did not resume after the complete shard"
    progress = []
    dataset = collect(TinyAgent(acts="sampled"), make, CONFIG, folder, lambda done, _: progress.append(done))
    assert progress[0] > 150
    assert dataset.fingerprint == collected[0].fingerprint
    for path in collected[0].folder.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    assert {path.name for path in folder.iterdir()} == {path.name for path in collected[0].folder.iterdir()}


def _children(parent):
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _wait_until_gone(processes):
    assert processes or len(os.sched_getaffinity(0)) == 1
    until = time.monotonic() + 20
    while any(_is_running(pid) for pid in processes):
        assert time.monotonic() < until, "processes with environments outlive the collection"
        time.sleep(0.05)


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_finished_collection_is_only_opened(collected):
    def never(observation):
        raise AssertionError("the agent was called")

    again = collect(TinyAgent(acts="sampled", output=never), make, CONFIG, collected[0].folder)
    assert again.fingerprint == collected[0].fingerprint


def test_folders_of_other_collections_are_refused(collected, tmp_path):
    folder = collected[0].folder
    with pytest.raises(DatasetError, match="other"):
        collect(TinyAgent(acts="sampled", fingerprint="other"), make, CONFIG, folder)
    with pytest.raises(RunMismatchError, match="epsilon"):
        collect(TinyAgent(acts="sampled"), make, CollectConfig(**vars(CONFIG) | {"epsilon": 0.2}), folder)
    with pytest.raises(RunMismatchError, match="preprocessing"):
        other = AtariConfig("ALE/Breakout-v5", max_frames=150, noop_max=3)
        collect(TinyAgent(acts="sampled"), lambda: AtariEnvironment(other), CONFIG, folder)
    (tmp_path / "holiday.txt").write_text("not states")
    with pytest.raises(DatasetError, match=r"meta\.json"):
        collect(TinyAgent(), make, CONFIG, tmp_path)


def test_agents_of_another_environment_are_refused(tmp_path):
    with pytest.raises(MismatchError, match="6 actions") as caught:
        collect(TinyAgent(actions=6), make, CONFIG, tmp_path / "states")
    assert "4 actions" in str(caught.value)
    with pytest.raises(MismatchError, match=r"\(1, 84, 84\)"):
        collect(TinyAgent(shape=(1, 84, 84)), make, CONFIG, tmp_path / "states")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda o: AgentOutput(torch.full((len(o), 4), torch.nan)), "nan"),
        (lambda o: AgentOutput(torch.zeros(len(o), 3)), "shape"),
        (lambda o: AgentOutput(torch.zeros(len(o), 4), torch.full((len(o),), torch.inf)), "value"),
        (lambda o: AgentOutput(torch.zeros(len(o), 4), torch.zeros(len(o), 1)), "value"),
    ],
)
def test_invalid_outputs_are_refused(tmp_path, output, message):
    with pytest.raises(OutputError, match=message):
        collect(TinyAgent(output=output), make, CollectConfig(frames=4, streams=2), tmp_path / "states", workers=1)


PARENT = os.getpid()


class FailingEnvironment(AtariEnvironment):
    """At its fifth step in a forked process, raises an error or ends the process; has no effect in this process."""

    def __init__(self, exits):
        super().__init__(GAME)
        self._steps_left, self._exits = 5, exits

    def step(self, action):
        self._steps_left -= 1
        if self._steps_left == 0 and os.getpid() != PARENT:
            if self._exits:
                os._exit(1)
            raise DatasetError("seen", expected="expected", todo="todo")
        return super().step(action)


def test_errors_of_environments_are_passed_on_from_worker_processes(tmp_path):
    config = CollectConfig(frames=40, streams=2)
    with pytest.raises(DatasetError, match="todo") as caught:
        collect(TinyAgent(), lambda: FailingEnvironment(exits=False), config, tmp_path / "one", workers=2)
    assert caught.value.expected == "expected"
    with pytest.raises(WeakspotError, match="ended unexpectedly"):
        collect(TinyAgent(), lambda: FailingEnvironment(exits=True), config, tmp_path / "two", workers=2)


def test_error_names_a_folder_that_cannot_be_created():
    if not Path("/sys/kernel").is_dir():
        pytest.skip("needs a file system that refuses folders")
    with pytest.raises(StorageError, match="/sys/kernel"):
        collect(TinyAgent(), make, CONFIG, Path("/sys/kernel/states"))


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"epsilon": 1.1}, {"streams": 0}, {"shard_steps": 0}, {"seed": -1}, {"seed": 2**40}]
)
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CollectConfig(**wrong)
