"""Agents of skrl, loaded from real checkpoints by the code on the page about them."""

from __future__ import annotations

import pytest
import torch
from noise import images
from page_code import blocks

from weakspot.agents.load import load_agent

pytest.importorskip("skrl", reason="skrl is not installed")

from skrl.agents.torch.dqn import DQN, DQN_CFG
from skrl.agents.torch.ppo import PPO, PPO_CFG

torch.set_num_threads(1)


@pytest.fixture
def page(tmp_path):
    """The names that the code on the page defines, in a file next to the checkpoint."""
    path = tmp_path / "my_agent.py"
    path.write_text(blocks("skrl")[0])
    names = {"__file__": str(path)}
    exec(path.read_text(), names)
    return names


def agent_of(kind, settings, models, page):
    return kind(
        models=models,
        memory=None,
        observation_space=page["OBSERVATIONS"],
        action_space=page["ACTIONS"],
        device="cpu",
        cfg=settings,
    )


def test_ppo(page, tmp_path):
    spaces = (page["OBSERVATIONS"], page["ACTIONS"], "cpu")
    models = {"policy": page["Policy"](*spaces), "value": page["Value"](*spaces)}
    agent_of(PPO, PPO_CFG(), models, page).save(str(tmp_path / "best_agent.pt"))
    agent = load_agent(f"{tmp_path / 'my_agent.py'}:ppo", environment="pong")
    assert agent.spec.scores_are == "log-probabilities"
    rows = {"observations": images().flatten(1)}
    with torch.no_grad():
        _, outputs = models["policy"].act(rows, role="policy")
        torch.testing.assert_close(agent(images()).scores, outputs["net_output"].log_softmax(dim=1))
        torch.testing.assert_close(outputs["net_output"], models["policy"].net(images() / 255))
        value, _ = models["value"].act(rows, role="value")
        torch.testing.assert_close(agent(images()).value, value[:, 0])


def test_dqn(page, tmp_path):
    spaces = (page["OBSERVATIONS"], page["ACTIONS"], "cpu")
    models = {role: page["Value"](*spaces, outputs=6) for role in ("q_network", "target_q_network")}
    agent_of(DQN, DQN_CFG(), models, page).save(str(tmp_path / "best_agent.pt"))
    agent = load_agent(f"{tmp_path / 'my_agent.py'}:dqn", environment="pong")
    assert agent.spec.scores_are == "q-values"
    with torch.no_grad():
        values, _ = models["q_network"].act({"observations": images().flatten(1)}, role="q_network")
        torch.testing.assert_close(agent(images()).scores, values)
        torch.testing.assert_close(values, models["q_network"].net(images() / 255))
