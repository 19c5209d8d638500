"""The benchmarks, on small data."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from changed_records import change_record
from small_pong import make_batch

from benchmarks import ablation, commands, convergence, fidelity, neighbours, twins, validity
from benchmarks.prior import SCALES, STEPS
from lab import descents, figures, networks, variants
from lab.flow_checks import checks_by_origin
from lab.measures import kernel_width
from lab.pipeline import STATES, open_session, run_config
from weakspot.config import RunConfig
from weakspot.data.dataset import as_state
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.errors import ConfigError, RunError
from weakspot.search.algorithm_1 import synthesize
from weakspot.search.config import SynthesisConfig
from weakspot.session import Session
from weakspot.state_model import whitening
from weakspot.state_model.batch import with_full_history
from weakspot.state_model.config import TrainConfig
from weakspot.state_model.fast import FastConfig, FastRecipe
from weakspot.state_model.feeder import encoded
from weakspot.state_model.flow import FlowConfig, FlowPrior, Velocity
from weakspot.state_model.model import StateModel
from weakspot.state_model.train import train
from weakspot.subject import Subject
from weakspot.targets.resolve import resolve_target


@pytest.fixture(scope="module")
def session(pong_rollout) -> Session:
    """A session with the shared Pong rollout, without a state model."""
    dataset, perceive, _ = pong_rollout
    config = AtariConfig("pong")
    session = Session(RunConfig(), {})
    session.subject = Subject(
        "small", perceive.agent, lambda: AtariEnvironment(config), perceive, AtariEnvironment(config).spec
    )
    session.dataset = dataset
    return session


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Session:
    """A session of the shipped agent, with a barely trained state model."""
    folder = tmp_path_factory.mktemp("runs")
    return open_session(run_config(folder, "pong-double-dqn", None, frames=640, minutes=0.03))


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_every_variant_of_the_recipe_can_be_trained(name, pong_rollout, statistics):
    _, perceive, _ = pong_rollout
    chosen = variants.VARIANTS[name]().recipe
    assert isinstance(chosen, FastRecipe)
    network = chosen.network(statistics, torch.float32)
    loss, _ = chosen.loss(network, make_batch(pong_rollout, network.latent, 2), perceive, statistics)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_variants_leave_out_the_named_part(pong_rollout, statistics):
    recipes = {name: make().recipe for name, make in variants.VARIANTS.items()}
    assert recipes["without saliency"].config.saliency_share == 0
    assert recipes["without weight on what moves"].config.moving_share == 0
    assert recipes["without perception"].config.perception == 0
    assert recipes["without the KL"].config.prior == 0
    assert recipes["without the flow"].flow is None and recipes["fast"].flow is not None
    full, steady = recipes["fast"], recipes["without the cosine"]
    weighted, batch_of_four = replace(statistics, channel_weights=torch.tensor([1.0, 2.0, 4.0])), make_batch(pong_rollout, 1)
    without_weights = recipes["without weights of channels"].weights(batch_of_four, weighted)
    torch.testing.assert_close(without_weights, full.weights(batch_of_four, statistics))
    ratio = full.weights(batch_of_four, weighted) / without_weights
    torch.testing.assert_close(ratio, torch.tensor([1.0, 2.0, 4.0]).repeat(4)[:, None, None].expand_as(ratio))
    assert steady.learning_rate(0.9, 10_000) == full.config.learning_rate > 5 * full.learning_rate(0.9, 10_000)
    dark = recipes["without the median frame"].network(statistics, torch.float32)
    assert not bool(dark.decode(torch.randn(1, dark.latent)).any())
    batch, (_, perceive, _) = make_batch(pong_rollout, dark.latent), pong_rollout
    _, terms = recipes["without the median frame"].loss(dark, batch, perceive, statistics)
    black = (full.weights(batch, statistics) * batch.state.square()).sum() / (
        2 * full.config.pixel_variance * len(batch.state)
    )
    torch.testing.assert_close(terms["reconstruction"], black, msg="moving pixels have the same definition as before")
    joint = recipes["without taking frames apart"].network(statistics, torch.float32)
    for parameter in joint.decoder[-1].parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    one_number = torch.zeros(1, joint.latent)
    one_number[0, 0] = 5.0
    with torch.no_grad():
        moved = (joint.decode(one_number) - joint.decode(0 * one_number)).abs().amax(dim=(0, 2, 3))
    assert joint.latent == full.network(statistics, torch.float32).latent and len(moved) == 12
    assert bool((moved > 1e-4).all()), "one number of a joint latent affects every frame"


def test_networks_with_other_settings():
    given = {words: networks.recipe_of(words) for words in ("default", "adamw batch_size=32", "momentum=0.5")}
    assert all(recipe.flow is None for recipe in given.values())
    assert given["default"].config == FastRecipe(FastConfig()).config
    assert given["adamw batch_size=32"].config.batch_size == 32 and given["momentum=0.5"].config.momentum == 0.5
    layer = torch.nn.Linear(2, 2)
    (adamw,) = given["adamw batch_size=32"].optimizers(layer)
    assert isinstance(adamw, torch.optim.AdamW) and len(adamw.param_groups[0]["params"]) == 2
    with pytest.raises(ConfigError, match="width=wide"):
        networks.recipe_of("width=wide")


def test_the_measures_after_a_training_without_its_flow(trained):
    config = TrainConfig(steps=2, workers=1)
    measures = networks.measures_after(
        open_session(trained.config, STATES), config, networks.recipe_of("adamw batch_size=4")
    )
    assert measures["steps"] == 2 and 0 <= measures["ball_recall"] <= 1 and measures["cpu_seconds"] > 0


def test_the_table_shows_means_and_ranges():
    table = ablation.table({"fast": [{"mse": 1.0, "ball_recall": 0.5}, {"mse": 3.0, "ball_recall": 0.7}]})
    assert table.splitlines()[0] == "| | mse | ball recall |"
    assert table.splitlines()[2] == "| fast | 2 (1 to 3) | 0.6 (0.5 to 0.7) |"


def test_best_real_states_are_equal_to_themselves_in_all_measures(session):
    dataset = session.dataset
    target = resolve_target("RIGHT", session.subject.agent.spec, 1.0)
    width = kernel_width(session)
    real = descents.reference_states(session, target, width, validity.BEST)
    values = np.sort(real.values)[: validity.BEST]
    line = descents.compare_with_best(session, real.best, values, real, width)
    assert line["vendi_ratio"] == pytest.approx(1.0) and line["distance_ratio"] == pytest.approx(1.0)
    assert line["target_sd"] == line["best_real_sd"] > 0.5 and line["valid"] == line["best_real_valid"]
    some = as_state(dataset.stacks(with_full_history(dataset, np.arange(len(dataset)))[:64]))
    best = float(np.sort(real.values)[0])
    again = descents.compare_with_best(session, some[:1].repeat(64, 1, 1, 1), np.full(64, best), real, width)
    assert again["beyond_99"] == 1.0 and again["vendi_ratio"] < 0.5 and again["distance_ratio"] == 0


def test_interrupted_sweep_resumes(trained, tmp_path, monkeypatch):
    targets = [resolve_target(name, trained.subject.agent.spec, 1.0) for name in ("T-", "LEFT")]
    width = kernel_width(trained)
    real = {target.name: descents.reference_states(trained, target, width, 64) for target in targets}
    config = SynthesisConfig(states=4, searches=1, steps=2, candidates=8)
    calls: list[str] = []

    def counted(model, perceive, target, *rest, **options):
        calls.append(target.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return synthesize(model, perceive, target, *rest, **options)

    monkeypatch.setattr(descents, "synthesize", counted)
    weights = [0.0, config.regulariser]

    def sweep(name: str = "fast") -> validity.Rows:
        searches = descents.StoredDescents(trained, name, config)
        return validity.sweep(searches, real, width, targets, weights, tmp_path / "optimised")

    with pytest.raises(KeyboardInterrupt):
        sweep()
    rows = sweep()
    assert calls == ["T-", "LEFT", "LEFT", "T-", "LEFT"], "the first result was stored"
    assert [(row["regulariser"], row["target"]) for row in rows] == [(w, t.name) for w in weights for t in targets]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["optimised-action-left.png", "optimised-t-minus.png"]
    assert sweep() == rows and len(calls) == 5
    without = sweep(f"fast{descents.WITHOUT_FLOW}")
    assert len(calls) == 9 and without != rows, "another model needs another search"


def test_finer_integration_steps_decrease_the_round_trip_error(pong_rollout, statistics):
    dataset, _, _ = pong_rollout
    network = variants.FULL.network(statistics, torch.float32).eval()
    size = FlowConfig(width=16, depth=1, heads=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        velocity = Velocity(network.latent, network.frames, size).requires_grad_(False)
        torch.nn.init.normal_(velocity.leave.weight, std=0.5)
    model = StateModel(network, FlowPrior(whitening.identity(network.latent), velocity, 2), {})
    real = as_state(dataset.stacks(with_full_history(dataset, np.arange(len(dataset)))[:70]))
    lines = checks_by_origin(model, real, STEPS, SCALES)
    assert list(lines)[:4] == ["real states", "reconstructions", "decoded from drawn codes", "samples, 2 steps"]
    errors = [line["there and back"] for line in lines.values() if "there and back" in line]
    assert len(errors) == 5 and errors[0] > 2 * errors[1] > 8 * errors[-1] > 0
    assert lines["real states"]["valid"][0] > 0.9
    background = lines["reconstructions"]["valid"]
    assert background[0] == 0.0, "an untrained network decodes the background, without a paddle"
    with pytest.raises(ConfigError, match="has no flow"):
        checks_by_origin(StateModel(network, whitening.identity(network.latent), {}), real, STEPS, SCALES)


def test_without_flow_a_model_is_searched_in_the_whitened_space_of_whole_stacks(pong_rollout, session, statistics):
    dataset, _, _ = pong_rollout
    network = variants.FULL.network(statistics, torch.float32).eval()
    model = StateModel(network, whitening.identity(network.latent), {"flow": {}})
    bare = descents.without_flow(model, session)
    with pytest.raises(ConfigError, match="no flow"):
        descents.without_flow(bare, session)
    indices = with_full_history(dataset, dataset.split(0.1)[0])
    mean, log_variance = encoded(network, dataset, indices, torch.device("cpu"))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    whitened = bare.prior.to_noise(mean + (0.5 * log_variance).exp() * noise)
    assert whitened.mean(dim=0).abs().max() < 0.3 and whitened.var(dim=0).mean() == pytest.approx(1.0, abs=0.1)
    state = as_state(dataset.stacks(indices[:4]))
    torch.testing.assert_close(bare.reconstruct(state), model.reconstruct(state), atol=1e-3, rtol=0)


def test_figures_are_drawn(tmp_path: Path):
    lines = [
        {"regulariser": weight, "target": "T-", "target_sd": 3 - weight, "vendi_ratio": weight, "valid": 0.5}
        for weight in (0.1, 0.3)
    ]
    validity.draw_trade_off({"fast": lines, "paper": lines}, tmp_path / "validity.png")
    rows = [{"seconds": 60.0 * i, "mse": 0.1 / i, "agreement": 0.5, "ball_recall": 0.1 * i} for i in (1, 2, 3)]
    fidelity.draw_curves({"fast": rows, "paper": rows[1:]}, tmp_path / "curves.png")
    figures.save_sheet(torch.rand(12, 12, 84, 84), tmp_path / "sheet.png")
    shapes = {path.stem: cv2.imread(str(path)).shape for path in tmp_path.glob("*.png")}
    assert shapes["sheet"][0] == 2 * 2 * 86 and shapes["sheet"][1] == 6 * 2 * 170
    assert min(shapes["validity"][:2]) > 300 and shapes["curves"][1] > shapes["curves"][0]


def test_second_process_reuses_the_states_that_the_first_one_collects(tmp_path):
    agent = f"{Path(__file__).with_name('tiny_agent.py')}:pong"
    script = f"""
from pathlib import Path
from lab.pipeline import STATES, open_session, run_config
config = run_config(Path({str(tmp_path)!r}), {agent!r}, "pong", frames=640)
print(open_session(config, STATES).dataset.fingerprint)
"""
    command = [sys.executable, "-c", script]
    root = Path(__file__).parents[1]
    processes = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0].splitlines()[-1] == outputs[1].splitlines()[-1]
    output = "".join(outputs)
    assert output.count("collect: done in") == 1
    assert output.count("collect: another process made it") + output.count("collect: up to date") == 1


def test_a_variant_is_measured_once(trained, monkeypatch):
    measurement = variants.Measurement(SynthesisConfig(states=2, searches=1, steps=2, candidates=8), 20)
    measures = variants.variant_measures(trained, "fast", 0.03, 0, measurement)
    assert measures["steps"] > 0 and 0 <= measures["optimised_valid"] <= 1 and "there_and_back" in measures
    folder = variants.variant_folder(trained, "fast", 0.03, 0, measurement)
    model = folder / "model.safetensors"
    before = model.stat().st_mtime_ns
    for name in ("entry.json", "measures.json"):
        (folder / name).unlink()  # as a kill before they are written
    assert (
        variants.variant_measures(trained, "fast", 0.03, 0, measurement) == measures and model.stat().st_mtime_ns == before
    )
    monkeypatch.setattr(variants, "_measures", lambda *given: pytest.fail("it was measured before"))
    assert (
        variants.variant_measures(trained, "fast", 0.03, 0, measurement) == measures and model.stat().st_mtime_ns == before
    )


def test_networks_of_other_variants_can_be_loaded(pong_rollout, tmp_path):
    dataset, perceive, maps = pong_rollout
    for name in ("without taking frames apart", "without the median frame"):
        config = TrainConfig(steps=2, prior_steps=1, workers=1, precision="float32")
        chosen = variants.VARIANTS[name]().recipe
        once, again = (train(perceive, dataset, maps, config, tmp_path / name, chosen_recipe=chosen) for _ in range(2))
        for a, b in zip(once.network.parameters(), again.network.parameters(), strict=True):
            assert torch.equal(a, b)


def test_neighbours_are_all_found_and_the_memory_is_reported(tmp_path, monkeypatch, capsys):
    words = ["--states", "40", "--frames", "400", "--folder", str(tmp_path / "folder"), "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["neighbours.py", *words])
    neighbours.main()
    record = json.loads((tmp_path / "neighbours.json").read_text())
    assert record == json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["states"] == 40 and 200 < record["among"] <= 400 and record["right"] == 1.0
    assert record["megabytes"] >= record["megabytes_more"] >= 0 and record["megabytes"] > 50 and record["seconds"] >= 0


@pytest.mark.slow
def test_commands_are_timed_and_compared_with_their_bounds(tmp_path, monkeypatch):
    record = commands.measure(tmp_path, repeats=1)["commands"]
    assert list(record) == ["--help", "--version", "agents", "run", "load_run"]
    for name, row in record.items():
        assert 0 < row["seconds"] < 60 and row["bound"] == commands.BOUNDS[name]
        assert row["met"] == (row["seconds"] <= row["bound"])
    change_record(
        tmp_path / "tiny" / "run.json",
        lambda record: record | {"command": record["command"].replace("--synthesize.steps 5", "--synthesize.steps 4")},
    )
    with pytest.raises(RunError, match="nothing to do"):
        commands.measure(tmp_path / "unused", tmp_path / "tiny", repeats=1)
    assert not (tmp_path / "unused").exists()


def test_searches_stop_within_their_window(trained, tmp_path, monkeypatch):
    """A window of 40 of 6 steps never stops a search; one of a single step with a huge tolerance stops all at once."""
    options = ["--folder", str(trained.config.output.parent), "--frames", "640", "--cpu-minutes", "0.03", "--targets", "T-"]
    options += ["--states", "2", "--seeds", "0", "--patience", "1", "40", "--tolerance", "1000", "--output", str(tmp_path)]
    options += ["--candidates", "8", "--steps", "6"]
    monkeypatch.setattr(sys, "argv", ["convergence.py", *options])
    convergence.main()
    record = json.loads((tmp_path / "convergence.json").read_text())
    assert [(row["patience"], row["steps"]) for row in record["rows"]] == [(1, 2.0), (40, 6.0)]


def test_page_on_twins_has_the_measured_numbers():
    record, page = json.loads(Path("docs/twins/twins.json").read_text()), Path("docs/twins.md").read_text()
    for table in (twins.totals_table, twins.rows_table, twins.calibration_table):
        assert table(record) in page
    assert all(row["agent"] in record["agents"] for row in record["rows"])


def test_totals_of_twins_count_states():
    row = {"agent": "a", "method": "twins", "states": 8, "seconds": 1.0, "kinds": {"recorded": 2, "reached": 1, "edited": 3}}
    shares = {"within_half_sd": 1.0, "within_half_sd_of_recorded": 0.5, "aims_beyond_best_real": 0.5, "twin_share": 0.75}
    row |= {name: (share, 0.0, 1.0) for name, share in shares.items()} | {"beyond_best_real": (0.5, 0, 1)}
    rows = [row | {"followed_beyond": (0.75, 0, 1)}, row | {"aims_beyond_best_real": (0.0, 0, 1), "followed_beyond": None}]
    line = twins.totals_table({"rows": rows}).splitlines()[2]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["a", "twins", "2", "16"] and cells[5] == "4, 2, 6"
    assert [cell.split()[0] for cell in (cells[4], *cells[6:11])] == ["0.75", "1", "0.5", "0.25", "0.5", "0.75"]
