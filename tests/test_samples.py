"""Measures of sample quality: object checks, features, diversity, and the classifier test."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from weakspot.agents.base import Perceiver
from weakspot.agents.build import agent_from_network
from weakspot.analysis.classifier_test import classifier_accuracy
from weakspot.analysis.diversity import mean_distance, typical_distance, vendi_score
from weakspot.analysis.features import features, frechet
from weakspot.analysis.objects.pong import pong_checks
from weakspot.data.dataset import as_stacks, as_state
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.envs.observation import gray_observation
from weakspot.games import interface

# --- objects ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    """States of random play, all with full history."""
    environment = AtariEnvironment(AtariConfig("PongNoFrameskip-v4"))
    generator = np.random.default_rng(0)
    environment.reset(3)
    frames = []
    for _ in range(400):
        step = environment.step(int(generator.integers(6)))
        frames.append(step.frame.copy())
        if step.terminated or step.truncated:
            environment.reset(int(generator.integers(1_000)))
    return np.stack([np.stack(frames[i : i + 4]) for i in range(20, 396, 3)])


def with_ball(stacks: np.ndarray) -> np.ndarray:
    """The states with a ball well inside the field in every frame."""
    has_ball = (stacks[:, :, 20:70, 20:64, 2] > 150).any(axis=(2, 3)).all(axis=1)
    return stacks[has_ball]


def test_real_states_pass_the_checks(real):
    assert len(real) > 100 and len(with_ball(real)) > 20
    assert pong_checks(real).valid.mean() > 0.97


def test_second_balls_are_detected_in_any_frame(real):
    chosen = with_ball(real).copy()
    for frame in range(4):
        doubled = chosen.copy()
        doubled[:, frame, 40:42, 30:32] = 236
        doubled[:, frame, 60:62, 50:52] = 236
        assert not pong_checks(doubled).one_ball.any()


def test_smeared_balls_are_detected(real):
    chosen = with_ball(real)
    blurred = torch.nn.functional.avg_pool2d(as_state(chosen), 9, stride=1, padding=4)
    blurred[:, :, :, :14] = as_state(chosen)[:, :, :, :14]
    blurred[:, :, :, 70:] = as_state(chosen)[:, :, :, 70:]
    checks = pong_checks(as_stacks(blurred))
    assert (checks.one_ball & checks.sharp).mean() < 0.1


@pytest.mark.parametrize("side", ["left", "right"])
def test_missing_or_doubled_paddles_are_detected(real, side):
    chosen = with_ball(real).copy()
    band = np.s_[7:12] if side == "left" else np.s_[72:77]
    inner = chosen[getattr(pong_checks(chosen), side)]
    erased = inner.copy()
    erased[:, :, 14:77, band] = (144, 72, 17)
    assert not getattr(pong_checks(erased), side).any()
    doubled = inner.copy()
    doubled[:, :, 14:45, band] = inner[:, :, 45:76, band]
    doubled[:, :, 45:76, band] = inner[:, :, 45:76, band]
    both = (inner[:, :, 50:70, band, 0] != 144).any(axis=(2, 3)).all(axis=1)
    if both.any():
        assert not getattr(pong_checks(doubled[both]), side).any()


# --- the agent's features --------------------------------------------------------------------------------------------


class TwoStreams(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.AvgPool2d(21), nn.Flatten(), nn.Linear(64, 8), nn.ReLU())
        self.advantage, self.value = nn.Linear(8, 6), nn.Linear(8, 1)

    def forward(self, x):
        hidden = self.body(x / 255)
        return self.advantage(hidden) + self.value(hidden)


def test_features_are_the_inputs_of_the_heads_once():
    torch.manual_seed(0)
    perceive = Perceiver(agent_from_network(TwoStreams(), interface("PongNoFrameskip-v4"), name="toy"), gray_observation)
    states = torch.rand(10, 12, 84, 84)
    found = features(perceive, states, batch_size=4)
    with torch.no_grad():
        expected = perceive.agent.module.body(gray_observation(states) / 255)
    assert torch.allclose(found, expected)


def test_frechet_matches_the_closed_form():
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(200_000, 2, generator=generator)
    other = torch.randn(200_000, 2, generator=generator) * torch.tensor([3.0, 1.0]) + torch.tensor([0.0, 4.0])
    assert frechet(one, other) == pytest.approx(math.sqrt(16 + 4), rel=0.01)  # |dm|^2 + (3 - 1)^2
    assert frechet(one, one) == pytest.approx(0.0, abs=1e-5)


# --- diversity -------------------------------------------------------------------------------------------------------


def test_vendi_score_counts_different_samples():
    alike = torch.zeros(16, 3)
    assert vendi_score(alike, 1.0) == pytest.approx(1.0, abs=1e-6)
    apart = 100.0 * torch.eye(16)
    assert vendi_score(apart, 1.0) == pytest.approx(16.0, rel=1e-6)
    four = apart[torch.arange(16) % 4]
    assert vendi_score(four, 1.0) == pytest.approx(4.0, rel=1e-6)


def test_distances():
    line = torch.tensor([[0.0], [1.0], [3.0]])
    assert mean_distance(line) == pytest.approx(2.0)
    assert typical_distance(line) == pytest.approx(2.0)


# --- classifier test -------------------------------------------------------------------------------------------------


def test_classifier_separates_only_samples_that_differ():
    generator = torch.Generator().manual_seed(0)
    real, alike = torch.rand(2, 128, 3, 32, 32, generator=generator)
    marked = alike.clone()
    marked[:, 0, 10:14, 10:14] = 1.0
    assert 0.3 < classifier_accuracy(real, alike, steps=60) < 0.7
    assert classifier_accuracy(real, marked, steps=150) > 0.9
