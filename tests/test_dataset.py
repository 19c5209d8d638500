"""Recorded states by index, compared with a plain loop, and damaged folders."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import weakspot.data.dataset
from weakspot.data.dataset import StateDataset, as_stacks, as_state
from weakspot.data.shards import FORMAT, VERSION, ShardContent, read_index, write_shard
from weakspot.errors import ConfigError, DatasetError, SnapshotError
from weakspot.run.records import write_record
from weakspot.system.files import write_json

E, STEPS, LENGTH, K, SIZE = 3, 23, 5, 4, 6
ENDS = {(0, 3), (0, 4), (1, 9), (2, 15), (2, 22)}
"""(stream, time) of decisions that end an episode; the next state is the first of an episode."""


def columns(rng):
    ages = np.zeros((E, STEPS), np.int32)
    ended = np.zeros((E, STEPS), bool)
    for stream in range(E):
        age = 0
        for time in range(STEPS):
            ages[stream, time] = age
            ended[stream, time] = (stream, time) in ENDS
            age = 0 if ended[stream, time] else age + 1
    return {
        "age": ages,
        "terminated": ended & (np.arange(STEPS) != 9),
        "truncated": ended & (np.arange(STEPS) == 9),
        "reward": rng.integers(0, 9, (E, STEPS)).astype(np.float32),
        "action": rng.integers(0, 4, (E, STEPS)),
        "ram": rng.integers(0, 256, (E, STEPS, 128)).astype(np.uint8),
    }


@pytest.fixture
def stored(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(1, 256, (E, STEPS, SIZE, SIZE, 3)).astype(np.uint8)
    table = columns(rng)
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "environment": {
            "id": "Test-v0",
            "action_names": ["A", "B", "C", "D"],
            "frames": K,
            "height": SIZE,
            "width": SIZE,
            "channels": 3,
            "preprocessing": {},
        },
        "agent": {
            "name": "test",
            "environment": "Test-v0",
            "action_names": ["A", "B", "C", "D"],
            "observation_shape": [K, SIZE, SIZE],
            "scores_are": "q-values",
            "acts": "greedy",
            "fingerprint": "00",
        },
        "config": {},
        "streams": E,
        "steps": STEPS,
    }
    write_json(tmp_path / "meta.json", meta)
    for shard, start in enumerate(range(0, STEPS, LENGTH)):
        part = slice(start, min(start + LENGTH, STEPS))
        snapshots = {(e, t): f"snapshot {e} {t}".encode() for e in range(E) for t in range(STEPS)[part] if t % 7 == 0}
        content = ShardContent(
            start=start,
            frames=frames[:, part],
            columns={name: column[:, part] for name, column in table.items()},
            snapshots=snapshots,
            resume=[b"resume"] * E,
            ages=[0] * E,
            generator="",
        )
        write_shard(tmp_path, shard, content)
    return tmp_path, frames, table


def test_stacks_match_a_plain_loop(stored):
    folder, frames, table = stored
    dataset = StateDataset.open(folder)
    assert len(dataset) == E * STEPS and len(dataset.shards) == 5
    expected = np.zeros((E, STEPS, K, SIZE, SIZE, 3), np.uint8)
    for stream in range(E):
        stack = np.zeros((K, SIZE, SIZE, 3), np.uint8)
        for time in range(STEPS):
            if table["age"][stream, time] == 0:
                stack[:] = 0
            stack = np.concatenate([stack[1:], frames[stream, time][None]])
            expected[stream, time] = stack
    expected = expected.reshape(-1, K, SIZE, SIZE, 3)
    indices = np.random.default_rng(1).permutation(len(dataset))
    np.testing.assert_array_equal(dataset.stacks(indices), expected[indices])
    np.testing.assert_array_equal(dataset.newest(indices), expected[indices, -1])
    assert dataset.stacks(np.array([], np.int64)).shape == (0, K, SIZE, SIZE, 3)


def test_columns_are_ordered_by_the_global_index(stored):
    folder, _, table = stored
    dataset = StateDataset.open(folder)
    for name in ("age", "action", "reward", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(dataset, name), table[name].ravel())
    np.testing.assert_array_equal(dataset.ram, table["ram"].reshape(-1, 128))
    np.testing.assert_array_equal(dataset.stream * STEPS + dataset.time, np.arange(len(dataset)))
    assert dataset.value is None
    assert dataset.agent.observation_shape == (K, SIZE, SIZE) and dataset.environment.action_names[1] == "B"


def test_scores_of_complete_episodes(stored):
    folder, _, table = stored
    reward = table["reward"]
    episodes = [reward[0, :4], reward[0, 4:5], reward[1, :10], reward[2, :16], reward[2, 16:23]]
    np.testing.assert_allclose(StateDataset.open(folder).episode_scores(), [part.sum() for part in episodes])


def test_split_leaves_a_gap_in_every_stream(stored):
    dataset = StateDataset.open(stored[0])
    train, held_out = dataset.split(0.2)
    for stream in range(E):
        times = dataset.time[train][dataset.stream[train] == stream]
        held = dataset.time[held_out][dataset.stream[held_out] == stream]
        np.testing.assert_array_equal(times, np.arange(STEPS - 5 - K))
        np.testing.assert_array_equal(held, np.arange(STEPS - 5, STEPS))
    for share in (0.0, 1.0):
        with pytest.raises(ConfigError, match="held_out"):
            dataset.split(share)


def test_long_streams_hold_out_the_end_of_every_stretch(stored, monkeypatch):
    monkeypatch.setattr(weakspot.data.dataset, "MIN_SEGMENT", 11)
    dataset = StateDataset.open(stored[0])
    train, held_out = dataset.split(0.1)
    for stream in range(E):
        times = dataset.time[train][dataset.stream[train] == stream]
        held = dataset.time[held_out][dataset.stream[held_out] == stream]
        np.testing.assert_array_equal(times, [0, 1, 2, 3, 4, 5, 15, 16, 17])
        np.testing.assert_array_equal(held, [10, 22])


def test_the_latest_snapshot_before_a_state(stored):
    dataset = StateDataset.open(stored[0])
    for index in range(len(dataset)):
        stream, time = divmod(index, STEPS)
        assert dataset.snapshot_before(index) == (
            stream * STEPS + time // 7 * 7,
            f"snapshot {stream} {time // 7 * 7}".encode(),
        )


def test_indices_outside_are_refused(stored):
    dataset = StateDataset.open(stored[0])
    for wrong in ([-1], [len(dataset)], [[0]], [0.5]):
        with pytest.raises(ConfigError):
            dataset.stacks(np.array(wrong))
    with pytest.raises(ConfigError):
        dataset.snapshot_before(len(dataset))


def test_fingerprint_depends_on_the_content(stored):
    folder = stored[0]
    before = StateDataset.open(folder).fingerprint
    assert StateDataset.open(folder).fingerprint == before
    index = read_index(folder, 1)
    assert index is not None
    index.crc32["frames-00001.npy"] ^= 1
    write_record(folder / "shard-00001.json", index)
    assert StateDataset.open(folder).fingerprint != before


def test_missing_and_foreign_folders_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"no meta\.json"):
        StateDataset.open(tmp_path / "nothing")
    for content in ("{}", "[]", '{"format": "weakspot states", "version": 99}', "{"):
        (tmp_path / "meta.json").write_text(content)
        with pytest.raises(DatasetError, match=r"meta\.json"):
            StateDataset.open(tmp_path)


@pytest.mark.parametrize("name", ["frames-00002.npy", "steps-00002.npz", "snapshots-00002.bin", "shard-00002.json"])
def test_truncated_and_missing_files_are_refused(stored, name):
    path = stored[0] / name
    path.write_bytes(path.read_bytes()[:-1] if name.startswith("shard") is False else b'{"start": 10')
    with pytest.raises(DatasetError, match=name):
        StateDataset.open(stored[0])
    path.unlink()
    with pytest.raises(DatasetError, match=r"is missing|holds 30 of 69 states"):
        StateDataset.open(stored[0])


@pytest.mark.parametrize("name", ["frames-00002.npy", "steps-00002.npz", "snapshots-00002.bin"])
def test_flipped_bits_are_detected(stored, name):
    folder = stored[0]
    path = folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    dataset = StateDataset.open(folder)
    with pytest.raises(DatasetError, match=name):
        dataset.verify()
    if name.startswith("steps"):
        with pytest.raises(DatasetError, match="checksum"):
            _ = dataset.action


def test_a_damaged_snapshot_is_refused(stored):
    folder = stored[0]
    path = folder / "snapshots-00000.bin"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    dataset = StateDataset.open(folder)
    with pytest.raises(SnapshotError, match="stream 0, step 0"):
        dataset.snapshot_before(2)
    assert dataset.snapshot_before(STEPS)[1] == b"snapshot 1 0"


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint8, st.tuples(*[st.integers(1, n) for n in (3, 4, 5, 6)], st.just(3))))
def test_states_and_stacks_are_converted_into_each_other(stacks):
    state = as_state(stacks)
    b, k, h, w, _ = stacks.shape
    assert state.shape == (b, 3 * k, h, w) and state.dtype == torch.float32
    assert state.min() >= 0 and state.max() <= 1
    assert state[0, 3 * (k - 1) + 1, 0, 0] == pytest.approx(stacks[0, k - 1, 0, 0, 1] / 255)
    np.testing.assert_array_equal(as_stacks(state), stacks)


def test_states_outside_the_range_are_clamped():
    np.testing.assert_array_equal(as_stacks(torch.tensor([-1.0, 0.5, 2.0]).view(1, 3, 1, 1)).ravel(), [0, 128, 255])
