"""Images of environments in all forms, and environments that are registered by modules in the current folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from weakspot.checkup import CheckConfig, check_up
from weakspot.envs.described import DescribedEnvironment
from weakspot.envs.description import Description
from weakspot.envs.pictures import picture_of
from weakspot.errors import ConfigError
from weakspot.references import code_files
from weakspot.subject import large_frames

IMAGE = np.random.default_rng(0).integers(256, size=(40, 60, 3), dtype=np.uint8)
GRAY = IMAGE[..., 0]


@pytest.mark.parametrize(
    ("space", "observation", "expected"),
    [
        (Box(0, 255, (40, 60, 3), np.uint8), IMAGE, IMAGE),
        (Box(0, 255, (40, 60), np.uint8), GRAY, np.dstack([GRAY] * 3)),
        (Box(0, 255, (40, 60, 1), np.uint8), GRAY[..., None], np.dstack([GRAY] * 3)),
        (Box(0, 255, (1, 40, 60), np.uint8), GRAY[None], np.dstack([GRAY] * 3)),
        (Box(0, 255, (3, 40, 60), np.uint8), IMAGE.transpose(2, 0, 1), IMAGE),
        (Box(0, 1, (40, 60, 3), np.float32), IMAGE.astype(np.float32) / 255, IMAGE),
        (Box(-1, 1, (3, 40, 60), np.float64), IMAGE.transpose(2, 0, 1) / 127.5 - 1, IMAGE),
        (Box(0, 255, (40, 60), np.float32), GRAY.astype(np.float32) + 0.3, np.dstack([GRAY] * 3)),
    ],
)
def test_images_of_all_forms(space, observation, expected):
    picture = picture_of(space, "Any-v0")
    assert picture.size == (40, 60)
    np.testing.assert_array_equal(picture(observation), expected)


@pytest.mark.parametrize(
    ("space", "cure"),
    [
        (Box(0, 255, (84, 84, 4), np.uint8), "leave the wrapper that stacks them out"),
        (Box(0, 255, (4, 84, 84), np.uint8), "leave the wrapper that stacks them out"),
        (Box(0, 255, (4, 84, 84, 3), np.uint8), "leave the wrapper that stacks them out"),
        (Box(-np.inf, np.inf, (84, 84, 3), np.float32), "bounds of its pixels"),
        (Box(0, 255, (8,), np.uint8), "AddRenderObservation"),
        (Dict(left=Box(0, 255, (84, 84, 3), np.uint8), right=Box(0, 255, (84, 84), np.uint8)), "keep one image alone"),
        (Dict(health=Box(0, 1, (2,), np.float32)), "keep one image alone"),
    ],
)
def test_other_observations_are_refused_with_the_right_cure(space, cure):
    with pytest.raises(ConfigError) as caught:
        picture_of(space, "Any-v0")
    assert cure in caught.value.todo


def test_the_only_image_of_a_dict_is_seen():
    """As ViZDoom and MiniGrid give them."""
    space = Dict(screen=Box(0, 255, (40, 60, 3), np.uint8), gamevariables=Box(-np.inf, np.inf, (2,), np.float32))
    picture = picture_of(space, "Any-v0")
    np.testing.assert_array_equal(picture({"screen": IMAGE, "gamevariables": np.zeros(2)}), IMAGE)


class Still(gymnasium.Env):
    """Shows one picture of a space."""

    action_space = Discrete(2)

    def __init__(self, space: Box, picture: np.ndarray) -> None:
        self.observation_space, self.picture = space, picture

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.picture, {}

    def step(self, action):
        return self.picture, 0.0, False, False, {}


def test_a_picture_that_is_not_square_is_played():
    space = Box(0, 1, (400, 600), np.float32)
    gymnasium.register("Still-v0", lambda: Still(space, np.linspace(0, 1, 240_000, dtype=np.float32).reshape(400, 600)))
    own, small = (DescribedEnvironment(Description("Still-v0", frames=2, size=size)) for size in (None, (84, 84)))
    assert own.reset(0).observation.shape == (2, 400, 600) == own.spec.observation_shape
    step = small.reset(0)
    assert step.observation.shape == (2, 84, 84) and 120 < step.observation[-1].mean() < 136


LARGE_AGENT = """
from torch import nn

def agent():
    return nn.Sequential(nn.AvgPool2d(50), nn.Flatten(), nn.Linear(192, 2))
"""


def test_large_frames_get_a_warning_of_the_time(tmp_path):
    """Channels first, as fractions, and not square; the agent sees them in their own size."""
    space = Box(0, 1, (1, 400, 600), np.float32)
    gymnasium.register("Large-v0", lambda: Still(space, np.zeros((1, 400, 600), np.float32)))
    (tmp_path / "large.py").write_text(LARGE_AGENT)
    (tmp_path / "large.toml").write_text('id = "Large-v0"\nframes = 2\n')
    first = next(check_up(CheckConfig(f"{tmp_path}/large.py:agent", str(tmp_path / "large.toml"))))
    assert first.passed and "frames of 400x600 pixels" in first.seen and "about 34 times as long" in first.seen
    assert not large_frames(DescribedEnvironment(Description("Large-v0", frames=2)).spec)


MODULE = """
import gymnasium, numpy as np
from helping import SIDE

class Walk(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.y = 0, int(self.np_random.integers(40))
        return self.show(), {}

    def show(self):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        picture[self.y % 76:self.y % 76 + 8, self.t % 76:self.t % 76 + 8] = 255
        return picture

    def step(self, action):
        import later  # a module that is imported only in the processes that play
        self.t, self.y = self.t + 1, self.y + int(action) - 1
        return self.show(), later.REWARD, self.t >= 20, False, {}

gymnasium.register("Walk-v0", Walk)
"""
AGENT = """
import torch
from torch import nn

def agent():
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(12), nn.Flatten(), nn.Linear(196, 8), nn.ReLU(), nn.Linear(8, 3))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "walking.py").write_text(MODULE)
    (tmp_path / "helping.py").write_text("SIDE = 84\n")
    (tmp_path / "later.py").write_text("REWARD = 1.0\n")
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "walk.toml").write_text('id = "walking:Walk-v0"\nsize = [84, 84]\n')
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def check(folder: Path, environment: str, agent: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as the console script does: the current folder is not on the path by itself."""
    command = [sys.executable, "-P", "-m", "weakspot.cli", "check-agent", "--agent", agent, "--environment", environment]
    options = ["--episodes", "2", "--score", "20", "--longest", "30"]
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=300)


def test_modules_in_the_current_folder_register_environments(folder):
    process = check(folder, "walking:Walk-v0", "agent.py:agent")
    assert process.returncode == 0 and "20 on average" in process.stdout, process.stdout + process.stderr
    files = {path.name for path in code_files(str(folder / "walk.toml"))}
    assert files == {"walk.toml", "walking.py", "helping.py", "later.py"}, "their changes are part of keys"


def test_modules_next_to_the_description_register_environments(folder):
    process = check(folder / "elsewhere", "../walk.toml", "../agent.py:agent")
    assert process.returncode == 0 and "20 on average" in process.stdout, process.stdout + process.stderr
    process = check(folder / "elsewhere", "walking:Walk-v0", "../agent.py:agent")
    assert process.returncode == 2 and "walking.py in" in process.stdout, process.stdout + process.stderr
