"""The Atari environment, compared with ale-py's vector environment, and its snapshots, compared with uninterrupted play."""

import numpy as np
import pytest
import torch
from ale_py import Action
from ale_py.vector_env import AtariVectorEnv

from weakspot.data.dataset import as_state
from weakspot.envs.atari import AtariConfig, AtariEnvironment, StickyActions
from weakspot.errors import ConfigError, SnapshotError, UnknownGameError
from weakspot.games import game_names, resolve_game


@pytest.mark.parametrize(
    ("game", "config", "vector"),
    [
        ("pong", {}, {}),
        ("seaquest", {}, {}),
        ("breakout", {}, {}),
        ("boxing", {"repeat_action_probability": 1.0}, {"repeat_action_probability": 1.0}),
        ("qbert", {"max_frames": 203}, {"max_num_frames_per_episode": 203}),
        ("space_invaders", {"max_frames": 201, "frame_skip": 3}, {"max_num_frames_per_episode": 201, "frameskip": 3}),
        ("freeway", {"frame_skip": 1, "frames": 2}, {"frameskip": 1, "stack_num": 2}),
        (
            "asteroids",
            {"size": 64, "full_action_space": True},
            {"img_height": 64, "img_width": 64, "full_action_space": True},
        ),
    ],
)
def test_environment_matches_the_vector_environment_bit_for_bit(game, config, vector):
    gray, colour = (
        AtariVectorEnv(game, 1, num_threads=1, noop_max=0, reward_clipping=False, grayscale=grayscale, **vector)
        for grayscale in (True, False)
    )
    ours = AtariEnvironment(AtariConfig(game, noop_max=0, **config))
    actions = np.random.default_rng(1).integers(len(ours.spec.action_names), size=280)
    grays, colours, step = gray.reset(seed=7)[0], colour.reset(seed=7)[0], ours.reset(7)
    ends = 0
    for action in actions:
        np.testing.assert_array_equal(step.observation, grays[0])
        np.testing.assert_array_equal(ours.stack, colours[0])
        grays, reward, terminated, truncated, _ = gray.step(np.array([action]))
        colours = colour.step(np.array([action]))[0]
        if step.terminated or step.truncated:
            ends += 1
            step = ours.reset()
        else:
            step = ours.step(int(action))
            assert (step.reward, step.terminated, step.truncated) == (reward[0], terminated[0], truncated[0])
    if game in {"breakout", "qbert", "space_invaders"}:
        assert ends >= 1


@pytest.mark.parametrize("game", ["pong", "seaquest", "qbert"])
def test_observation_is_a_function_of_the_state(game):
    environment = AtariEnvironment(AtariConfig(game))
    rng = np.random.default_rng(0)
    environment.reset(3)
    differences = []
    for _ in range(80):
        step = environment.step(int(rng.integers(len(environment.spec.action_names))))
        computed = environment.observe(as_state(environment.stack[None]))[0].numpy()
        differences.append(np.abs(computed - step.observation))
    assert np.mean(differences) < 0.5
    assert np.max(differences) <= 30


def test_steps_contain_the_newest_frame_and_the_memory():
    environment = AtariEnvironment(AtariConfig("seaquest"))
    first = environment.reset(0)
    assert first.ram.shape == (128,) and first.frame.shape == (84, 84, 3) and first.frame.max() > 0
    assert environment.stack[:3].max() == 0 and first.observation[:3].max() == 0
    lost = 0
    for _ in range(400):
        step = environment.step(5)
        lost += step.life_lost
        np.testing.assert_array_equal(environment.stack[-1], step.frame)
        if step.terminated:
            break
    assert lost >= 1


def test_returned_arrays_do_not_change_later():
    environment = AtariEnvironment(AtariConfig("pong"))
    step = environment.reset(0)
    copies = step.observation.copy(), step.frame.copy(), step.ram.copy()
    for _ in range(60):
        environment.step(2)
    environment.reset()
    for now, before in zip((step.observation, step.frame, step.ram), copies, strict=True):
        np.testing.assert_array_equal(now, before)


def test_seeds_determine_episodes_and_no_ops_vary():
    def play(seed):
        environment = AtariEnvironment(AtariConfig("ALE/Breakout-v5"))
        environment.reset(seed)
        return [environment.step(3).ram.tobytes() for _ in range(40)]

    assert play(1) == play(1)
    assert play(1) != play(2)
    environment = AtariEnvironment(AtariConfig("pong"))
    assert len({environment.reset().ram.tobytes() for _ in range(6)}) > 1


def test_play_from_a_snapshot_matches_uninterrupted_play():
    config = AtariConfig("ALE/Breakout-v5")
    original, fresh = AtariEnvironment(config), AtariEnvironment(config)
    rng = np.random.default_rng(5)
    original.reset(11)
    for _ in range(23):
        before = original.step(int(rng.integers(4)))
    snapshot = original.snapshot()
    actions = rng.integers(4, size=300)

    def play(environment):
        results, ends = [], 0
        for action in actions:
            step = environment.step(int(action))
            results.append((step.observation, environment.stack, step.ram, step.reward, step.life_lost, step.terminated))
            if step.terminated:
                ends += 1
                step = environment.reset()
                results.append((step.observation, environment.stack, step.ram, 0, False, False))
        assert ends > 1
        return results

    expected = play(original)
    for environment in (fresh, original):
        step = environment.restore(snapshot)
        for name in ("observation", "frame", "ram"):
            np.testing.assert_array_equal(getattr(step, name), getattr(before, name))
        assert (step.reward, step.life_lost, step.terminated) == (before.reward, before.life_lost, before.terminated)
        assert environment.snapshot() == snapshot
        for found, correct in zip(play(environment), expected, strict=True):
            for a, b in zip(found, correct, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("game", ["ALE/Seaquest-v5", "pong", "qbert"])
def test_restored_copies_match_the_original_at_every_step(game):
    original, copy = AtariEnvironment(AtariConfig(game)), AtariEnvironment(AtariConfig(game))
    rng = np.random.default_rng(2)

    def play(environment, action=0):
        step = environment.step(action or int(rng.integers(6)))
        return environment.reset() if step.terminated else step

    original.reset(1)
    copy.reset(99)
    for _ in range(25):
        for _ in range(3):
            play(original)
        copy.step(int(rng.integers(6)))
        copy.restore(original.snapshot())
        for action in rng.integers(6, size=2):
            ours, theirs = play(copy, int(action) or 1), play(original, int(action) or 1)
            np.testing.assert_array_equal(ours.ram, theirs.ram)
            np.testing.assert_array_equal(ours.observation, theirs.observation)
            np.testing.assert_array_equal(copy.stack, original.stack)
            assert ours.reward == theirs.reward


def test_sticky_actions_repeat_with_their_probability():
    joystick, random = StickyActions(0.25), np.random.default_rng(0)
    pressed = [joystick.apply(Action(i % 2), random).value != i % 2 for i in range(8000)]
    # The chosen action alternates, so the taken one differs after an odd number of repetitions: p / (1 + p).
    assert np.mean(pressed) == pytest.approx(0.2, abs=0.015)
    assert StickyActions(0.0).apply(Action.UP, random) == Action.UP
    assert StickyActions(1.0).apply(Action.UP, random) == Action.NOOP


def test_snapshots_of_finished_episodes_stay_finished():
    config = AtariConfig("pong", max_frames=41)
    environment = AtariEnvironment(config)
    environment.reset(0)
    while not (last := environment.step(0)).truncated:
        pass
    restored = AtariEnvironment(config)
    np.testing.assert_array_equal(restored.restore(environment.snapshot()).observation, last.observation)
    with pytest.raises(ConfigError, match="reset"):
        restored.step(0)
    np.testing.assert_array_equal(restored.reset().observation, environment.reset().observation)


@pytest.mark.parametrize("max_frames", [41, 43])
def test_end_right_after_a_restore_gives_the_same_observation(max_frames):
    """The last decision is cut short, so its observation contains emulator frames from before the snapshot."""
    config = AtariConfig("pong", max_frames=max_frames)
    original, copy = AtariEnvironment(config), AtariEnvironment(config)
    original.reset(0)
    for _ in range(10):
        original.step(2)
    copy.restore(original.snapshot())
    ours, theirs = copy.step(2), original.step(2)
    assert theirs.truncated
    np.testing.assert_array_equal(ours.observation, theirs.observation)
    np.testing.assert_array_equal(ours.frame, theirs.frame)


def test_damaged_snapshots_are_refused():
    environment = AtariEnvironment(AtariConfig("pong"))
    environment.reset(0)
    snapshot = environment.snapshot()
    for position in (0, 25, 60, 1000, len(snapshot) // 2, len(snapshot) - 1):
        damaged = bytearray(snapshot)
        damaged[position] ^= 1
        with pytest.raises(SnapshotError, match="checksum"):
            environment.restore(bytes(damaged))
    for length in (0, 10, 40, len(snapshot) - 1):
        with pytest.raises(SnapshotError, match="checksum"):
            environment.restore(snapshot[:length])
    environment.restore(snapshot)


def test_snapshots_of_another_game_or_other_settings_are_refused():
    environment = AtariEnvironment(AtariConfig("pong"))
    environment.reset(0)
    snapshot = environment.snapshot()
    for config in (AtariConfig("breakout"), AtariConfig("pong", frames=3), AtariConfig("ALE/Pong-v5")):
        with pytest.raises(SnapshotError, match="pong"):
            AtariEnvironment(config).restore(snapshot)


def test_invalid_steps_are_refused():
    environment = AtariEnvironment(AtariConfig("pong"))
    for attempt in (lambda: environment.step(0), environment.snapshot):
        with pytest.raises(ConfigError, match="reset"):
            attempt()
    environment.reset(0)
    for action in (-1, 6):
        with pytest.raises(ConfigError, match="0 to 5"):
            environment.step(action)


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("pong", "pong"),
        ("Pong", "pong"),
        ("PongNoFrameskip-v4", "pong"),
        ("ALE/Pong-v5", "pong"),
        ("SpaceInvadersDeterministic-v0", "space_invaders"),
        ("ALE/TicTacToe3D-v5", "tic_tac_toe_3d"),
        ("up_n_down", "up_n_down"),
        ("Q*bert", "qbert"),
    ],
)
def test_names_of_games(name, game):
    assert resolve_game(name) == game


def test_every_game_is_found_under_its_id():
    from weakspot.games import environment_id

    for game in game_names():
        assert resolve_game(environment_id(game, 0.0)) == resolve_game(environment_id(game, 0.25)) == game


def test_unknown_games_get_suggestions():
    with pytest.raises(UnknownGameError, match="seaquest"):
        AtariEnvironment(AtariConfig("SeaquetsNoFrameskip-v4"))
    with pytest.raises(UnknownGameError, match="no Atari game"):
        resolve_game("")


def test_spec():
    spec = AtariEnvironment(AtariConfig("PongNoFrameskip-v4")).spec
    assert spec.id == "PongNoFrameskip-v4"
    assert spec.action_names == ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
    assert spec.observation_shape == (4, 84, 84)
    assert AtariConfig("ALE/Pong-v5").sticky == 0.25
    assert AtariEnvironment(AtariConfig("ALE/Pong-v5")).spec.id == "ALE/Pong-v5"
    assert AtariConfig("ALE/Pong-v5", repeat_action_probability=0.0).sticky == 0.0


@pytest.mark.parametrize("wrong", [{"frame_skip": 0}, {"frames": 0}, {"repeat_action_probability": 1.5}, {"noop_max": -1}])
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AtariConfig("pong", **wrong)


def test_observe_is_differentiable():
    state = torch.rand(2, 12, 84, 84, requires_grad=True)
    AtariEnvironment(AtariConfig("pong")).observe(state).sum().backward()
    assert state.grad is not None and state.grad.abs().min() > 0
