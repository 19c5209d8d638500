"""Collecting with a real emulator: what is stored is what was played, after kills too."""

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
    """An untrained network with fixed weights; answers with Q-values or log-probabilities, and a value."""

    device = torch.device("cpu")

    def __init__(self, *, acts="greedy", actions=4, shape=(4, 84, 84), fingerprint="tiny", answer=None):
        generator = torch.Generator().manual_seed(0)
        self.module = nn.Sequential(nn.AvgPool2d(12), nn.Flatten(), nn.Linear(shape[0] * 49, actions))
        for parameter in self.module.parameters():
            parameter.data = torch.rand(parameter.shape, generator=generator) - 0.5
        scores_are = "q-values" if acts == "greedy" else "log-probabilities"
        names = tuple(str(i) for i in range(actions))
        self.spec = AgentSpec("tiny", "Breakout", names, shape, scores_are, acts, fingerprint)
        self._answer = answer

    def __call__(self, observation):
        if self._answer is not None:
            return self._answer(observation)
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
    told = []
    dataset = collect(TinyAgent(acts="sampled"), make, CONFIG, folder, lambda *now: told.append(now))
    return dataset, told


def test_what_is_stored_is_what_was_played(collected):
    dataset, told = collected
    assert len(dataset) == 360 and told[-1] == (360, 360) and len(told) == 120
    assert dataset.truncated.sum() == 9
    agent, environment = TinyAgent(acts="sampled"), make()
    for stream in range(dataset.streams):
        first = stream * dataset.steps
        shown = environment.restore(dataset.snapshot_before(first)[1])
        age = 0
        for index in range(first, first + dataset.steps):
            np.testing.assert_array_equal(dataset.stacks(np.array([index]))[0], environment.stack)
            np.testing.assert_array_equal(dataset.ram[index], shown.ram)
            assert dataset.age[index] == age
            with torch.no_grad():
                answer = agent(torch.from_numpy(shown.observation[None]).float())
            np.testing.assert_allclose(dataset.scores[index], answer.scores[0].numpy(), atol=1e-5)
            np.testing.assert_allclose(dataset.value[index], answer.value[0].numpy(), atol=1e-5)
            if index % 30 == 0:
                place, snapshot = dataset.snapshot_before(index)
                assert place == index and snapshot == environment.snapshot()
            shown = environment.step(int(dataset.action[index]))
            assert dataset.reward[index] == shown.reward
            assert dataset.life_lost[index] == shown.life_lost
            assert (dataset.terminated[index], dataset.truncated[index]) == (shown.terminated, shown.truncated)
            age += 1
            if shown.terminated or shown.truncated:
                shown, age = environment.reset(), 0
    dataset.verify()


def test_streams_differ_and_scores_are_sums(collected):
    dataset, _ = collected
    starts = dataset.ram[dataset.time == 0]
    assert len({row.tobytes() for row in starts}) > 1
    assert len(dataset.episode_scores()) == (dataset.terminated | dataset.truncated).sum()


def test_exploration_takes_its_share(tmp_path):
    config = CollectConfig(frames=300, streams=3, epsilon=0.5)
    dataset = collect(TinyAgent(), make, config, tmp_path / "half")
    best = dataset.scores.argmax(1)
    np.testing.assert_array_equal(dataset.explored, dataset.action != best)
    assert 0.25 < dataset.explored.mean() < 0.5  # half of the actions are random, three quarters of those another one
    greedy = collect(TinyAgent(), make, CollectConfig(frames=20, streams=1, epsilon=0.0), tmp_path / "none")
    assert not greedy.explored.any()
    np.testing.assert_array_equal(greedy.action, greedy.scores.argmax(1))


def test_the_number_of_processes_does_not_matter(collected, tmp_path):
    dataset = collect(TinyAgent(acts="sampled"), make, CONFIG, tmp_path / "here", workers=1)
    assert dataset.fingerprint == collected[0].fingerprint


def test_a_killed_collection_goes_on_to_the_same_end(collected, tmp_path):
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
    for enough in (240, 330):  # in the second shard of three, and, on the way from there, in the last
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(folder), str(enough)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        assert process.returncode == -signal.SIGKILL
        *told, children = process.stdout.splitlines()
        first = int(told[0])
        _wait_until_gone([int(pid) for pid in children.split()])
        with pytest.raises(DatasetError, match="continues"):
            StateDataset.open(folder)
        (folder / ".frames-00002.npy.abc.tmp").write_bytes(b"half")
    assert first > 150, "the second attempt did not go on behind a complete shard"
    told = []
    dataset = collect(TinyAgent(acts="sampled"), make, CONFIG, folder, lambda done, _: told.append(done))
    assert told[0] > 150
    assert dataset.fingerprint == collected[0].fingerprint
    for path in collected[0].folder.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    assert {path.name for path in folder.iterdir()} == {path.name for path in collected[0].folder.iterdir()}


def _children(parent):
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _wait_until_gone(processes):
    assert processes or os.cpu_count() == 1
    until = time.monotonic() + 20
    while any(_runs(pid) for pid in processes):
        assert time.monotonic() < until, "processes with environments outlive the collection"
        time.sleep(0.05)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_finished_collection_is_only_opened(collected):
    def never(observation):
        raise AssertionError("the agent was asked")

    again = collect(TinyAgent(acts="sampled", answer=never), make, CONFIG, collected[0].folder)
    assert again.fingerprint == collected[0].fingerprint


def test_folders_of_others_are_refused(collected, tmp_path):
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


def test_an_agent_of_another_environment_is_refused(tmp_path):
    with pytest.raises(MismatchError, match="6 actions") as caught:
        collect(TinyAgent(actions=6), make, CONFIG, tmp_path / "states")
    assert "4 actions" in str(caught.value)
    with pytest.raises(MismatchError, match=r"\(1, 84, 84\)"):
        collect(TinyAgent(shape=(1, 84, 84)), make, CONFIG, tmp_path / "states")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda o: AgentOutput(torch.full((len(o), 4), torch.nan)), "nan"),
        (lambda o: AgentOutput(torch.zeros(len(o), 3)), "shape"),
        (lambda o: AgentOutput(torch.zeros(len(o), 4), torch.full((len(o),), torch.inf)), "value"),
        (lambda o: AgentOutput(torch.zeros(len(o), 4), torch.zeros(len(o), 1)), "value"),
    ],
)
def test_answers_that_are_none_are_refused(tmp_path, answer, message):
    with pytest.raises(OutputError, match=message):
        collect(TinyAgent(answer=answer), make, CollectConfig(frames=4, streams=2), tmp_path / "states", workers=1)


PARENT = os.getpid()


class Breaking(AtariEnvironment):
    """Fails at its fifth decision, or ends its process there, in a forked process; plays on in this one."""

    def __init__(self, ends):
        super().__init__(GAME)
        self._left, self._ends = 5, ends

    def step(self, action):
        self._left -= 1
        if self._left == 0 and os.getpid() != PARENT:
            if self._ends:
                os._exit(1)
            raise DatasetError("seen", expected="expected", todo="todo")
        return super().step(action)


def test_errors_of_environments_arrive_from_other_processes(tmp_path):
    config = CollectConfig(frames=40, streams=2)
    with pytest.raises(DatasetError, match="todo") as caught:
        collect(TinyAgent(), lambda: Breaking(ends=False), config, tmp_path / "one", workers=2)
    assert caught.value.expected == "expected"
    with pytest.raises(WeakspotError, match="ended unexpectedly"):
        collect(TinyAgent(), lambda: Breaking(ends=True), config, tmp_path / "two", workers=2)


def test_a_folder_that_cannot_be_made_is_named():
    if not Path("/sys/kernel").is_dir():
        pytest.skip("needs a file system that refuses folders")
    with pytest.raises(StorageError, match="/sys/kernel"):
        collect(TinyAgent(), make, CONFIG, Path("/sys/kernel/states"))


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"epsilon": 1.1}, {"streams": 0}, {"shard_steps": 0}, {"seed": -1}, {"seed": 2**40}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CollectConfig(**wrong)
