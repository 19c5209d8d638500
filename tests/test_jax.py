"""Weights of networks in Flax, brought to torch by the code on the page about them."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch
from noise import Noise, images
from page_code import blocks

from weakspot.agents.load import load_agent
from weakspot.errors import WeightsError

torch.set_num_threads(1)


def loaded(tmp_path, function):
    (tmp_path / "my_agent.py").write_text(blocks("jax")[0])
    return load_agent(f"{tmp_path / 'my_agent.py'}:{function}", environment="pong")


def convolution(x, kernel, bias, stride, padding):
    """A convolution of Flax: x (h, w, c), kernel (height, width, in, out)."""
    if padding == "SAME":
        wanted = [-(-size // stride) for size in x.shape[:2]]
        total = [max((n - 1) * stride + k - size, 0) for n, k, size in zip(wanted, kernel.shape, x.shape, strict=False)]
        x = np.pad(x, [*((zeros // 2, zeros - zeros // 2) for zeros in total), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(0, 1))[::stride, ::stride]
    return np.einsum("hwcij,ijco->hwo", windows, kernel) + bias


def reference(weights, x, prefix, padding):
    """Scores of one observation (h, w, c), as Flax computes them."""
    x = x / 255
    for number, stride in enumerate((4, 2, 1)):
        name = f"{prefix}Conv_{number}"
        x = np.maximum(convolution(x, weights[f"{name}/kernel"], weights[f"{name}/bias"], stride, padding), 0)
    hidden, head = (f"{prefix}Dense_0", "Dense_0") if prefix else ("Dense_0", "Dense_1")
    x = np.maximum(x.reshape(-1) @ weights[f"{hidden}/kernel"] + weights[f"{hidden}/bias"], 0)
    return x @ weights[f"{head}/kernel"] + weights[f"{head}/bias"]


def random_weights(prefix: str, flat: int, outputs: int, seed: int) -> dict[str, np.ndarray]:
    hidden, head = (f"{prefix}Dense_0", "Dense_0") if prefix else ("Dense_0", "Dense_1")
    shapes = {
        f"{prefix}Conv_0": (8, 8, 4, 5),
        f"{prefix}Conv_1": (4, 4, 5, 6),
        f"{prefix}Conv_2": (3, 3, 6, 7),
        hidden: (flat * 7, 16),
        head: (16, outputs),
    }
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}/kernel"] = (generator.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)
        weights[f"{name}/bias"] = generator.normal(size=shape[-1:]).astype(np.float32) / 10
    return weights


def references(weights, prefix, padding):
    return np.stack([reference(weights, image, prefix, padding) for image in images().permute(0, 2, 3, 1).numpy()])


def test_a_network_of_dopamine(tmp_path):
    weights = random_weights("", 11 * 11, 6, seed=0)
    np.savez(tmp_path / "weights.npz", **weights)
    agent = loaded(tmp_path, "dopamine")
    assert agent.spec.scores_are == "q-values"
    np.testing.assert_allclose(agent(images()).scores, references(weights, "", "SAME"), rtol=1e-4, atol=1e-5)


def test_networks_of_sbx(tmp_path):
    actor, critic = (random_weights("NatureCNN_0/", 7 * 7, outputs, seed=1) for outputs in (6, 1))
    np.savez(tmp_path / "weights.npz", **actor)
    np.savez(tmp_path / "critic.npz", **critic)
    logits = references(actor, "NatureCNN_0/", "VALID")
    np.testing.assert_allclose(loaded(tmp_path, "sbx_dqn")(images()).scores, logits, rtol=1e-4, atol=1e-5)
    output = loaded(tmp_path, "sbx_ppo")(images())
    torch.testing.assert_close(output.scores, torch.from_numpy(logits).log_softmax(dim=1).float(), rtol=1e-4, atol=1e-5)
    values = references(critic, "NatureCNN_0/", "VALID")[:, 0]
    np.testing.assert_allclose(output.value, values, rtol=1e-4, atol=1e-5)


def test_a_zip_of_sbx_says_what_to_do(tmp_path):
    path = tmp_path / "PongNoFrameskip-v4.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", json.dumps({"policy_class": {":type:": "x", "__module__": "sbx.dqn.policies"}}))
        file.writestr("pytorch_variables.pth", b"")
    with pytest.raises(WeightsError, match="a policy of SBX, in JAX") as caught:
        load_agent(str(path))
    assert "frameworks/jax.md" in caught.value.todo


def save(path, parameters) -> None:
    flax = pytest.importorskip("flax", reason="Flax is not installed: make test-frameworks")
    np.savez(path, **flax.traverse_util.flatten_dict(parameters, sep="/"))


def test_flax_itself(tmp_path):
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed: make test-frameworks")
    jax = pytest.importorskip("jax", reason="JAX is not installed: make test-frameworks")

    class Network(linen.Module):
        """Layers as Dopamine has them, with the padding that is Flax's default."""

        @linen.compact
        def __call__(self, x):
            x = x / 255.0
            for features, window, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
                x = linen.relu(linen.Conv(features, (window, window), (stride, stride))(x))
            x = linen.relu(linen.Dense(512)(x.reshape((len(x), -1))))
            return linen.Dense(6)(x)

    x = images().permute(0, 2, 3, 1).numpy()
    parameters = Network().init(jax.random.PRNGKey(0), x)
    save(tmp_path / "weights.npz", parameters["params"])
    expected = np.asarray(Network().apply(parameters, x))
    np.testing.assert_allclose(loaded(tmp_path, "dopamine")(images()).scores, expected, rtol=1e-3, atol=1e-4)


def test_sbx_itself(tmp_path):
    sbx = pytest.importorskip("sbx", reason="SBX is not installed: make test-frameworks")
    x = images().numpy()
    sbx.DQN("CnnPolicy", Noise(), buffer_size=10, seed=1).save(tmp_path / "agent.zip")
    with pytest.raises(WeightsError, match="a policy of SBX, in JAX"):
        load_agent(str(tmp_path / "agent.zip"), environment="pong")
    state = sbx.DQN.load(tmp_path / "agent.zip").policy.qf_state
    save(tmp_path / "weights.npz", state.params["params"])
    scores = loaded(tmp_path, "sbx_dqn")(images()).scores
    np.testing.assert_allclose(scores, np.asarray(state.apply_fn(state.params, x)), rtol=1e-3, atol=1e-4)

    sbx.PPO("CnnPolicy", Noise(), n_steps=4, batch_size=4, seed=1).save(tmp_path / "agent.zip")
    policy = sbx.PPO.load(tmp_path / "agent.zip").policy
    save(tmp_path / "weights.npz", policy.actor_state.params["params"])
    save(tmp_path / "critic.npz", policy.vf_state.params["params"])
    output = loaded(tmp_path, "sbx_ppo")(images())
    theirs = policy.actor_state.apply_fn(policy.actor_state.params, x)
    actions = torch.arange(6).expand(3, 6)
    log_probabilities = np.stack([np.asarray(theirs.log_prob(column)) for column in actions.T.numpy()], axis=1)
    np.testing.assert_allclose(output.scores, log_probabilities, rtol=1e-3, atol=1e-4)
    values = np.asarray(policy.vf_state.apply_fn(policy.vf_state.params, x)).reshape(-1)
    np.testing.assert_allclose(output.value, values, rtol=1e-3, atol=1e-4)
