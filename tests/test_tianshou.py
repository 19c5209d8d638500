"""Agents of Tianshou, loaded by the code on the page about them."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from noise import images
from page_code import blocks

from weakspot.agents.load import load_agent

pytest.importorskip("tianshou", reason="Tianshou is not installed: make test-frameworks")

from tianshou.algorithm.modelfree.dqn import DQN, DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.ppo import PPO
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Batch
from tianshou.env.atari.atari_network import DQNet, ScaledObsInputActionReprNet
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic

torch.set_num_threads(1)
ACTIONS = gymnasium.spaces.Discrete(6)


def loaded(algorithm, function, tmp_path):
    torch.save(algorithm.state_dict(), tmp_path / "policy.pth")
    (tmp_path / "my_agent.py").write_text(blocks("tianshou")[0])
    return load_agent(f"{tmp_path / 'my_agent.py'}:{function}", environment="pong")


def test_dqn(tmp_path):
    network = ScaledObsInputActionReprNet(DQNet(4, 84, 84, 6))
    policy = DiscreteQLearningPolicy(model=network, action_space=ACTIONS)
    agent = loaded(DQN(policy=policy, optim=AdamOptimizerFactory(), target_update_freq=10), "dqn", tmp_path)
    assert agent.spec.scores_are == "q-values"
    theirs = policy(Batch(obs=images().numpy(), info=Batch()))
    torch.testing.assert_close(agent(images()).scores, theirs.logits.detach())
    assert np.array_equal(agent(images()).scores.argmax(dim=1), theirs.act)


def test_ppo(tmp_path):
    features = ScaledObsInputActionReprNet(DQNet(4, 84, 84, 6, features_only=True, output_dim_added_layer=512))
    actor = DiscreteActor(preprocess_net=features, action_shape=6, softmax_output=False)
    critic = DiscreteCritic(preprocess_net=features)
    policy = DiscreteActorPolicy(actor=actor, action_space=ACTIONS)
    agent = loaded(PPO(policy=policy, critic=critic, optim=AdamOptimizerFactory()), "ppo", tmp_path)
    assert agent.spec.scores_are == "log-probabilities"
    with torch.no_grad():
        theirs = policy(Batch(obs=images().numpy(), info=Batch())).dist.logits
        torch.testing.assert_close(agent(images()).scores, theirs)
        torch.testing.assert_close(agent(images()).value, critic(images())[:, 0])
