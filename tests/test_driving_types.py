"""Shapes and types in the town, checked while it runs.

In a process of its own: checks double the time of the simulation, and the other tests of the town go without them.
"""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from jaxtyping import install_import_hook
install_import_hook("weakspot.envs.driving", "typechecker.checked")
from weakspot.envs.driving.env import DriveEnv
from weakspot.envs.driving.environment import DriveEnvironment

for pedestrians in ("distracted", "reasonable", "none"):
    env = DriveEnv(size=(24, 32), blocks=(2, 2), cars=6, people=20, pedestrians=pedestrians, render_mode="rgb_array")
    env.reset(seed=1)
    for number in range(40):
        if any(env.step(number % 7)[2:4]):
            env.reset(seed=number)
    env.render()
    env.set_state(env.get_state())
environment = DriveEnvironment("weakspot/Drive96-v0", size=(24, 24), blocks=(2, 2), cars=5, people=20)
environment.reset(3)
environment.restore(environment.snapshot())
environment.step(1)
{break_it}
print("checked")
"""


def run_checked(break_it: str = "") -> subprocess.CompletedProcess[str]:
    script = SCRIPT.replace("{break_it}", break_it)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(300)
def test_arrays_of_the_town_have_their_shapes_and_types():
    finished = run_checked()
    assert finished.returncode == 0 and finished.stdout.strip() == "checked", finished.stderr[-2000:]


def test_a_value_of_another_type_raises():
    finished = run_checked("from weakspot.envs.driving.bicycle import drive\ndrive('no car', 0.0, 0.0, 0.1)")
    assert finished.returncode != 0 and "TypeCheckError" in finished.stderr
