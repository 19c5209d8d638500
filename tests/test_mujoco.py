"""Editing MuJoCo environments, on the real ones; `make test-frameworks` installs them."""

import gymnasium
import numpy as np
import pytest

from weakspot.envs.editors import mujoco as editor

pytest.importorskip("mujoco", reason="MuJoCo is not installed; `make test-frameworks` has it")


@pytest.fixture(params=["InvertedPendulum-v5", "Hopper-v5", "Ant-v5"])
def environment(request):
    made = gymnasium.make(request.param).unwrapped
    made.reset(seed=3)
    yield made
    made.close()


def test_variables_are_positions_and_velocities(environment):
    model = environment.model
    assert editor.recognises(environment) and not editor.recognises(gymnasium.make("CartPole-v1").unwrapped)
    names = [variable.name for variable in editor.variables(environment)]
    assert len(names) == model.nq + model.nv == len(editor.read(environment)) and len(set(names)) == len(names)
    np.testing.assert_array_equal(editor.read(environment)[: model.nq], environment.data.qpos)


def test_changed_values_are_read_again_and_play_goes_on_from_them(environment):
    for action in np.random.default_rng(0).uniform(-1, 1, (20, *environment.action_space.shape)):
        environment.step(action)
    before = editor.read(environment)
    editor.write(environment, {})
    np.testing.assert_array_equal(editor.read(environment), before)
    last = len(before) - 1
    editor.write(environment, {0: before[0] + 0.1, last: -0.5})
    after = editor.read(environment)
    assert after[0] == before[0] + 0.1 and after[last] == -0.5
    np.testing.assert_array_equal(after[1:last], before[1:last])
    still = np.zeros(environment.action_space.shape)
    environment.step(still)
    played = editor.read(environment)
    editor.write(environment, dict(enumerate(after)))
    environment.step(still)
    np.testing.assert_allclose(editor.read(environment), played, atol=1e-6)
    assert not np.allclose(played, after), "the velocity moves it"


def test_joints_have_their_names():
    made = gymnasium.make("InvertedPendulum-v5").unwrapped
    made.reset(seed=0)
    names = [variable.name for variable in editor.variables(made)]
    assert names[:2] == ["slider position", "hinge position"] and names[2] == "velocity 0"
