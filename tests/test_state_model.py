"""The networks and recipes of the state model, their training, its checkpoints and its file."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_pong import SmallAgent, make_batch
from torch import nn

from weakspot.agents.base import Perceiver
from weakspot.agents.module import ModuleAgent
from weakspot.data.dataset import as_state
from weakspot.envs.observation import colour_observation, gray_observation
from weakspot.errors import CollapsedPosteriorWarning, ConfigError, LeftoverError, OutputError, StateModelError
from weakspot.saliency.rules import saliency
from weakspot.saliency.weights import loss_weights
from weakspot.state_model import whitening
from weakspot.state_model.batch import Batch, with_full_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.fast import FastConfig, FastNetwork, FastRecipe, merge_frames, split_frames, unpatch
from weakspot.state_model.feeder import with_batch_size
from weakspot.state_model.flow import FlowConfig
from weakspot.state_model.model import load, save
from weakspot.state_model.paper import PaperConfig, PaperNetwork, PaperRecipe
from weakspot.state_model.recipes import RECIPES, check_size, recipe
from weakspot.state_model.train import train
from weakspot.state_model.trainer import gradients
from weakspot.system.metrics import drop_metrics_after, read_line

SMALL = FastConfig(width=8, code=6, batch_size=4)
SMALL_RECIPE = FastRecipe(SMALL, FlowConfig(width=32, depth=1, heads=2, batch_size=32))


def test_paper_network_matches_section_4_1():
    network = PaperNetwork((12, 84, 84))
    convolutions = [m for m in network.encoder if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size, c.stride) for c in convolutions] == [
        (32, (3, 3), (2, 2)), (64, (3, 3), (2, 2)), (128, (3, 3), (2, 2)), (256, (3, 3), (2, 2)),
    ]  # fmt: skip
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.encoder) == 4
    assert (network.mean.out_features, network.log_variance.out_features) == (100, 100)
    deconvolutions = [m for m in network.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert [c.out_channels for c in deconvolutions] == [128, 64, 32, 12]
    assert network.decoder(network.expand(torch.zeros(2, 100))).shape == (2, 12, 128, 128)
    assert network.decode(torch.zeros(2, 100)).shape == (2, 12, 84, 84)


def test_frames_larger_than_the_papers_canvas_are_refused():
    for name in RECIPES:
        check_size(name, 128, 84)
    check_size("fast", 400, 400)
    with pytest.raises(ConfigError, match="frames of 84x129 for the recipe paper-vae"):
        check_size("paper-vae", 84, 129)


def test_settings_of_the_paper_recipe_match_the_paper():
    config = PaperConfig()
    assert (config.perception, config.prior, config.learning_rate, config.batch_size) == (1e-3, 1e-4, 1e-3, 16)


@pytest.mark.parametrize("shape", [(12, 84, 84), (3, 96, 96), (12, 50, 70)])
def test_the_fast_network_takes_any_size_and_starts_at_the_median(shape):
    median = torch.rand(3, *shape[1:])
    network = FastNetwork(median, shape[0] // 3, code=6, width=8)
    mean, log_variance = network.encode(torch.rand(2, *shape))
    assert mean.shape == log_variance.shape == (2, network.latent)
    torch.testing.assert_close(
        network.decode(torch.randn(2, network.latent)), median.repeat(shape[0] // 3, 1, 1).expand(2, *shape)
    )


def test_sizes_that_patches_do_not_fill_are_padded_with_the_median():
    generator = torch.Generator().manual_seed(0)
    median = torch.rand(3, 50, 70, generator=generator)
    network = FastNetwork(median, 2, code=6, width=8)
    nn.init.normal_(network.decoder[-1].weight, std=0.1, generator=generator)
    whole = FastNetwork(F.pad(median, (0, 2, 0, 2)), 2, code=6, width=8)
    whole.load_state_dict({**network.state_dict(), "median": whole.median})
    state = torch.rand(2, 6, 50, 70, generator=generator)
    padded = torch.cat([F.pad(state, (0, 2)), torch.zeros(2, 6, 2, 72)], dim=2)
    for output, expected in zip(network.encode(state), whole.encode(padded), strict=True):
        torch.testing.assert_close(output, expected)
    latents = torch.randn(2, network.latent, generator=generator)
    torch.testing.assert_close(network.decode(latents), whole.decode(latents)[:, :, :50, :70])


def test_fast_network_treats_frames_equally_and_independently():
    generator = torch.Generator().manual_seed(0)
    network = FastNetwork(torch.rand(3, 24, 32, generator=generator), 4, code=6, width=8)
    for parameter in network.decoder[-1].parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    state = torch.rand(2, 12, 24, 32, generator=generator)
    rolled = torch.cat([state[:, 3:], state[:, :3]], dim=1)
    mean, log_variance = network.encode(state)
    for output, output_rolled in zip((mean, log_variance), network.encode(rolled), strict=True):
        torch.testing.assert_close(output_rolled, output.roll(-6, dims=1), atol=1e-5, rtol=1e-4)
    decoded = network.decode(mean)
    torch.testing.assert_close(network.decode(mean.roll(-6, dims=1)), decoded.roll(-3, dims=1), atol=1e-5, rtol=1e-4)
    moved = mean.clone()
    moved[:, 6:12] += 1.0
    changed = (network.decode(moved) - decoded).detach().abs().amax(dim=(0, 2, 3)) > 1e-3
    assert changed.tolist() == [False] * 3 + [True] * 3 + [False] * 6


def test_muon_trains_all_weights_between_the_first_and_the_last_layer(statistics):
    network = recipe("fast").network(statistics, torch.float32)
    inner = {id(weight) for weight in network.inner_weights()}
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    outer = [convolutions[0], next(module for module in reversed(convolutions) if isinstance(module, nn.Conv2d))]
    assert inner == {id(module.weight) for module in convolutions if all(module is not one for one in outer)}
    muon, adamw = recipe("fast").optimizers(network)
    trained = [{id(p) for group in one.param_groups for p in group["params"]} for one in (muon, adamw)]
    assert trained[0] == inner and trained[0] | trained[1] == {id(p) for p in network.parameters()}


def test_together_is_the_inverse_of_apart():
    maps = torch.randn(2, 4 * 5, 3, 6, generator=torch.Generator().manual_seed(0))
    frames = split_frames(maps, 4)
    assert torch.equal(frames, maps.unflatten(1, (4, 5)).flatten(0, 1))
    assert torch.equal(merge_frames(frames, 4), maps)


def test_fast_loss_matches_its_equation(pong_rollout, statistics):
    _, perceive, _ = pong_rollout
    fast_recipe = SMALL_RECIPE
    network = fast_recipe.network(statistics, torch.float32)
    nn.init.normal_(network.decoder[-1].weight, std=0.05)
    batch = make_batch(pong_rollout, network.latent)
    batch.state[0, :, 20:40] = 1.0 - batch.state[0, :, 20:40]  # a state that differs a lot from the median frame
    total, terms = fast_recipe.loss(network, batch, perceive, statistics)
    mean, log_variance = network.encode(batch.state)
    reconstructed = network.decode(mean + (0.5 * log_variance).exp() * batch.noise)
    from weakspot.saliency.weights import decode_maps

    maps = decode_maps(batch.saliency).repeat_interleave(2, 2).repeat_interleave(2, 3)
    moving = ((batch.state - statistics.median.repeat(4, 1, 1)).abs() > 0.06).float()
    share = moving.mean(dim=(1, 2, 3), keepdim=True).clamp(min=0.05)
    assert bool((share > 0.05).any()) and bool((share == 0.05).any()), "otherwise only one case is tested"
    weights = (0.2 + 0.5 * maps + 0.3 * moving / share) / (2 * 1e-3)
    expected = (weights * (reconstructed - batch.state) ** 2).sum() / 4
    torch.testing.assert_close(terms["reconstruction"], expected, rtol=1e-4, atol=1e-4)
    outputs = perceive(reconstructed).vector()
    output_error = ((outputs - batch.output) ** 2 / statistics.output_variance).sum() / 4
    torch.testing.assert_close(terms["perception"], output_error, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(total, expected + 30 * output_error + terms["prior"], rtol=1e-4, atol=1e-4)


def test_paper_loss_matches_its_equation_and_ablations_leave_terms_out(pong_rollout, statistics):
    _, perceive, _ = pong_rollout
    full, attentive, vae = (PaperRecipe(PaperConfig(loss=name)) for name in ("full", "attentive", "vae"))
    network = full.network(statistics, torch.float32)
    batch = make_batch(pong_rollout, 100)
    mean, log_variance = network.encode(batch.state)
    reconstructed = network.decode(mean + (0.5 * log_variance).exp() * batch.noise)
    weights = loss_weights(saliency(perceive, batch.state)).repeat_interleave(3, dim=1) / 3
    weighted = (weights * (reconstructed - batch.state).square()).sum() / len(batch.state)
    total, terms = full.loss(network, batch, perceive, statistics)
    torch.testing.assert_close(terms["reconstruction"], weighted)
    torch.testing.assert_close(
        terms["perception"], (batch.output - perceive(reconstructed).vector()).square().sum(dim=1).mean()
    )
    torch.testing.assert_close(terms["prior"], 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean())
    scale = full.config.scale
    torch.testing.assert_close(total, scale * terms["reconstruction"] + 1e-3 * terms["perception"] + 1e-4 * terms["prior"])
    total, terms = attentive.loss(network, batch, perceive, statistics)
    assert set(terms) == {"reconstruction", "prior"}
    torch.testing.assert_close(total, scale * weighted + 1e-4 * terms["prior"])
    total, terms = vae.loss(network, batch, perceive, statistics)
    torch.testing.assert_close(terms["reconstruction"], (reconstructed - batch.state).square().mean())
    assert float(weighted) != pytest.approx(float(terms["reconstruction"]), rel=1e-3), "the weights make a difference"


def test_paper_loss_weighs_colours_separately_if_the_agent_sees_them(pong_rollout, statistics):
    _, gray, _ = pong_rollout
    module = nn.Sequential(nn.Conv2d(12, 4, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(400, 6))
    spec = replace(gray.agent.spec, observation_shape=(12, 84, 84))
    perceive = Perceiver(ModuleAgent(module, spec), colour_observation)
    paper_recipe = PaperRecipe(PaperConfig())
    network = paper_recipe.network(statistics, torch.float32)
    batch = make_batch(pong_rollout, 100)
    _, terms = paper_recipe.loss(network, batch, perceive, statistics)
    mean, log_variance = network.encode(batch.state)
    reconstructed = network.decode(mean + (0.5 * log_variance).exp() * batch.noise)
    weights = loss_weights(saliency(perceive, batch.state))
    torch.testing.assert_close(
        terms["reconstruction"], (weights * (reconstructed - batch.state) ** 2).sum() / len(batch.state)
    )


@pytest.mark.parametrize("name", list(RECIPES))
def test_gradients_match_finite_differences_along_a_direction(pong_rollout, statistics, name):
    _, perceive, _ = pong_rollout
    chosen = SMALL_RECIPE if name == "fast" else recipe(name)
    network = chosen.network(statistics, torch.float32).eval()
    if name == "fast":
        nn.init.normal_(network.decoder[-1].weight, std=0.05)
    batch = make_batch(pong_rollout, network.latent)
    parameters = list(network.parameters())
    gradient, _ = gradients(chosen, network, batch, perceive, statistics, 1.0)
    direction = [g.clone() for g in gradient]  # the gradient: along any other direction, the derivative is almost zero
    norm = sum(float((d * d).sum()) for d in direction) ** 0.5

    def shifted(step: float) -> float:
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += step / norm * d
        loss, _ = chosen.loss(network, batch, perceive, statistics)
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p -= step / norm * d
        return loss.item()

    derivative = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True)) / norm
    step = 5e-3 * abs(shifted(0.0)) / derivative
    assert derivative > 0 and (shifted(step) - shifted(-step)) / (2 * step) == pytest.approx(derivative, rel=0.05)


def test_gradients_of_a_split_batch_add_up_to_those_of_the_whole(pong_rollout, statistics):
    _, perceive, _ = pong_rollout
    fast_recipe = SMALL_RECIPE
    network = fast_recipe.network(statistics, torch.float32)
    nn.init.normal_(network.decoder[-1].weight, std=0.05)
    batch = make_batch(pong_rollout, network.latent)
    whole, _ = gradients(fast_recipe, network, batch, perceive, statistics, 1.0)
    halves = []
    for rows in (slice(0, 2), slice(2, 4)):
        half = Batch(batch.state[rows], batch.saliency[rows], batch.output[rows], batch.noise[rows])
        halves.append(gradients(fast_recipe, network, half, perceive, statistics, 0.5)[0])
    for g, a, b in zip(whole, *halves, strict=True):
        torch.testing.assert_close(g, a + b, rtol=1e-3, atol=1e-3 * float(g.abs().max()) + 1e-6)


def test_bfloat16_matches_states_losses_and_gradients_of_float32(pong_rollout, statistics):
    """The precision of training on CUDA, tested on the CPU."""
    _, perceive, _ = pong_rollout
    chosen = recipe("fast")
    exact, half = (chosen.network(statistics, precision) for precision in (torch.float32, torch.bfloat16))
    generator = torch.Generator().manual_seed(0)
    for parameter in exact.parameters():  # some are zero at the start
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    half.load_state_dict(exact.state_dict())
    batch = make_batch(pong_rollout, exact.latent, 8)
    latent = torch.randn(8, exact.latent, generator=generator)
    with torch.no_grad():
        latents, half_latents = exact.encode(batch.state), half.encode(batch.state)
        decoded, half_decoded = exact.decode(latent), half.decode(latent)
    for exact_latent, half_latent in zip(latents, half_latents, strict=True):
        assert half_latent.dtype == torch.float32 and float((half_latent - exact_latent).norm() / exact_latent.norm()) < 0.02
    assert half_decoded.dtype == torch.float32 and float(decoded.std()) > 0.05
    assert float((half_decoded - decoded).norm() / (decoded - statistics.background).norm()) < 0.02
    (loss, terms), (half_loss, half_terms) = (chosen.loss(network, batch, perceive, statistics) for network in (exact, half))
    assert half_loss.item() == pytest.approx(loss.item(), rel=0.02)
    assert all(half_terms[name].item() == pytest.approx(terms[name].item(), rel=0.05) for name in terms)
    flat_gradients = [
        torch.cat([part.flatten() for part in torch.autograd.grad(value, list(network.parameters()))])
        for value, network in ((loss, exact), (half_loss, half))
    ]
    assert float(torch.cosine_similarity(*flat_gradients, dim=0)) > 0.99
    assert float(flat_gradients[1].norm() / flat_gradients[0].norm()) == pytest.approx(1.0, abs=0.05)


def test_batches_are_larger_on_cuda_if_the_recipe_allows(pong_rollout, tmp_path):
    config, cuda = TrainConfig(), torch.device("cuda")
    fast, paper = recipe("fast"), recipe("paper")
    assert with_batch_size(fast, config, torch.device("cpu")) is fast and with_batch_size(paper, config, cuda) is paper
    larger = with_batch_size(fast, config, cuda)
    assert larger.config == replace(fast.config, batch_size=16 * fast.config.batch_size)
    assert with_batch_size(fast, replace(config, batch_size=5), cuda).config.batch_size == 5
    dataset, perceive, maps = pong_rollout
    model = train(perceive, dataset, maps, TrainConfig(steps=2, prior_steps=1, batch_size=7), tmp_path)
    assert model.info["settings"]["batch_size"] == 7
    with pytest.raises(ConfigError, match="batches of -1"):
        TrainConfig(batch_size=-1)


def test_states_with_black_history_are_left_out(pong_rollout):
    dataset, _, _ = pong_rollout
    indices = with_full_history(dataset, np.arange(len(dataset)))
    assert len(indices) == len(dataset) - 3 * int((dataset.age == 0).sum())
    assert (dataset.stacks(indices).max(axis=(2, 3, 4)) > 0).all()


def test_training_resumes_and_ends_in_the_same_bits(pong_rollout, tmp_path):
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(steps=30, prior_steps=2, checkpoint_every=0.0, workers=2, precision="float32")
    once = train(perceive, dataset, maps, config, tmp_path / "once", chosen_recipe=SMALL_RECIPE)

    class EnoughError(Exception):
        pass

    def stop(model):
        if model.info["steps"] >= 12:
            raise EnoughError
        return {}

    with pytest.raises(EnoughError):
        short = TrainConfig(steps=30, prior_steps=2, checkpoint_every=0.0, measure_every=0.0, workers=2, precision="float32")
        train(perceive, dataset, maps, short, tmp_path / "twice", chosen_recipe=SMALL_RECIPE, measures=stop)
    twice = train(perceive, dataset, maps, config, tmp_path / "twice", chosen_recipe=SMALL_RECIPE)
    for a, b in zip(once.network.parameters(), twice.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_kill_after_the_last_step_changes_no_metrics(pong_rollout, tmp_path, monkeypatch):
    """Neither the loss terms are lost, nor is the last measurement there twice."""
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(steps=3, prior_steps=1, workers=1, precision="float32")

    def trained(name):
        return train(
            perceive, dataset, maps, config, tmp_path / name, chosen_recipe=SMALL_RECIPE, measures=lambda model: {"a": 1}
        )

    def metrics(name):
        lines = [read_line(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]

    trained("once")
    with monkeypatch.context() as broken:
        broken.setattr("weakspot.state_model.train.store_model", lambda *arguments: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                trained("twice")
    trained("twice")
    assert metrics("twice") == metrics("once") and "loss" in metrics("once")[0]


def test_workers_change_the_result_by_rounding_only(pong_rollout, tmp_path):
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(steps=4, prior_steps=1, precision="float32")
    alone, split = (
        train(perceive, dataset, maps, replace(config, workers=n), tmp_path / str(n), chosen_recipe=SMALL_RECIPE)
        for n in (1, 2)
    )
    for a, b in zip(alone.network.parameters(), split.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_metrics_up_to_the_checkpoint_are_kept(tmp_path):
    lines = tmp_path / "metrics.jsonl"
    lines.write_bytes(b'{"step": 5}\n\xff\xfe\n7\n{"step": 12}\n{"step": 13}\n{"ste')
    with pytest.raises(LeftoverError, match="line 2 of"):
        drop_metrics_after(lines, 12)
    lines.write_bytes(b'{"step": 5}\n{"step": 12}\n{"step": 13}\n{"ste')
    drop_metrics_after(lines, 12)
    assert lines.read_text() == '{"step": 5}\n{"step": 12}\n'
    drop_metrics_after(tmp_path / "none.jsonl", 12)
    assert not (tmp_path / "none.jsonl").exists()


def test_killed_training_loses_no_measurements(pong_rollout, tmp_path):
    """A checkpoint follows each measurement here, so that each is present once, and in order."""
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(steps=6, prior_steps=1, checkpoint_every=0.0, measure_every=0.0, workers=1)

    def interrupt(model):
        if model.info["steps"] == 4:
            raise KeyboardInterrupt
        return {"seen": model.info["steps"]}

    with pytest.raises(KeyboardInterrupt):
        train(perceive, dataset, maps, config, tmp_path, chosen_recipe=SMALL_RECIPE, measures=interrupt)
    train(
        perceive, dataset, maps, config, tmp_path, chosen_recipe=SMALL_RECIPE,
        measures=lambda model: {"seen": model.info["steps"]},
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["seen"] for line in lines if "seen" in line] == [1, 2, 3, 4, 5, 6, 6], "the last one is of the final model"


def test_finished_training_is_reused_for_any_number_of_workers(pong_rollout, tmp_path):
    """Another number of cores must not discard hours of training."""
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(steps=6, prior_steps=2, workers=2, precision="float32")
    model = train(perceive, dataset, maps, config, tmp_path, chosen_recipe=SMALL_RECIPE)
    alone = train(perceive, dataset, maps, replace(config, workers=1), tmp_path, chosen_recipe=SMALL_RECIPE)
    for a, b in zip(model.network.parameters(), alone.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_finished_training_is_loaded_until_its_budget_or_flow_changes(pong_rollout, tmp_path):
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(steps=3, prior_steps=2, precision="float32")

    def steps(model):
        return model.info["steps"], model.info["flow"]["steps"]

    model = train(perceive, dataset, maps, config, tmp_path)
    for name in ("checkpoint.pt", "prior.pt", "metrics.jsonl"):
        (tmp_path / name).unlink(missing_ok=True)  # so that nothing could be resumed
    times = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    loaded = train(perceive, dataset, maps, config, tmp_path)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == times
    noise = torch.randn(2, model.latent, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.generate(noise), loaded.generate(noise))
    description = tmp_path / "model.json"
    before = description.read_text()
    assert steps(train(perceive, dataset, maps, replace(config, steps=4), tmp_path)) == (4, 2)
    description.write_text(before)  # as a kill between the weights and their description leaves it
    train(perceive, dataset, maps, config, tmp_path)
    assert json.loads(description.read_text())["steps"] == 4
    assert steps(train(perceive, dataset, maps, replace(config, steps=4, prior_steps=3), tmp_path)) == (4, 3)
    description.write_text("{")
    assert steps(train(perceive, dataset, maps, config, tmp_path))[0] == 4  # its checkpoint is further ahead


def test_training_learns_more_than_the_median_frame(pong_rollout, tmp_path):
    """Measured over all pixels, not only over moving ones, which have most of the weight and are learned in thirty steps."""
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(steps=240, prior_steps=2, workers=2, precision="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapsedPosteriorWarning)
        model = train(perceive, dataset, maps, config, tmp_path, chosen_recipe=SMALL_RECIPE)
    state = as_state(dataset.stacks(np.arange(40, 60)))
    median = model.network.median
    assert (model.reconstruct(state) - state).square().sum() < (median - state).square().sum()


KILLED = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from small_pong import Perceiver, SmallAgent, gray_observation, load_maps
    from test_state_model import SMALL_RECIPE
    from weakspot.data.dataset import StateDataset
    from weakspot.state_model.train import TrainConfig, train
    dataset = StateDataset.open({states!r})
    config = TrainConfig(steps=4000, prior_steps=2, checkpoint_every=0.0, workers=1, precision="float32")
    train(Perceiver(SmallAgent(), gray_observation), dataset, load_maps(Path({maps!r}), len(dataset)), config,
          Path(sys.argv[1]), chosen_recipe=SMALL_RECIPE)
"""


def test_killed_training_resumes(pong_rollout, tmp_path):
    dataset, perceive, maps = pong_rollout
    script = textwrap.dedent(KILLED).format(
        tests=str(Path(__file__).parent), states=str(dataset.folder), maps=str(dataset.folder.parent / "maps.npy")
    )
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stored = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert 0 < stored["steps"] < 4000
    config = TrainConfig(steps=stored["steps"] + 5, prior_steps=2, workers=1, precision="float32")
    model = train(perceive, dataset, maps, config, folder, chosen_recipe=SMALL_RECIPE)
    assert model.info["steps"] == stored["steps"] + 5


def test_nan_outputs_of_the_agent_stop_the_training_with_an_error(pong_rollout, tmp_path):
    dataset, _, maps = pong_rollout
    perceive = Perceiver(SmallAgent(float("nan")), gray_observation)
    with pytest.raises(OutputError, match="returned NaN or infinity for a reconstructed state"):
        train(perceive, dataset, maps, TrainConfig(steps=3, prior_steps=2), tmp_path, chosen_recipe=SMALL_RECIPE)


def test_models_are_written_and_read_again(pong_rollout, statistics, tmp_path):
    dataset, perceive, maps = pong_rollout
    model = train(perceive, dataset, maps, TrainConfig(steps=3, prior_steps=2, recipe="fast", precision="float32"), tmp_path)
    loaded = load(tmp_path / "model.safetensors")
    state = as_state(dataset.stacks(np.arange(20, 24)))
    assert torch.equal(model.reconstruct(state), loaded.reconstruct(state))
    noise = torch.randn(2, model.latent)
    assert torch.equal(model.generate(noise), loaded.generate(noise))
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StateModelError, match="damaged"):
        load(path)
    with pytest.raises(StateModelError, match="there is no state model"):
        load(tmp_path / "none.safetensors")
    save(model, statistics, path)
    assert load(path).info["recipe"] == "fast"


def test_flow_is_trained_after_the_network_and_read_again(pong_rollout, tmp_path):
    dataset, perceive, maps = pong_rollout
    config = TrainConfig(steps=3, prior_steps=4, precision="float32")
    shares: list[float] = []
    model = train(perceive, dataset, maps, config, tmp_path, progress=lambda share, text: shares.append(share))
    assert model.info["flow"]["steps"] == 4 and shares[-1] == 1.0
    read = load(tmp_path / "model.safetensors")
    noise = torch.randn(3, model.latent, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(read.generate(noise), model.generate(noise))
        assert not torch.equal(read.prior.to_latent(noise), model.prior.whitening.to_latent(noise))
    (tmp_path / "model.safetensors").unlink()
    again = train(perceive, dataset, maps, config, tmp_path)  # only the file is left to write
    assert all(torch.equal(tensor, again.prior.tensors()[name]) for name, tensor in model.prior.tensors().items())


def test_whitened_latents_have_mean_zero_and_covariance_one():
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(5_000, 4, generator=generator) @ torch.tensor(
        [[2.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 3, 1], [0, 0, 0, 0.2]]
    )
    fitted = whitening.fit(means + 5, torch.full_like(means, -4.0))
    spread = torch.exp(torch.tensor(-2.0)) * torch.randn(means.shape, generator=generator)
    noise = fitted.to_noise(means + 5 + spread)
    torch.testing.assert_close(noise.mean(0), torch.zeros(4), atol=0.05, rtol=0)
    torch.testing.assert_close(noise.T.cov(), torch.eye(4), atol=0.08, rtol=0)
    torch.testing.assert_close(fitted.to_latent(noise), means + 5 + spread, atol=1e-3, rtol=1e-3)


def test_frames_are_whitened_separately():
    generator = torch.Generator().manual_seed(0)
    frame = torch.randn(5_000, 2, generator=generator) * torch.tensor([3.0, 0.5]) + 1.0
    means = torch.cat([frame, frame + 0.5 * torch.randn(5_000, 2, generator=generator)], dim=1)
    fitted = whitening.fit_frames(means, torch.full_like(means, -6.0), 2)
    assert not bool(fitted.root[:2, 2:].any()) and not bool(fitted.root[2:, :2].any())
    torch.testing.assert_close(fitted.root[:2, :2], fitted.root[2:, 2:])
    covariance = fitted.to_noise(means).T.cov()
    assert float(covariance[:2, 2:].abs().max()) > 0.5, "correlations between frames remain"
    both = 0.5 * (covariance[:2, :2] + covariance[2:, 2:])
    torch.testing.assert_close(both, torch.eye(2), atol=0.05, rtol=0)


def test_generated_states_are_differentiable_through_whitening_and_clamp(pong_rollout, tmp_path):
    dataset, perceive, maps = pong_rollout
    model = train(perceive, dataset, maps, TrainConfig(steps=2, prior_steps=2, precision="float32"), tmp_path)
    noise = torch.randn(2, model.latent, requires_grad=True)
    state = model.generate(noise * 50)
    assert state.min() >= 0.0 and state.max() <= 1.0
    perceive(state).scores.sum().backward()
    assert noise.grad is not None and bool((noise.grad != 0).any())


def test_invalid_settings_are_refused():
    with pytest.raises(ConfigError, match="one of fast, fast-gaussian, paper"):
        recipe("fsat")
    with pytest.raises(ConfigError):
        TrainConfig(minutes=0.0)
    with pytest.raises(ConfigError):
        TrainConfig(held_out=1.0)


def test_unpatch_is_pixel_shuffle_with_the_channels_last():
    patches = torch.randn(2, 16 * 3, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    shuffled = F.pixel_shuffle(patches.unflatten(1, (16, 3)).transpose(1, 2).flatten(1, 2), 4)
    zeros, background = torch.zeros(3, 8, 20), torch.rand(3, 8, 20, generator=torch.Generator().manual_seed(2))
    assert torch.equal(unpatch(patches, zeros), shuffled)
    assert torch.equal(unpatch(patches.bfloat16(), zeros), shuffled.bfloat16().float())
    assert torch.equal(unpatch(patches, background), shuffled + background)
    patches.requires_grad_()
    output_gradient = torch.randn(shuffled.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(unpatch(patches, background), patches, output_gradient)
    (expected,) = torch.autograd.grad(
        F.pixel_shuffle(patches.unflatten(1, (16, 3)).transpose(1, 2).flatten(1, 2), 4), patches, output_gradient
    )
    assert torch.equal(gradient, expected)


def test_budget_in_minutes_uses_the_given_clock(pong_rollout, tmp_path):
    """Each reading advances this clock by half a second, and a step takes two readings."""
    dataset, perceive, maps = pong_rollout
    readings = itertools.count()
    config = TrainConfig(minutes=0.2, prior_share=0.5, workers=1, precision="float32", checkpoint_every=1e9)
    model = train(perceive, dataset, maps, config, tmp_path, chosen_recipe=SMALL_RECIPE, clock=lambda: 0.5 * next(readings))
    assert model.info["steps"] == 12 and model.info["seconds"] == 6.0
    assert model.info["flow"]["steps"] == 12 and model.info["flow"]["seconds"] == 6.0
