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
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_pong import SmallAgent, batch_of
from torch import nn

from weakspot.agents.base import Perceiver
from weakspot.agents.module import ModuleAgent
from weakspot.data.dataset import as_state
from weakspot.envs.observation import colour_observation, gray_observation
from weakspot.errors import ConfigError, OutputError, StateModelError
from weakspot.saliency.rules import saliency
from weakspot.saliency.weights import loss_weights
from weakspot.state_model import whitening
from weakspot.state_model.batch import Batch, with_full_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.fast import FastConfig, FastNetwork, FastRecipe, apart, together, unpatch
from weakspot.state_model.feeder import sized
from weakspot.state_model.model import load, save
from weakspot.state_model.paper import PaperConfig, PaperNetwork, PaperRecipe
from weakspot.state_model.recipes import RECIPES, check_size, recipe
from weakspot.state_model.train import train
from weakspot.state_model.trainer import gradients
from weakspot.system.metrics import drop_metrics_after

SMALL = FastConfig(width=8, code=6, batch_size=4)


def test_the_papers_network_is_section_4_1_to_the_letter():
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


def test_frames_beyond_the_papers_canvas_are_refused_before_they_are_collected():
    for name in RECIPES:
        check_size(name, 128, 84)
    check_size("fast", 400, 400)
    with pytest.raises(ConfigError, match="frames of 84x129 for the recipe paper-vae"):
        check_size("paper-vae", 84, 129)


def test_the_papers_settings_are_the_papers():
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


def test_a_size_that_patches_do_not_fill_is_padded_with_the_median():
    generator = torch.Generator().manual_seed(0)
    median = torch.rand(3, 50, 70, generator=generator)
    network = FastNetwork(median, 2, code=6, width=8)
    nn.init.normal_(network.decoder[-1].weight, std=0.1, generator=generator)
    whole = FastNetwork(F.pad(median, (0, 2, 0, 2)), 2, code=6, width=8)
    whole.load_state_dict({**network.state_dict(), "median": whole.median})
    state = torch.rand(2, 6, 50, 70, generator=generator)
    padded = torch.cat([F.pad(state, (0, 2)), torch.zeros(2, 6, 2, 72)], dim=2)
    for told, expected in zip(network.encode(state), whole.encode(padded), strict=True):
        torch.testing.assert_close(told, expected)
    codes = torch.randn(2, network.latent, generator=generator)
    torch.testing.assert_close(network.decode(codes), whole.decode(codes)[:, :, :50, :70])


def test_the_fast_network_treats_every_frame_alike_and_apart():
    generator = torch.Generator().manual_seed(0)
    network = FastNetwork(torch.rand(3, 24, 32, generator=generator), 4, code=6, width=8)
    for parameter in network.decoder[-1].parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    state = torch.rand(2, 12, 24, 32, generator=generator)
    turned = torch.cat([state[:, 3:], state[:, :3]], dim=1)
    mean, log_variance = network.encode(state)
    for told, told_turned in zip((mean, log_variance), network.encode(turned), strict=True):
        torch.testing.assert_close(told_turned, told.roll(-6, dims=1), atol=1e-5, rtol=1e-4)
    made = network.decode(mean)
    torch.testing.assert_close(network.decode(mean.roll(-6, dims=1)), made.roll(-3, dims=1), atol=1e-5, rtol=1e-4)
    moved = mean.clone()
    moved[:, 6:12] += 1.0
    changed = (network.decode(moved) - made).detach().abs().amax(dim=(0, 2, 3)) > 1e-3
    assert changed.tolist() == [False] * 3 + [True] * 3 + [False] * 6


def test_frames_taken_apart_are_put_together_again():
    maps = torch.randn(2, 4 * 5, 3, 6, generator=torch.Generator().manual_seed(0))
    frames = apart(maps, 4)
    assert torch.equal(frames, maps.unflatten(1, (4, 5)).flatten(0, 1))
    assert torch.equal(together(frames, 4), maps)


def test_the_fast_loss_is_its_equation(played, statistics):
    _, perceive, _ = played
    made = FastRecipe(SMALL)
    network = made.network(statistics, torch.float32)
    nn.init.normal_(network.decoder[-1].weight, std=0.05)
    batch = batch_of(played, network.latent)
    batch.state[0, :, 20:40] = 1.0 - batch.state[0, :, 20:40]  # a state of which much differs from the median frame
    total, terms = made.loss(network, batch, perceive, statistics)
    mean, log_variance = network.encode(batch.state)
    again = network.decode(mean + (0.5 * log_variance).exp() * batch.noise)
    from weakspot.saliency.weights import decode_maps

    maps = decode_maps(batch.saliency).repeat_interleave(2, 2).repeat_interleave(2, 3)
    moves = ((batch.state - statistics.median.repeat(4, 1, 1)).abs() > 0.06).float()
    share = moves.mean(dim=(1, 2, 3), keepdim=True).clamp(min=0.05)
    assert bool((share > 0.05).any()) and bool((share == 0.05).any()), "else this shows only one side"
    weights = (0.2 + 0.5 * maps + 0.3 * moves / share) / (2 * 1e-3)
    expected = (weights * (again - batch.state) ** 2).sum() / 4
    torch.testing.assert_close(terms["reconstruction"], expected, rtol=1e-4, atol=1e-4)
    answers = perceive(again).vector()
    wrong = ((answers - batch.answer) ** 2 / statistics.answer_variance).sum() / 4
    torch.testing.assert_close(terms["perception"], wrong, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(total, expected + 30 * wrong + terms["prior"], rtol=1e-4, atol=1e-4)


def test_the_papers_loss_is_its_equation_and_the_ablations_leave_terms_out(played, statistics):
    _, perceive, _ = played
    full, attentive, vae = (PaperRecipe(PaperConfig(loss=name)) for name in ("full", "attentive", "vae"))
    network = full.network(statistics, torch.float32)
    batch = batch_of(played, 100)
    mean, log_variance = network.encode(batch.state)
    again = network.decode(mean + (0.5 * log_variance).exp() * batch.noise)
    weights = loss_weights(saliency(perceive, batch.state)).repeat_interleave(3, dim=1) / 3
    weighted = (weights * (again - batch.state).square()).sum() / len(batch.state)
    total, terms = full.loss(network, batch, perceive, statistics)
    torch.testing.assert_close(terms["reconstruction"], weighted)
    torch.testing.assert_close(terms["perception"], (batch.answer - perceive(again).vector()).square().sum(dim=1).mean())
    torch.testing.assert_close(terms["prior"], 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean())
    torch.testing.assert_close(total, terms["reconstruction"] + 1e-3 * terms["perception"] + 1e-4 * terms["prior"])
    total, terms = attentive.loss(network, batch, perceive, statistics)
    assert set(terms) == {"reconstruction", "prior"}
    torch.testing.assert_close(total, weighted + 1e-4 * terms["prior"])
    total, terms = vae.loss(network, batch, perceive, statistics)
    torch.testing.assert_close(terms["reconstruction"], (again - batch.state).square().mean())
    assert float(weighted) != pytest.approx(float(terms["reconstruction"]), rel=1e-3), "weights that are told from none"


def test_the_papers_loss_weighs_colours_one_by_one_where_the_agent_sees_them(played, statistics):
    _, gray, _ = played
    module = nn.Sequential(nn.Conv2d(12, 4, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(400, 6))
    spec = replace(gray.agent.spec, observation_shape=(12, 84, 84))
    perceive = Perceiver(ModuleAgent(module, spec), colour_observation)
    made = PaperRecipe(PaperConfig())
    network = made.network(statistics, torch.float32)
    batch = batch_of(played, 100)
    _, terms = made.loss(network, batch, perceive, statistics)
    mean, log_variance = network.encode(batch.state)
    again = network.decode(mean + (0.5 * log_variance).exp() * batch.noise)
    weights = loss_weights(saliency(perceive, batch.state))
    torch.testing.assert_close(terms["reconstruction"], (weights * (again - batch.state) ** 2).sum() / len(batch.state))


@pytest.mark.parametrize("name", list(RECIPES))
def test_gradients_match_finite_differences_along_a_direction(played, statistics, name):
    _, perceive, _ = played
    made = FastRecipe(SMALL) if name == "fast" else recipe(name)
    network = made.network(statistics, torch.float32).eval()
    if name == "fast":
        nn.init.normal_(network.decoder[-1].weight, std=0.05)
    batch = batch_of(played, network.latent)
    parameters = list(network.parameters())
    found, _ = gradients(made, network, batch, perceive, statistics, 1.0)
    direction = [g.clone() for g in found]  # along which the loss changes most: any other has almost no slope
    norm = sum(float((d * d).sum()) for d in direction) ** 0.5

    def shifted(step: float) -> float:
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += step / norm * d
        loss, _ = made.loss(network, batch, perceive, statistics)
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p -= step / norm * d
        return loss.item()

    slope = sum(float((g * d).sum()) for g, d in zip(found, direction, strict=True)) / norm
    step = 5e-3 * abs(shifted(0.0)) / slope
    assert slope > 0 and (shifted(step) - shifted(-step)) / (2 * step) == pytest.approx(slope, rel=0.05)


def test_a_split_batch_has_the_gradients_of_the_whole(played, statistics):
    _, perceive, _ = played
    made = FastRecipe(SMALL)
    network = made.network(statistics, torch.float32)
    nn.init.normal_(network.decoder[-1].weight, std=0.05)
    batch = batch_of(played, network.latent)
    whole, _ = gradients(made, network, batch, perceive, statistics, 1.0)
    halves = []
    for rows in (slice(0, 2), slice(2, 4)):
        half = Batch(batch.state[rows], batch.saliency[rows], batch.answer[rows], batch.noise[rows])
        halves.append(gradients(made, network, half, perceive, statistics, 0.5)[0])
    for g, a, b in zip(whole, *halves, strict=True):
        torch.testing.assert_close(g, a + b, rtol=1e-3, atol=1e-3 * float(g.abs().max()) + 1e-6)


def test_bfloat16_has_the_states_losses_and_gradients_of_float32(played, statistics):
    """What a graphics card computes in, on this machine."""
    _, perceive, _ = played
    chosen = recipe("fast")
    exact, half = (chosen.network(statistics, precision) for precision in (torch.float32, torch.bfloat16))
    generator = torch.Generator().manual_seed(0)
    for parameter in exact.parameters():  # some are zero at the start
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    half.load_state_dict(exact.state_dict())
    batch = batch_of(played, exact.latent, 8)
    latent = torch.randn(8, exact.latent, generator=generator)
    with torch.no_grad():
        codes, rough_codes = exact.encode(batch.state), half.encode(batch.state)
        wanted, found = exact.decode(latent), half.decode(latent)
    for code, rough in zip(codes, rough_codes, strict=True):
        assert rough.dtype == torch.float32 and float((rough - code).norm() / code.norm()) < 0.02
    assert found.dtype == torch.float32 and float(wanted.std()) > 0.05
    assert float((found - wanted).norm() / (wanted - statistics.background).norm()) < 0.02
    (loss, terms), (rough, rough_terms) = (chosen.loss(network, batch, perceive, statistics) for network in (exact, half))
    assert rough.item() == pytest.approx(loss.item(), rel=0.02)
    assert all(rough_terms[name].item() == pytest.approx(terms[name].item(), rel=0.05) for name in terms)
    slopes = [torch.cat([part.flatten() for part in torch.autograd.grad(value, list(network.parameters()))])
              for value, network in ((loss, exact), (rough, half))]  # fmt: skip
    assert float(torch.cosine_similarity(*slopes, dim=0)) > 0.99
    assert float(slopes[1].norm() / slopes[0].norm()) == pytest.approx(1.0, abs=0.05)


def test_batches_are_larger_on_cuda_where_a_recipe_allows(played, tmp_path):
    own, cuda = TrainConfig(), torch.device("cuda")
    fast, paper = recipe("fast"), recipe("paper")
    assert sized(fast, own, torch.device("cpu")) is fast and sized(paper, own, cuda) is paper
    larger = sized(fast, own, cuda)
    assert larger.config == replace(fast.config, batch_size=8 * fast.config.batch_size)
    assert sized(fast, replace(own, batch_size=5), cuda).config.batch_size == 5
    dataset, perceive, maps = played
    model = train(perceive, dataset, maps, TrainConfig(steps=2, prior_steps=1, batch_size=7), tmp_path)
    assert model.info["settings"]["batch_size"] == 7
    with pytest.raises(ConfigError, match="batches of -1"):
        TrainConfig(batch_size=-1)


def test_states_with_black_history_are_left_out(played):
    dataset, _, _ = played
    kept = with_full_history(dataset, np.arange(len(dataset)))
    assert len(kept) == len(dataset) - 3 * int((dataset.age == 0).sum())
    assert (dataset.stacks(kept).max(axis=(2, 3, 4)) > 0).all()


def test_training_resumes_and_ends_in_the_same_bits(played, tmp_path):
    dataset, perceive, maps = played
    config = TrainConfig(steps=30, prior_steps=2, checkpoint_every=0.0, workers=2, precision="float32")
    once = train(perceive, dataset, maps, config, tmp_path / "once", chosen_recipe=FastRecipe(SMALL))

    class EnoughError(Exception):
        pass

    def stop(model):
        if model.info["steps"] >= 12:
            raise EnoughError
        return {}

    with pytest.raises(EnoughError):
        short = TrainConfig(steps=30, prior_steps=2, checkpoint_every=0.0, measure_every=0.0, workers=2, precision="float32")
        train(perceive, dataset, maps, short, tmp_path / "twice", chosen_recipe=FastRecipe(SMALL), measures=stop)
    twice = train(perceive, dataset, maps, config, tmp_path / "twice", chosen_recipe=FastRecipe(SMALL))
    for a, b in zip(once.network.parameters(), twice.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_workers_change_the_result_by_rounding_only(played, tmp_path):
    dataset, perceive, maps = played
    config = TrainConfig(steps=4, prior_steps=1, precision="float32")
    alone, split = (
        train(perceive, dataset, maps, replace(config, workers=n), tmp_path / str(n), chosen_recipe=FastRecipe(SMALL))
        for n in (1, 2)
    )
    for a, b in zip(alone.network.parameters(), split.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_lines_of_metrics_up_to_the_checkpoint_stay(tmp_path):
    lines = tmp_path / "metrics.jsonl"
    lines.write_bytes(b'{"step": 5}\n\xff\xfe\n7\n{"step": 12}\n{"step": 13}\n{"ste')
    drop_metrics_after(lines, 12)
    assert lines.read_text() == '{"step": 5}\n{"step": 12}\n'
    drop_metrics_after(tmp_path / "none.jsonl", 12)
    assert not (tmp_path / "none.jsonl").exists()


def test_a_killed_training_loses_none_of_its_measures(played, tmp_path):
    """A checkpoint follows each measurement here, so that all of them are there once, and in order."""
    dataset, perceive, maps = played
    config = TrainConfig(steps=6, prior_steps=1, checkpoint_every=0.0, measure_every=0.0, workers=1)

    def killed(model):
        if model.info["steps"] == 4:
            raise KeyboardInterrupt
        return {"seen": model.info["steps"]}

    with pytest.raises(KeyboardInterrupt):
        train(perceive, dataset, maps, config, tmp_path, chosen_recipe=FastRecipe(SMALL), measures=killed)
    train(
        perceive, dataset, maps, config, tmp_path, chosen_recipe=FastRecipe(SMALL),
        measures=lambda model: {"seen": model.info["steps"]},
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["seen"] for line in lines if "seen" in line] == [1, 2, 3, 4, 5, 6, 6], "the last is of the model in the end"


def test_a_training_that_stands_is_found_whatever_the_number_of_workers(played, tmp_path):
    """A machine with another number of cores, or a process bound to one of them, must not throw hours away."""
    dataset, perceive, maps = played
    config = TrainConfig(steps=6, prior_steps=2, workers=2, precision="float32")
    model = train(perceive, dataset, maps, config, tmp_path, chosen_recipe=FastRecipe(SMALL))
    alone = train(perceive, dataset, maps, replace(config, workers=1), tmp_path, chosen_recipe=FastRecipe(SMALL))
    for a, b in zip(model.network.parameters(), alone.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_finished_training_is_loaded_until_its_budget_or_flow_changes(played, tmp_path):
    dataset, perceive, maps = played
    config = TrainConfig(steps=3, prior_steps=2, precision="float32")

    def steps(model):
        return model.info["steps"], model.info["flow"]["steps"]

    model = train(perceive, dataset, maps, config, tmp_path)
    for name in ("checkpoint.pt", "prior.pt", "metrics.jsonl"):
        (tmp_path / name).unlink(missing_ok=True)  # so that nothing could be gone on with
    changed = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    loaded = train(perceive, dataset, maps, config, tmp_path)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == changed
    noise = torch.randn(2, model.latent, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.generate(noise), loaded.generate(noise))
    told = tmp_path / "model.json"
    before = told.read_text()
    assert steps(train(perceive, dataset, maps, replace(config, steps=4), tmp_path)) == (4, 2)
    told.write_text(before)  # as a kill leaves it between the weights and what is said of them
    train(perceive, dataset, maps, config, tmp_path)
    assert json.loads(told.read_text())["steps"] == 4
    assert steps(train(perceive, dataset, maps, replace(config, steps=4, prior_steps=3), tmp_path)) == (4, 3)
    told.write_text("{")
    assert steps(train(perceive, dataset, maps, config, tmp_path))[0] == 4  # its checkpoint has gone further


def test_training_learns_more_than_the_median_frame(played, tmp_path):
    """Everywhere together, not only on what moves and has most of the weight: that comes first, and takes thirty steps."""
    dataset, perceive, maps = played
    config = TrainConfig(steps=240, prior_steps=2, workers=2, precision="float32")
    model = train(perceive, dataset, maps, config, tmp_path, chosen_recipe=FastRecipe(SMALL))
    state = as_state(dataset.stacks(np.arange(40, 60)))
    median = model.network.median
    assert (model.reconstruct(state) - state).square().sum() < (median - state).square().sum()


KILLED = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from small_pong import Perceiver, SmallAgent, gray_observation, load_maps
    from test_state_model import SMALL
    from weakspot.data.dataset import StateDataset
    from weakspot.state_model.fast import FastRecipe
    from weakspot.state_model.train import TrainConfig, train
    dataset = StateDataset.open({states!r})
    config = TrainConfig(steps=4000, prior_steps=2, checkpoint_every=0.0, workers=1, precision="float32")
    train(Perceiver(SmallAgent(), gray_observation), dataset, load_maps(Path({maps!r}), len(dataset)), config,
          Path(sys.argv[1]), chosen_recipe=FastRecipe(SMALL))
"""


def test_a_kill_leaves_a_training_that_goes_on(played, tmp_path):
    dataset, perceive, maps = played
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
    model = train(perceive, dataset, maps, config, folder, chosen_recipe=FastRecipe(SMALL))
    assert model.info["steps"] == stored["steps"] + 5


def test_nan_out_of_the_agent_stops_the_training_with_a_word(played, tmp_path):
    dataset, _, maps = played
    perceive = Perceiver(SmallAgent(float("nan")), gray_observation)
    with pytest.raises(OutputError, match="returned NaN or infinity for a reconstructed state"):
        train(perceive, dataset, maps, TrainConfig(steps=3, prior_steps=2), tmp_path, chosen_recipe=FastRecipe(SMALL))


def test_a_model_survives_its_file(played, statistics, tmp_path):
    dataset, perceive, maps = played
    model = train(perceive, dataset, maps, TrainConfig(steps=3, prior_steps=2, recipe="fast", precision="float32"), tmp_path)
    again = load(tmp_path / "model.safetensors")
    state = as_state(dataset.stacks(np.arange(20, 24)))
    assert torch.equal(model.reconstruct(state), again.reconstruct(state))
    noise = torch.randn(2, model.latent)
    assert torch.equal(model.generate(noise), again.generate(noise))
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StateModelError, match="damaged"):
        load(path)
    with pytest.raises(StateModelError, match="there is no state model"):
        load(tmp_path / "none.safetensors")
    save(model, statistics, path)
    assert load(path).info["recipe"] == "fast"


def test_the_flow_is_trained_after_the_network_and_survives_its_file(played, tmp_path):
    dataset, perceive, maps = played
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
    again = train(perceive, dataset, maps, config, tmp_path)  # nothing is left to do but to write it
    assert all(torch.equal(tensor, again.prior.tensors()[name]) for name, tensor in model.prior.tensors().items())


def test_whitened_codes_have_mean_zero_and_covariance_one():
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


def test_frames_are_whitened_one_by_one():
    generator = torch.Generator().manual_seed(0)
    frame = torch.randn(5_000, 2, generator=generator) * torch.tensor([3.0, 0.5]) + 1.0
    means = torch.cat([frame, frame + 0.5 * torch.randn(5_000, 2, generator=generator)], dim=1)
    fitted = whitening.fit_frames(means, torch.full_like(means, -6.0), 2)
    assert not bool(fitted.root[:2, 2:].any()) and not bool(fitted.root[2:, :2].any())
    torch.testing.assert_close(fitted.root[:2, :2], fitted.root[2:, 2:])
    covariance = fitted.to_noise(means).T.cov()
    assert float(covariance[:2, 2:].abs().max()) > 0.5, "what one frame says of the other is left"
    both = 0.5 * (covariance[:2, :2] + covariance[2:, 2:])
    torch.testing.assert_close(both, torch.eye(2), atol=0.05, rtol=0)


def test_the_models_space_is_differentiable_through_whitening_and_clamp(played, tmp_path):
    dataset, perceive, maps = played
    model = train(perceive, dataset, maps, TrainConfig(steps=2, prior_steps=2, precision="float32"), tmp_path)
    noise = torch.randn(2, model.latent, requires_grad=True)
    state = model.generate(noise * 50)
    assert state.min() >= 0.0 and state.max() <= 1.0
    perceive(state).scores.sum().backward()
    assert noise.grad is not None and bool((noise.grad != 0).any())


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="one of fast, fast-gaussian, paper"):
        recipe("fsat")
    with pytest.raises(ConfigError):
        TrainConfig(minutes=0.0)
    with pytest.raises(ConfigError):
        TrainConfig(held_out=1.0)


def test_unpatch_is_pixel_shuffle_with_the_channels_last():
    patches = torch.randn(2, 16 * 3, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    shuffled = F.pixel_shuffle(patches.unflatten(1, (16, 3)).transpose(1, 2).flatten(1, 2), 4)
    nothing, background = torch.zeros(3, 8, 20), torch.rand(3, 8, 20, generator=torch.Generator().manual_seed(2))
    assert torch.equal(unpatch(patches, nothing), shuffled)
    assert torch.equal(unpatch(patches.bfloat16(), nothing), shuffled.bfloat16().float())
    assert torch.equal(unpatch(patches, background), shuffled + background)
    patches.requires_grad_()
    slope = torch.randn(shuffled.shape, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad(unpatch(patches, background), patches, slope)
    (expected,) = torch.autograd.grad(
        F.pixel_shuffle(patches.unflatten(1, (16, 3)).transpose(1, 2).flatten(1, 2), 4), patches, slope
    )
    assert torch.equal(found, expected)


def test_a_budget_in_minutes_goes_by_the_clock_it_is_given(played, tmp_path):
    """On this one every look at it takes half a second, and a step takes two looks."""
    dataset, perceive, maps = played
    looks = itertools.count()
    config = TrainConfig(minutes=0.2, prior_share=0.5, workers=1, precision="float32", checkpoint_every=1e9)
    model = train(
        perceive, dataset, maps, config, tmp_path, chosen_recipe=FastRecipe(SMALL), clock=lambda: 0.5 * next(looks)
    )
    assert model.info["steps"] == 12 and model.info["seconds"] == 6.0
    assert model.info["flow"]["steps"] == 12 and model.info["flow"]["seconds"] == 6.0
