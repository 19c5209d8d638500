"""How images become frames, compared bit for bit with the wrappers of other packages; versions of Atari games."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ale_py
import cv2
import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, GrayscaleObservation, ResizeObservation
from PIL import Image
from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv, WarpFrame

from weakspot.data.dataset import as_state
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.make import environment_factory, find_description
from weakspot.envs.reduce import reduce_image, resized
from weakspot.envs.reduction import PILLOW, RESIZES, Reduction
from weakspot.errors import ConfigError, UnknownGameError
from weakspot.games import GameVersion, find_environment_id, game_version, interface, played_id
from weakspot.interface import Interface

gymnasium.register_envs(ale_py)
IMAGE = np.random.default_rng(0).integers(256, size=(210, 160, 3), dtype=np.uint8)


def gray_of(image: np.ndarray = IMAGE, **settings) -> np.ndarray:
    gray = reduce_image(image, Reduction(**settings))[1]
    assert gray is not None
    return gray


def played(environment: AtariEnvironment, wrapped: gymnasium.Env, steps: int = 30) -> int:
    """Plays both with the same actions, from the same emulator state, and compares the newest frames."""
    environment.reset(0)
    wrapped.reset(seed=0)
    ale = wrapped.unwrapped.ale
    generator, compared = np.random.default_rng(0), 0
    for _ in range(steps):
        ale.restoreState(environment._ale.cloneState())
        action = int(generator.integers(len(environment.spec.action_names)))
        step = environment.step(action)
        theirs = np.asarray(wrapped.step(action)[0]).reshape(84, 84)
        np.testing.assert_array_equal(step.observation[-1], theirs)
        compared += 1
    return compared


def emulated(
    resize: str, gray: str, maximum: int, order=("crop", "gray", "resize"), game: str = "breakout"
) -> AtariEnvironment:
    reduction = Reduction(resize=resize, gray=gray, order=order)
    return AtariEnvironment(AtariConfig(game, maximum=maximum, reduction=reduction, noop_max=0))


def plain(game: str = "Breakout") -> gymnasium.Env:
    return gymnasium.make(f"{game}NoFrameskip-v4")


def test_frames_of_stable_baselines3():
    wrapped = WarpFrame(MaxAndSkipEnv(plain(), 4))
    assert played(emulated("area", "rec601", 2), wrapped) == 30


class Last(MaxAndSkipEnv):
    """Shows the last frame."""

    def step(self, action):
        for _ in range(self._skip):
            frame, reward, over, cut, info = self.env.step(action)
        return frame, reward, over, cut, info


class Warp(WarpFrame):
    """With another interpolation."""

    def observation(self, frame: np.ndarray) -> np.ndarray:
        return cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (84, 84), interpolation=cv2.INTER_LINEAR)[:, :, None]


def test_linear_interpolation_of_the_last_frame():
    assert played(emulated("linear", "rec601", 1), Warp(Last(plain(), 4))) == 30


def test_frames_of_gymnasium():
    wrapped = AtariPreprocessing(plain("Pong"), noop_max=0, frame_skip=4, grayscale_obs=True)
    assert played(emulated("area", "emulator", 2, game="pong"), wrapped) == 30


def test_gymnasiums_resize_before_gray():
    resize = ResizeObservation(gymnasium.make("CarRacing-v3"), (84, 84))
    gray = GrayscaleObservation(resize)
    image = gymnasium.make("CarRacing-v3").reset(seed=0)[0]
    expected = gray.observation(resize.observation(image))
    ours = gray_of(image, gray=(0.2125, 0.7154, 0.0721), rounding="down", order=("crop", "resize", "gray"))
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("method", PILLOW)
def test_interpolations_of_pillow(method):
    expected = np.asarray(Image.fromarray(IMAGE).convert("L").resize((84, 84), Image.Resampling[PILLOW[method]]))
    ours = gray_of(resize=method, order=("crop", "gray", "resize")).astype(int)
    assert np.abs(ours - expected).max() <= 1, "Pillow's L and OpenCV's gray round differently"


def test_the_first_dqn_crops_after_the_resize():
    settings = {"size": (110, 84), "order": ("gray", "resize", "crop"), "crop": (18, 8, 0, 0), "resize": "linear"}
    whole = cv2.resize(cv2.cvtColor(IMAGE, cv2.COLOR_RGB2GRAY), (84, 110), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(gray_of(**settings), whole[18:102])
    assert Reduction(**settings).output_size(210, 160) == (84, 84)


def test_channels_padding_axes_and_float():
    np.testing.assert_array_equal(gray_of(size=None, gray="green"), IMAGE[..., 1])
    np.testing.assert_array_equal(gray_of(size=None, gray="mean", rounding="down"), IMAGE.mean(axis=2).astype(np.uint8))
    padded = gray_of(pad=(1, 2, 3, 4))
    assert padded.shape == (87, 91) and not padded[0].any() and not padded[:, -4:].any()
    np.testing.assert_array_equal(gray_of(transposed=True), gray_of().T)
    float_gray = (IMAGE.astype(np.float32) * np.array([0.299, 0.587, 0.114])).sum(axis=2).astype(np.float32)
    exact = cv2.resize(float_gray, (84, 84), interpolation=cv2.INTER_AREA)
    ours = gray_of(exact=True, order=("crop", "gray", "resize"))
    np.testing.assert_array_equal(ours, np.rint(exact).astype(np.uint8))
    assert resized(IMAGE, (210, 160), "area") is IMAGE


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("gray", ["rec601", "blue"])
def test_the_observation_is_a_function_of_the_state(resize, gray):
    reduction = Reduction(resize=resize, gray=gray, order=("gray", "crop", "resize"), crop=(10, 0, 0, 6), pad=(0, 1, 0, 0))
    environment = AtariEnvironment(AtariConfig("seaquest", maximum=1, reduction=reduction))
    environment.reset(0)
    for _ in range(4):
        step = environment.step(0)
    computed = environment.observe(as_state(environment.stack[None]))[0].numpy()
    assert computed.shape == (4, 85, 84) == environment.spec.observation_shape
    difference = np.abs(computed - step.observation)
    assert difference.mean() < 0.5
    overshoots = "cubic" in resize or "lanczos" in resize
    assert difference.max() < (20 if overshoots else 2), "up to rounding, and what is cut off of overshoots"


def test_snapshots_of_reduced_games_continue_exactly():
    config = AtariConfig("Breakout-v0", reduction=Reduction(resize="linear", pad=(2, 2, 0, 0)))
    first, second = AtariEnvironment(config), AtariEnvironment(config)
    first.reset(3)
    for action in (1, 2, 3, 0, 2):
        first.step(action)
    snapshot = first.snapshot()
    later = [first.step(action).observation for action in (2, 3, 1, 0, 3, 3)]
    second.restore(snapshot)
    for expected, action in zip(later, (2, 3, 1, 0, 3, 3), strict=True):
        np.testing.assert_array_equal(second.step(action).observation, expected)


@pytest.mark.parametrize(
    ("name", "version", "recorded"),
    [
        ("pong", GameVersion(4, 2, 0.0), "PongNoFrameskip-v4"),
        ("PongNoFrameskip-v4", GameVersion(4, 2, 0.0), "PongNoFrameskip-v4"),
        ("ALE/Pong-v5", GameVersion(4, 2, 0.25), "ALE/Pong-v5"),
        ("PongDeterministic-v4", GameVersion(4, 1, 0.0), "PongDeterministic-v4"),
        ("SpaceInvadersDeterministic-v0", GameVersion(3, 1, 0.25), "SpaceInvadersDeterministic-v0"),
        ("Pong-v4", GameVersion((2, 5), 1, 0.0), "Pong-v4"),
        ("Pong-v0", GameVersion((2, 5), 1, 0.25), "Pong-v0"),
    ],
)
def test_ids_mean_what_gymnasium_means(name, version, recorded):
    assert game_version(name) == version
    assert played_id(name) == recorded == AtariEnvironment(AtariConfig(name)).spec.id
    assert interface(name).environment == recorded


def test_the_emulators_of_registered_ids_agree():
    for name in ("Pong-v4", "Pong-v0", "ALE/Pong-v5"):
        settings = gymnasium.spec(name).kwargs
        version = game_version(name)
        assert (settings["frameskip"], settings["repeat_action_probability"]) == (version.frame_skip, version.sticky)


def test_random_frame_skips_are_two_to_four_frames():
    environment = AtariEnvironment(AtariConfig("Pong-v4"))
    environment.reset(0)
    counts = set()
    for _ in range(60):
        before = environment._elapsed
        environment.step(0)
        counts.add(environment._elapsed - before)
    assert counts == {2, 3, 4}


@pytest.mark.parametrize(
    "name", ["Pong-ramNoFrameskip-v4", "ALE/Pong-ram-v5", "ALE/Pong-v7", "Pong-v3", "ALE/PongDeterministic-v5"]
)
def test_other_versions_are_refused(name):
    with pytest.raises(UnknownGameError, match=r"the memory|no version"):
        environment_factory(name)


def test_ids_in_names_of_files():
    assert find_environment_id("dqn_PongDeterministic-v4") == "PongDeterministic-v4"
    assert find_environment_id("a2c_Pong-v4") == "Pong-v4"
    assert find_environment_id("Nothing-v4") is None


TOML = 'id = "ALE/Breakout-v5"\nsize = [84, 84]\nresize = "linear"\nmaximum = 2\norder = ["gray", "crop", "resize"]\n'


def test_an_atari_game_is_described(tmp_path: Path):
    (tmp_path / "linear.toml").write_text(TOML)
    for environment in (
        environment_factory(str(tmp_path / "linear.toml"))(),
        environment_factory(find_description(str(tmp_path / "linear.toml")))(),
    ):
        assert isinstance(environment, AtariEnvironment)
        assert environment.config.skips == (4, 5) and environment.config.sticky == 0.25
        assert environment.spec.interface == Interface("ALE/Breakout-v5", ("NOOP", "FIRE", "RIGHT", "LEFT"), (4, 84, 84))
    description = find_description(str(tmp_path / "linear.toml"))
    colour = environment_factory(replace(description, gray=False, frames=1))()
    step = colour.reset(0)
    assert step.observation.shape == (3, 84, 84) == colour.spec.observation_shape
    np.testing.assert_array_equal(step.observation.transpose(1, 2, 0), step.frame)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('resize = "bilinear"', "one of area, linear"),
        ("resize = 3", "type str"),
        ('gray = "rec2020"', "one of emulator, rec601"),
        ('order = ["crop", "gray"]', "each of crop, resize, gray once"),
        ("maximum = 3", "1 .the last frame. or 2"),
        ("pad = [1, 2]", "pad = .top, bottom"),
        ("crop = [200, 10, 0, 0]", "leaves 0x160"),
        ('actions = ["a"]', "leave out actions"),
    ],
)
def test_invalid_descriptions_are_refused(line, message, tmp_path):
    (tmp_path / "game.toml").write_text(f'id = "ALE/Breakout-v5"\n{line}\n')
    with pytest.raises(ConfigError) as caught:
        environment_factory(str(tmp_path / "game.toml"))()
    assert __import__("re").search(message, str(caught.value))
