"""The experiments of the paper's tables and figures, each on a tiny budget, and their parts in cases with known results."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib", reason="the figures need it")

from experiments import (
    ball_places,
    baselines,
    equal_time,
    figure_1_states,
    figure_2_loss_weights,
    figure_3_activation_maximisation,
    figure_4_critical_states,
    figure_8_distributions,
    loss_scale,
    results,
    section_4_4_actions,
    table_1_loss_study,
    table_2_novelty,
)
from lab import cached_searches, measures, novelty, pong, seaquest
from lab.arguments import ExperimentArguments
from lab.command import repeatable_command
from lab.experiment import Experiment, start_experiment
from lab.page import cell as page_cell
from lab.pipeline import STATES, loaded_subject, open_session, run_config
from weakspot.agents.base import AgentOutput
from weakspot.analysis.objects.finders import finder
from weakspot.analysis.objects.seaquest_oxygen import Life, lives, oxygen
from weakspot.envs.atari import AtariConfig, AtariEnvironment
from weakspot.errors import ConfigError, UnknownTargetError
from weakspot.search.algorithm_1 import AlgorithmOne
from weakspot.search.config import SynthesisConfig
from weakspot.search.method import Cost, SearchResult, recorded_states

AGENTS = Path(__file__).with_name("tiny_agent.py")
TINY = ["--frames", "640", "--recipe", "fast-gaussian", "--budget", "0.03", "--candidates", "16", "--steps", "3"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Rollouts and models that all experiments share, one folder a game."""
    return {game: tmp_path_factory.mktemp(game) for game in ("pong", "seaquest")}


def run(module, monkeypatch, folders, output, *arguments, game="pong"):
    agent = f"{AGENTS}:{'pong' if game == 'pong' else 'eighteen_actions'}"
    options = ["--agent", agent, "--environment", game, "--folder", str(folders[game]), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [f"{module.__name__.split('.')[-1]}.py", *options, *TINY, *arguments])
    module.main()


FIGURES = {"table-2": ("table-2", "figure-7"), "section-4-4": ("section-4-4", "section-4-4-lives")}
"""The figures of experiments that draw more than one."""


def arguments_for(folders, output: Path) -> ExperimentArguments:
    """The arguments of an experiment on Pong, without a command line."""
    return ExperimentArguments(
        f"{AGENTS}:pong", "pong", "fast-gaussian", 0.03, 640, folders["pong"], output, 0, "samples", "best", 16, 1, 3, "cpu",
        "guided", True, argparse.Namespace(),
    )  # fmt: skip


def read_record(output: Path, name: str) -> dict:
    record = json.loads((output / f"{name}.json").read_text())
    assert record["command"].startswith("python -m experiments.") and "/" not in record["command"].replace("FOLDER/", "")
    assert record["settings"]["seed"] == 0 and "torch" in record["versions"] and record["written"] > "2026"
    assert 0 < record["seconds"] < 600
    page = results.page(output.parent)
    assert f"`{record['command']}`" in page, "the page shows every experiment"
    for figure in FIGURES.get(name, (name,)):
        assert cv2.imread(str(output / f"{figure}.png")).std() > 5
        assert f"({output.parent.name}/{output.name}/{figure}.png)" in page
    return record


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiments.figure_1_states", "--agent", "nobody"], "error: no agent is called 'nobody'"),
        (["experiments.table_2_novelty", "--states", "2"], "--states: 2 is less than 3"),
        (["experiments.figure_1_states", "--steps", "0"], "--steps: 0 is less than 1"),
        (["benchmarks.fidelity", "--cpu-minutes", "nan"], "--cpu-minutes: nan is not a positive number"),
        (["benchmarks.validity", "--regularisers", "0.003", "-1"], "-1 is negative or not a number"),
        (["benchmarks.validity", "--models", "fast", "paper without its flow"], "invalid choice: 'paper without its flow'"),
        (["benchmarks.recall", "--agent", f"{AGENTS}:eighteen_actions", "--environment", "seaquest"], "has no ball"),
    ],
)
def test_invalid_arguments_are_refused_at_once(words, message, tmp_path):
    command = [sys.executable, "-m", *words, "--folder", str(tmp_path / "folder")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.returncode == 2 and message in process.stderr and "Traceback" not in process.stderr
    assert not (tmp_path / "folder").exists(), "nothing has been started"


@pytest.fixture
def output(tmp_path):
    """The output folder of one agent, next to those of others."""
    folder = tmp_path / "results" / "one"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.slow
def test_figure_1(folders, output, monkeypatch):
    run(figure_1_states, monkeypatch, folders, output, "--targets", "T-", "RIGHT")
    found = read_record(output, "figure-1")["targets"]
    assert list(found) == ["T-", "RIGHT"] and all(len(line["energies"]) == line["states"] == 4 for line in found.values())
    assert all(line["held-out real states"]["best"] < line["held-out real states"]["mean"] for line in found.values())


def test_figure_2(folders, output, monkeypatch):
    run(figure_2_loss_weights, monkeypatch, folders, output, "--states", "30")
    found = read_record(output, "figure-2")["objects"]
    assert {"own paddle", "opponent's paddle"} <= set(found) <= {"ball", "own paddle", "opponent's paddle"}
    for line in found.values():
        for name in ("times a uniform map", "share of the weights", "share of the picture"):
            mean, low, high = line[name]
            assert low <= mean <= high
        assert 0 < line["share of the picture"][0] < 0.1


def test_weights_on_objects_are_shares():
    weights, windows = np.full((3, 10, 10), 0.01), {"thing": [np.array([[4.0, 4.0, 6.0, 6.0]])] * 2 + [np.zeros((0, 4))]}
    line = figure_2_loss_weights.weights_on_objects(weights, windows, np.random.default_rng(0))["thing"]
    assert line["frames"] == 2 and line["share of the picture"][0] == pytest.approx(0.36)  # two pixels around it: 6 by 6
    assert line["times a uniform map"] == pytest.approx((1.0, 1.0, 1.0))
    weights[:2] = 0
    weights[:2, 5, 5] = 1
    line = figure_2_loss_weights.weights_on_objects(weights, windows, np.random.default_rng(0))["thing"]
    assert line["share of the weights"] == (1.0, 1.0, 1.0) and line["times a uniform map"][0] == pytest.approx(1 / 0.36)
    edge = figure_2_loss_weights.object_mask(np.array([[-5.0, -5.0, 1.0, 1.0]]), 10, 10)
    assert edge.sum() == 9, "a window may extend beyond the frame"


def test_figure_3(folders, output, monkeypatch):
    run(figure_3_activation_maximisation, monkeypatch, folders, output, "--states", "4", "--pixel-steps", "3")
    record = read_record(output, "figure-3")
    found, real = record["methods"], record["held-out real states"]
    assert len(found) == 10 and found["retrieval"]["closest_mse"] == [0, 0, 0]
    assert real["states"] == 4 and 0 < real["closest_mse"][0] < 0.01 and real["valid"][0] > 0.5
    for line in found.values():
        assert line["feature_distance_floor"] == pytest.approx(real["feature_distance"][0], abs=1e-4)
        over = line["feature_distance"][0] / line["feature_distance_floor"]
        assert line["feature_distance_over_floor"][0] == pytest.approx(over, rel=0.01)
    noise = found["activation maximisation, no regulariser"]
    assert noise["closest_mse"][0] > 0.01 and noise["differing_pixels"][0] > 0.5


def test_baselines(folders, output, monkeypatch):
    run(baselines, monkeypatch, folders, output, "--targets", "T-", "--states", "4", "--pixel-steps", "2")
    record = read_record(output, "baselines")
    assert record["held-out real states"]["valid"][0] > 0.5
    found = record["targets"]["T-"]
    cell = [str(page_cell(part)) for part in (4, *found["random search"]["passes"].values())]
    assert f"| one | T- | random search | {' | '.join(cell)} | " in results.page(output.parent), "the cost is shown"
    assert len(found) == 10 and all(line["states"] == 4 for line in found.values())
    assert found["random search"]["passes"]["model"] >= found["Algorithm 1"]["passes"]["model"]
    assert found["random search"]["target_sd"][0] >= found["random samples"]["target_sd"][0]
    assert found["retrieval"]["differing_pixels"] == [0, 0, 0] and found["retrieval"]["valid"][0] > 0.5


def test_table_2_and_figure_7(folders, output, monkeypatch):
    run(table_2_novelty, monkeypatch, folders, output, "--targets", "T-", "T+", "--states", "16")
    found = read_record(output, "table-2")
    rebuilt = table_2_novelty.RECONSTRUCTED
    assert list(found["table 2"]) == ["synthesised", "random samples", rebuilt, "held-out real states"]
    assert list(found["targets"]["T-"]) == ["Algorithm 1", "retrieval"] and found["nearest neighbours"]["of"] == 16
    assert "| paper | – | 0.25 | 0.99 | 0.73 | 0.16 | 0.04 | 0.01 | 0.01 | 0 |" in results.page(output.parent)
    for parts in found["table 2"].values():
        assert set(parts) == {"all frames", "newest frame"}
        for readings in parts.values():
            relative, by_range = readings["relative"], readings["of the range"]
            assert relative["states"] == by_range["states"] == 16
            assert relative["mean"][0] >= by_range["mean"][0], "no colour exceeds the range"
            shares = [share[0] for share in by_range["shares"].values()]
            assert len(shares) == 7 and shares == sorted(shares, reverse=True)


def test_shares_of_table_2_count_states_above_each_percentage():
    line = novelty.table_row(np.array([0.05, 0.10, 0.11, 0.35, 0.9]), np.random.default_rng(0))["shares"]
    assert [round(share[0], 2) for share in line.values()] == [0.6, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2]


def test_newest_frame_is_compared_alone(pong_rollout):
    """A change of older frames makes all frames differ, and not the newest one."""
    dataset, _, _ = pong_rollout
    session = SimpleNamespace(dataset=dataset, trained_on=np.array([70]))
    stacks = dataset.stacks(np.array([70]))
    stacks[:, 0, :42] += 128
    shares = novelty.differences(session, stacks).shares
    assert shares["all frames", "of the range"].tolist() == [0.125] and shares["newest frame", "relative"].tolist() == [0.0]


def test_figure_8(folders, output, monkeypatch):
    run(figure_8_distributions, monkeypatch, folders, output, "--targets", "T-", "--states", "6", "--twins", "3")
    found = read_record(output, "figure-8")["targets"]["T-"]
    twins = found.pop("their twins")
    assert twins["have a twin"][0] == pytest.approx(twins["count"] / 3)
    if twins["count"]:
        assert twins["best"] <= twins["quartiles"][0] <= twins["quartiles"][2]
    assert set(found) == {"held-out real states", "random samples", "retrieval", "Algorithm 1"}
    best = found["held-out real states"]["best"]
    assert found["random samples"]["quartiles"] == sorted(found["random samples"]["quartiles"])
    for line in found.values():
        mean, low, high = line["mean"]
        assert max(line["best"], low) <= mean <= high and 0 <= line["pass the checks"][0] <= 1
    usually = found["held-out real states"]["mean"][0]
    assert found["retrieval"]["mean"][0] < usually and best < usually


@pytest.mark.slow
def test_table_1(folders, output, monkeypatch):
    """The second run reuses everything: it trains and plays nothing, and loses nothing."""

    def trained() -> dict[Path, float]:
        return {path: path.stat().st_mtime for path in folders["pong"].rglob("model.safetensors")}

    before = trained()
    run(table_1_loss_study, monkeypatch, folders, output, "--episodes", "1", "--longest", "40", "--columns", "VAE", "fast")
    found = read_record(output, "table-1")
    assert found["paper"]["full"] == 14 and set(found["columns"]) == {"agent", "VAE", "fast"}
    models = trained()
    assert len(models) == len(before) + 2
    run(table_1_loss_study, monkeypatch, folders, output, "--episodes", "1", "--longest", "40", "--columns", "fast")
    assert models == trained()
    again = read_record(output, "table-1")
    assert again["columns"] == found["columns"]
    assert again["seconds"] >= found["seconds"] > 0, "earlier time counts, to a tenth of a second"
    (output / "table-1.png").unlink()
    monkeypatch.setattr("weakspot.analysis.goggles.goggles", None)  # any game would call it
    run(table_1_loss_study, monkeypatch, folders, output, "--episodes", "1", "--longest", "40", "--columns", "fast", "VAE")
    assert (output / "table-1.png").exists(), "the figure is drawn again anyway"
    with pytest.raises(TypeError):
        run(table_1_loss_study, monkeypatch, folders, output, "--episodes", "2", "--longest", "40", "--columns", "fast")


def test_interrupted_experiment_resumes(folders, tmp_path, monkeypatch):
    command = ["--targets", "T-", "--states", "4", "--pixel-steps", "2"]

    def interrupted(passes, pixel_steps):
        yield from alternatives(passes, pixel_steps)[:2]
        raise KeyboardInterrupt

    alternatives = baselines.alternatives
    with monkeypatch.context() as context:
        context.setattr(baselines, "alternatives", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(baselines, context, folders, tmp_path, *command)
    before = json.loads((tmp_path / "baselines.json").read_text())["targets"]["T-"]
    assert len(before) == 3
    run(baselines, monkeypatch, folders, tmp_path, *command)
    after = json.loads((tmp_path / "baselines.json").read_text())["targets"]["T-"]
    assert len(after) == 10 and {name: after[name] for name in before} == before, "including the seconds"
    assert (tmp_path / "baselines.png").exists()
    path = tmp_path / "baselines.json"
    record = json.loads(path.read_text())
    record["targets"]["T-"]["random samples"] |= {"model": "another", "seconds": -1}
    path.write_text(json.dumps(record))
    run(baselines, monkeypatch, folders, tmp_path, *command)
    recomputed = json.loads(path.read_text())["targets"]["T-"]["random samples"]
    assert recomputed["seconds"] >= 0 and without_times(recomputed) == without_times(after["random samples"])


@pytest.mark.slow
def test_states_are_not_searched_for_twice(tmp_path, monkeypatch):
    """A killed experiment continues, and another run of it takes the same states from the store."""
    folders = {"pong": tmp_path / "runs"}
    arguments = ["--targets", "T-", "T+", "--states", "8"]
    searched: list[str] = []
    find = AlgorithmOne.__call__

    def counted(self, sources, target, count, seed):
        searched.append(target.name)
        return find(self, sources, target, count, seed)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(AlgorithmOne, "__call__", counted)
    with monkeypatch.context() as context:
        context.setattr(Experiment, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(table_2_novelty, context, folders, tmp_path, *arguments)
    assert sorted(searched) == ["T+", "T-"]
    run(table_2_novelty, monkeypatch, folders, tmp_path, *arguments)
    resumed = without_times(json.loads((tmp_path / "table-2.json").read_text()))
    run(table_2_novelty, monkeypatch, folders, tmp_path, *arguments)
    assert without_times(json.loads((tmp_path / "table-2.json").read_text())) == resumed
    assert sorted(searched) == ["T+", "T-"], "each was searched for once"


def without_times(record: dict) -> dict:
    return {key: value for key, value in record.items() if key not in ("written", "seconds", "nearest neighbours")}


def test_outputs_that_share_memory_are_stored(tmp_path):
    """The target V- is the critic's value itself."""
    value = torch.arange(3.0)
    found = SearchResult(torch.zeros(3, 2, 4, 4), AgentOutput(torch.zeros(3, 2), value), value, Cost())
    cached_searches._save(found, tmp_path / "found.safetensors")
    again = cached_searches._read(tmp_path / "found.safetensors", torch.device("cpu"))
    assert torch.equal(again.target, value) and again.output.value is not None and torch.equal(again.output.value, value)


class Fixed:
    """A method that returns the same recorded states each time, and counts its calls."""

    name = "fixed"

    def __init__(self, number: int, release: threading.Event | None = None) -> None:
        self.number, self.calls, self.release = number, 0, release
        self.started = threading.Event()

    def __repr__(self) -> str:
        return f"Fixed({self.number})"

    def __call__(self, sources, target, count, seed):
        self.calls += 1
        self.started.set()
        assert self.release is None or self.release.wait(60)
        return recorded_states(sources, np.arange(count) + self.number, target)


def test_states_of_another_method_target_or_setting_are_not_reused(folders, tmp_path):
    experiment = start_experiment(arguments_for(folders, tmp_path))
    mine = tmp_path / "mine.py"
    mine.write_text("def target(output):\n    return output.scores[:, 0]\n")
    method = Fixed(0)
    first = experiment.find(method, "T-", 5)
    for other, target, count in ((Fixed(7), "T-", 5), (method, "T+", 5), (method, "T-", 6), (method, f"{mine}:target", 5)):
        experiment.find(other, target, count)
    assert method.calls == 4
    again = Fixed(0)
    other_seed = replace(experiment, arguments=replace(experiment.arguments, seed=1))
    other_seed.find(again, "T-", 5)
    assert again.calls == 1
    other_data = start_experiment(replace(arguments_for(folders, tmp_path), frames=320))
    other_data.find(again, "T-", 5)
    assert again.calls == 2
    mine.write_text("def target(output):\n    return output.scores[:, 1]\n")
    again = Fixed(0)
    found = experiment.find(again, "T-", 5)
    assert again.calls == 0
    assert torch.equal(found.state, first.state) and torch.equal(found.output.scores, first.output.scores)
    assert torch.equal(found.target, first.target) and found.cost == first.cost
    np.testing.assert_array_equal(found.index, first.index)
    experiment.find(again, f"{mine}:target", 5)
    assert again.calls == 1, "the code of the target has changed"
    for cut in (lambda content: content[:100], lambda content: content[:-4] + b"\0\1\2\3"):
        for path in (folders["pong"] / "store" / "found").glob("*/found.safetensors"):
            path.write_bytes(cut(path.read_bytes()))
        before = again.calls
        renewed = experiment.find(again, "T-", 5)
        assert again.calls == before + 1, "damaged states are searched for again"
        assert torch.equal(renewed.state, first.state)


def test_an_experiment_waits_for_states_that_another_one_is_searching_for(folders, tmp_path):
    experiment = start_experiment(arguments_for(folders, tmp_path))
    release = threading.Event()
    slow, other = Fixed(3, release), Fixed(3)
    found: list[SearchResult] = []
    threads = [
        threading.Thread(target=lambda m=method: found.append(experiment.find(m, "T-", 3))) for method in (slow, other)
    ]
    threads[0].start()
    assert slow.started.wait(60)
    threads[1].start()
    threads[1].join(0.5)
    assert threads[1].is_alive() and not other.calls, "it waits"
    experiment.find(Fixed(4), "T-", 3)  # other searches do not wait
    release.set()
    for thread in threads:
        thread.join(60)
    assert (slow.calls, other.calls) == (1, 0) and torch.equal(found[0].state, found[1].state)


@pytest.mark.slow
def test_collections_and_models_are_shared_by_all_experiments_of_a_folder(folders, tmp_path, monkeypatch):
    """Another experiment with the same settings, and the fidelity benchmark, train nothing; other settings do."""
    experiment = start_experiment(arguments_for(folders, tmp_path))
    store = folders["pong"] / "store"
    times = {
        path: path.stat().st_mtime_ns for stage in ("collect", "train") for path in (store / stage).glob("*/entry.json")
    }
    monkeypatch.setattr("weakspot.state_model.train.train", None)  # would be called
    monkeypatch.setattr("weakspot.data.collect.collect", None)
    for targets in (["T-"], ["T+", "LEFT"]):
        other = start_experiment(arguments_for(folders, tmp_path), targets)
        assert other.session.model.info == experiment.session.model.info
    agent = f"{AGENTS}:pong"
    same = open_session(run_config(folders["pong"], agent, "pong", frames=640, minutes=0.03, trust=True))
    assert same.dataset.fingerprint == experiment.session.dataset.fingerprint
    assert times == {
        path: path.stat().st_mtime_ns for stage in ("collect", "train") for path in (store / stage).glob("*/entry.json")
    }
    with pytest.raises(TypeError):
        open_session(run_config(folders["pong"], agent, "pong", frames=640, minutes=0.04, trust=True))


def test_distances_are_between_sets_of_equal_size(folders, tmp_path, monkeypatch):
    """States of the same distribution are at the floor for any number of states, even for more than there are real ones."""
    generator = torch.Generator().manual_seed(0)
    reference = measures.ReferenceStats(None, np.arange(60), torch.randn(60, 20, generator=generator), 1.0)
    for count in (10, 30, 200):
        ratios = []
        for _ in range(20):
            distance, floor = reference.feature_distance(torch.randn(count, 20, generator=generator))
            ratios.append(distance / floor)
        assert 0.85 < np.mean(ratios) < 1.15
    far, floor = reference.feature_distance(3 + torch.randn(200, 20, generator=generator))
    assert far > 2 * floor and reference.floor(np.arange(60)) == pytest.approx(floor)
    assert reference.floor(np.arange(6, 60)) == pytest.approx(floor, rel=0.2), "a few states fewer change little"
    with pytest.raises(ConfigError, match="at least three"):
        run(table_2_novelty, monkeypatch, folders, tmp_path, "--targets", "T-", "T+", "--states", "3")


@pytest.mark.parametrize("module", [figure_1_states, baselines, table_2_novelty, figure_8_distributions])
def test_unknown_target_is_reported_before_any_long_computation(module, folders, tmp_path, monkeypatch):
    arguments = ["--folder", str(tmp_path / "new"), "--targets", "T-", "T--"]
    with pytest.raises(UnknownTargetError, match="T--"):
        run(module, monkeypatch, folders, tmp_path, *arguments)
    assert not (tmp_path / "new").exists()


def test_maps_of_another_agent_are_not_reused(tmp_path):
    first, second = (
        open_session(run_config(tmp_path, f"{AGENTS}:{name}", "pong", frames=160, trust=True), STATES).maps
        for name in ("pong", "another_pong")
    )
    assert first.shape == second.shape and (first != second).mean() > 0.2


def test_record_separates_lives_as_long_as_the_oxygen_from_shorter_ones():
    lost = [Life(np.ones(n), out) for n, out in ((30, False), (70, True), (69, False), (71, False), (90, True))]
    found = section_4_4_actions.lives_record(lost)
    assert (found["out of oxygen"], found["decisions of the shortest out of oxygen"], found["as long as that"]) == (2, 70, 3)
    assert found["share of these out of oxygen"][0] == pytest.approx(2 / 3) and found["each"][1]["decisions"] == 70
    none = section_4_4_actions.lives_record(lost[:1])
    assert none["decisions of the shortest out of oxygen"] is None and none["share of these out of oxygen"] is None
    assert section_4_4_actions.lives_record([])["that took in oxygen again"] is None


@pytest.mark.slow
def test_section_4_4(folders, output, monkeypatch):
    monkeypatch.setattr(section_4_4_actions, "SAMPLES", 16)
    run(
        section_4_4_actions,
        monkeypatch,
        folders,
        output,
        "--frames",
        "1600",
        "--states",
        "5",
        "--searches",
        "1",
        game="seaquest",
    )
    found = read_record(output, "section-4-4")
    assert len(found["actions"]) == 18 and sum(line["up"] for line in found["actions"].values()) == 6
    for line in found["actions"].values():
        assert len(line["synthesised oxygen"]) == 5 and min(line["synthesised oxygen"]) >= 0
        low = sum(level < found["little oxygen"] for level in line["synthesised oxygen"])
        assert line["synthesised with little oxygen"][0] == pytest.approx(low / 5, abs=1e-3)
    shares = found["states with little oxygen"]
    assert shares["states"] == {"synthesised": 90, "random samples": 16, "real": shares["states"]["real"]}
    assert shares["synthesised"][0] == pytest.approx(
        np.mean([line["synthesised with little oxygen"][0] for line in found["actions"].values()])
    )
    assert found["lives lost without random actions"]["otherwise"] >= 0
    assert found["real where it goes up"]["states"] + found["real where it does not"]["states"] > 1000
    lost = found["lives lost"]
    assert len(lost["each"]) == lost["out of oxygen"] + lost["otherwise"]
    with pytest.raises(ConfigError, match="an agent of Seaquest"):
        run(section_4_4_actions, monkeypatch, folders, output, game="pong")


def test_figure_4(folders, output, monkeypatch):
    monkeypatch.setattr(figure_4_critical_states, "SAMPLES", 16)
    run(figure_4_critical_states, monkeypatch, folders, output, "--frames", "1600", "--states", "8", game="seaquest")
    found = read_record(output, "figure-4")
    either, little, close = (found["shown"][sign] for sign in ("either", "little oxygen", "an enemy close by"))
    assert either["states"]["synthesised"] == 8 and either["states"]["random samples"] == 16
    for kind in ("synthesised", "random samples", "real", "best real states"):
        assert max(little[kind][0], close[kind][0]) <= either[kind][0] <= little[kind][0] + close[kind][0]
    assert found["distance to the closest enemy"]["held-out real states"]["frames"] > 0
    with pytest.raises(ConfigError, match="an agent of Seaquest"):
        run(figure_4_critical_states, monkeypatch, folders, output, game="pong")


def test_ball_places(folders, output, monkeypatch):
    monkeypatch.setattr(ball_places, "SAMPLES", 16)
    run(ball_places, monkeypatch, folders, output, "--targets", "T-", "--states", "10")
    found = read_record(output, "ball-places")
    places = found["targets"]["T-"]
    assert set(places) == set(pong.PLACES)
    for kind in ("synthesised", "random samples", "real", "best real states"):
        assert sum(line[kind][0] for line in places.values()) == pytest.approx(1.0, abs=1e-3)
    assert found["held-out real states with the place of the memory"][0] > 0.9
    with pytest.raises(ConfigError, match="an agent of Pong"):
        run(ball_places, monkeypatch, folders, output, game="seaquest")


@pytest.mark.parametrize(
    ("column", "row", "place"),
    [
        (150, 100, pong.BEHIND_OWN),
        (5, 100, pong.BEHIND_OTHER),
        (80, 100, pong.IN_FIELD),
        (130, 60, pong.IN_FIELD),
        (None, 0, pong.NONE),
        (80, 205, pong.NONE),
        (141, 100, pong.NONE),
    ],
)
def test_place_of_a_ball_that_was_drawn(column, row, place):
    """The emulator's screen with a ball, or with none in the field, made smaller as for an agent."""
    screen = np.full((210, 160, 3), (144, 72, 17), np.uint8)
    screen[24:34] = screen[194:] = 236
    screen[90:106, 140:144], screen[60:76, 16:20] = (92, 186, 92), (213, 130, 74)
    if column is not None:
        screen[row : row + 4, column : column + 2] = 236
    frame = cv2.resize(screen, (84, 84), interpolation=cv2.INTER_AREA)
    assert pong.ball_places(frame[None]).tolist() == [place]


def test_distance_to_the_closest_enemy_matches_the_memory(folders):
    """The objects of the emulator's memory are the reference."""
    config = run_config(folders["seaquest"], f"{AGENTS}:eighteen_actions", "seaquest", frames=1600)
    dataset = open_session(config, ("subject", "collect")).dataset
    chosen = np.flatnonzero(dataset.age > 20)
    frames = dataset.newest(chosen)
    objects = finder("Seaquest")(frames, dataset.ram[chosen])
    measured, expected = seaquest.enemy_distance(frames), np.full(len(frames), np.nan)
    for number, (players, enemies) in enumerate(zip(objects["player"], objects["enemies"], strict=True)):
        if len(players) and len(enemies):
            centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (players, enemies)]
            expected[number] = np.hypot(*(centres[1] - centres[0][0]).T).min()
    both = np.isfinite(measured) & np.isfinite(expected)
    assert both.sum() > 100 and np.median(np.abs(measured - expected)[both]) < 0.5
    assert np.isnan(seaquest.enemy_distance(np.zeros((1, 84, 84, 3), np.uint8))).all()
    clear = frames[:1].copy()
    clear[:, 18:64] = (0, 28, 136)
    clear[:, 40:43, 40:46] = (187, 187, 53)
    assert np.isinf(seaquest.enemy_distance(clear)).all()
    clear[:, 40:43, 60:64] = (92, 186, 92)
    assert seaquest.enemy_distance(clear)[0] == pytest.approx(19.0)


def test_page_shows_the_available_results(folders, tmp_path, monkeypatch):
    folder = tmp_path / "results" / "pong"
    folder.mkdir(parents=True)
    run(figure_2_loss_weights, monkeypatch, folders, folder, "--states", "30")
    run(figure_8_distributions, monkeypatch, folders, folder, "--targets", "T-", "--states", "4")
    record = json.loads((folder / "figure-8.json").read_text())
    monkeypatch.setattr(sys, "argv", ["x", "--results", str(tmp_path / "results"), "--page", str(tmp_path / "results.md")])
    results.main()
    page = (tmp_path / "results.md").read_text()
    assert "## Figure 2" in page and "## Figure 8" in page and "## Table 1" not in page
    assert "(results/pong/figure-2.png)" in page and "python -m experiments.figure_8_distributions" in page
    mean = record["targets"]["T-"]["Algorithm 1"]["mean"]
    assert f"| pong | T- | Algorithm 1 | 4 | {page_cell(mean)} |" in page
    assert "Differences from the paper: 1, 2, 3, 5, 13." in page and "\n13. The paper's figure 8 is of Boxing" in page
    assert "## Performance" not in page
    line = {"states": 10, "among": 20, "seconds": 1.5, "megabytes": 900, "megabytes_more": 100}
    (tmp_path / "results" / "neighbours.json").write_text(json.dumps(line))
    results.main()
    assert "| 1 | 1.5 | 60 | 900, 100 of it for the search | 2,000 |" in (tmp_path / "results.md").read_text()
    (folder / "table-1.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        results.main()


def test_table_1_on_the_page_has_the_papers_numbers_and_ours(tmp_path):
    folder = tmp_path / "pong"
    folder.mkdir()
    scores = {"mean": 3.0, "low": 1.0, "high": 5.0, "scores": [1.0, 5.0]}
    versions = {"torch": "2"}
    settings = {"frames": 10, "budget_cpu_minutes": 1.0, "seed": 0}
    fast = scores | {"difference": {"mean": 0.5, "low": None, "high": None}}
    columns = {"agent": scores, "fast": fast, "VAE, network of fast": fast | {"mean": -4.0}, "L_p only": fast}
    record = {"columns": columns, "paper": table_1_loss_study.PAPER["Pong"], "command": "c"}
    record |= {"versions": versions, "settings": settings, "seconds": 3.0}
    (folder / "table-1.json").write_text(json.dumps(record))
    lines = results.table_1(tmp_path).splitlines()
    assert lines[2:] == [
        "| pong, paper | 20 | 14 | -8 | 4 | 14 | – |",
        "| pong, the paper's network | 2 | 3 (1 to 5) | – | 3 (1 to 5) | – | – |",
        "| pong, the paper's network, minus the agent's own | 2 | – | – | 0.5 | – | – |",
        "| pong, the network of `fast` | 2 | 3 (1 to 5) | -4 (1 to 5) | – | – | 3 (1 to 5) |",
        "| pong, the network of `fast`, minus the agent's own | 2 | – | 0.5 | – | – | 0.5 |",
        *lines[7:],
    ]


def test_page_compares_actions_with_low_oxygen_with_chance():
    record = {
        "little oxygen": 0.25,
        "actions": {"UP": {}, "NOOP": {}, "LEFT": {}},
        "actions with little oxygen in one of four states": {"synthesised": 1, "expected by chance": 2.1},
    }
    for over_real, words in (([0.8, 0.7, 0.9], "rarer"), ([1, 0.9, 1.1], "no more frequent"), ([3, 2, 4], "more frequent")):
        line = results._little_oxygen("a", record | {"states with little oxygen": {"over real": over_real}})
        assert line.startswith(
            "a: of the 3 actions, 1 have a state with less than 25% of the bar among the first four; real states chosen at "
            f"random would give 2.1. They are {words} among the synthesised states than among real ones"
        )
        assert ("does not support" in line) == (over_real[1] <= 1)


RESULTS = Path(__file__).parent.parent / "docs" / "results"


def test_figures_1_have_the_same_settings_for_every_game():
    paths = sorted(RESULTS.glob("*/figure-1.json"))
    settings = [json.loads(path.read_text())["settings"] for path in paths]
    names = ("search", "seed", "budget_cpu_minutes", "frames", "recipe")
    assert len(settings) > 1 and all(
        [one[name] for name in names] == [settings[0][name] for name in names] for one in settings
    )


def test_page_matches_the_results():
    assert (RESULTS.parent / "results.md").read_text() == results.page(RESULTS)


def test_recorded_commands_contain_no_local_paths(tmp_path):
    words = ["--agent", "/home/me/acktr.safetensors", "--folder", "/tmp/x", "--seed", "3", "--output", "out"]
    words = ["/x/experiments/table_1.py", *words, f"--output={tmp_path}", "--columns", "VAE", "L_p only", "T+-"]
    words += ["--targets", f"{AGENTS}:pong", str(AGENTS)]
    assert repeatable_command(words) == (
        "python -m experiments.table_1 --agent /home/me/acktr.safetensors --seed 3 --columns VAE 'L_p only' T+- "
        "--targets FOLDER/tiny_agent.py:pong FOLDER/tiny_agent.py"
    )


@pytest.fixture(scope="module")
def dives():
    """Newest frames, memory and lost lives of a submarine that dives and stays below."""
    environment = AtariEnvironment(AtariConfig("seaquest"))
    down = environment.spec.action_names.index("DOWN")
    frames, memory, lost = [], [], []
    step = environment.reset(1)
    for _ in range(900):
        frames.append(step.frame.copy())
        memory.append(step.ram.copy())
        step = environment.step(down)
        lost.append(step.life_lost)
        if step.terminated or step.truncated:
            step = environment.reset()
    return np.stack(frames), np.stack(memory), np.array(lost)


def test_oxygen_in_frames_matches_the_memory(dives):
    frames, memory, _ = dives
    level = memory[:, 102] / 64
    visible = level > 0
    assert visible.sum() > 200 and np.ptp(level[visible]) > 0.9
    assert np.abs(oxygen(frames) - level)[visible].max() < 0.08


def test_causes_of_lost_lives():
    """Two rollouts: the first has a life lost for lack of oxygen, the second two lives lost by a hit."""
    stream, ram = np.repeat([0, 1], 6), np.zeros((12, 128), np.uint8)
    ram[:, 102] = [9, 5, 2, 0, 0, 0, 50, 49, 48, 0, 0, 64]
    lost = np.array([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1], bool)
    found = lives(ram, lost, stream)
    assert [life.out_of_oxygen for life in found] == [True, False, False]
    assert [(life.oxygen * 64).tolist() for life in found] == [[9, 5, 2, 0, 0], [50, 49, 48, 0, 0], [64]]


@pytest.mark.parametrize(
    ("levels", "times"),
    [
        ([0, 0.3, 0.7, 1, 0.8, 0.5, 0.1, 0], 0),  # filling the first tank is no breath
        ([1, 0.9, 0.5, 0.52, 0.4, 0], 0),
        ([0, 0.5, 1, 0.9, 0.4, 0.6, 0.6, 0.9, 0.8, 0.2, 0.5, 0.1], 2),
        ([0, 0, 0], 0),
        ([0, 0.3, 0.5, 0.4, 0.3, 0.6, 1, 0.9], 1),  # a first tank that was not full
        ([0.9, 0.5, 0.2, 0.8, 0.3], 1),
        ([0.02, 0, 0.5, 1, 0.6], 0),
    ],
)
def test_breaths_are_counted_when_the_tank_refills(levels, times):
    assert Life(np.array(levels, dtype=float), False).breaths == times


def test_life_without_oxygen_is_not_judged_by_the_one_before():
    ram = np.zeros((7, 128), np.uint8)
    ram[:, 102] = [9, 2, 0, 0, 0, 40, 0]
    lost = np.array([0, 0, 1, 0, 1, 0, 1], bool)
    found = lives(ram, lost, np.zeros(7, int))
    assert [life.out_of_oxygen for life in found] == [True, False] and len(found[1].oxygen) == 2


def test_submarine_on_the_ground_is_hit_long_before_its_oxygen_ends(dives):
    """A hit empties the bar as well, which is no lack of oxygen."""
    _, memory, lost = dives
    ends = np.flatnonzero(lost)
    assert (memory[ends, 102] == 0).all()
    found = lives(memory, lost, np.zeros(len(lost), int))
    assert not any(life.out_of_oxygen for life in found) and len(found) == len(ends) > 3
    assert all(life.oxygen[-1] == 0 < life.oxygen.max() for life in found)


def test_positions_of_paddles_and_ball_of_pong_match_the_frames():
    environment = AtariEnvironment(AtariConfig("pong"))
    rng, frames, memory = np.random.default_rng(0), [], []
    step = environment.reset(1)
    for _ in range(400):
        frames.append(step.frame.copy())
        memory.append(step.ram.copy())
        step = environment.step(int(rng.integers(6)))
    stacked = np.stack(frames)
    find = finder("PongNoFrameskip-v4")
    assert find is not None
    windows = find(stacked, np.stack(memory))
    colours = {"ball": (236, 236, 236), "own paddle": (92, 186, 92), "opponent's paddle": (213, 130, 74)}
    assert set(windows) == set(colours)
    for name, colour in colours.items():
        errors = []
        for frame, boxes in zip(stacked, windows[name], strict=True):
            for left, top, right, bottom in boxes:
                part = frame[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))].astype(float)
                errors.append(np.abs(part - colour).max(axis=-1).min())
        assert len(errors) > 100 and np.median(errors) < (90 if name == "ball" else 30), name
    assert all(len(boxes) <= 1 for kind in windows.values() for boxes in kind)


def test_disagreement_of_agents_with_equal_q_values_is_finite():
    spec = importlib.util.spec_from_file_location("disagreement", RESULTS.parent / "examples" / "disagreement.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Flat:
        def __init__(self, scores):
            self.scores, self.module, self.device = scores, torch.nn.Identity(), torch.device("cpu")
            self.spec = loaded_subject("pong-double-dqn", None).agent.spec

        def __call__(self, observation):
            return AgentOutput(self.scores)

    scores = torch.full((2, 6), 7.0, requires_grad=True)
    value = module.Pair(Flat(scores), Flat(torch.arange(12.0).reshape(2, 6)))(torch.zeros(2, 4, 84, 84)).value
    assert torch.isfinite(value).all() and (value > 0).all()
    value.sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_time_to_be_as_good_for_good():
    paper = [
        {"seconds": 30.0 * n, "mse": m, "ball_recall": r}
        for n, (m, r) in enumerate(zip([9, 4, 5, 3, 2], [0, 0.9, 0.2, 0.5, 0.6], strict=True), 1)
    ]
    fast = {"seconds": 7.0, "mse": 4, "ball_recall": 0.7, "kl": 3.0}
    assert equal_time.catches_up(paper, "mse", 4) == 120.0, "worse again in between"
    found = equal_time.factors(fast, 10.0, paper)
    assert set(found) == {"mse", "ball_recall"}
    assert (found["mse"]["factor"], found["mse"]["lower bound"]) == (12.0, False)
    assert (found["ball_recall"]["factor"], found["ball_recall"]["lower bound"]) == (15.0, True)


def test_equal_time(folders, output, monkeypatch):
    short = ("--minutes", "0.04", "--fast-minutes", "0.03", "--episodes", "1", "--longest", "40")
    run(equal_time, monkeypatch, folders, output, *short)
    found = read_record(output, "equal-time")
    assert set(found["trainings"]) == {"fast, 0.03 minutes", "paper"}
    assert {"mse", "agreement", "ball_recall"} <= set(found["factors"]["fast, 0.03 minutes"])
    assert (output / "equal-time.png").exists()


@pytest.mark.slow
def test_loss_scale_resumes_and_continues(folders, tmp_path, monkeypatch):
    """Measures of finished cells and steps stay; later milestones continue the trainings."""
    output = tmp_path / "results" / "one" / "loss-scale"
    options = [
        "--agent",
        f"{AGENTS}:pong",
        "--environment",
        "pong",
        "--folder",
        str(folders["pong"]),
        "--output",
        str(output),
    ]
    options += ["--frames", "640", "--episodes", "2", "--longest", "40", "--cells", "full:65025", "vae-sum:1"]
    monkeypatch.setattr(loss_scale, "SEARCHED", 3)
    monkeypatch.setattr("lab.loss_scale.SAMPLES", 8)
    monkeypatch.setattr("lab.loss_scale.SHOWN", 2)

    def tiny_searches():
        return {"ours": lambda states: SynthesisConfig(states=states, searches=1, steps=2, candidates=8)}

    monkeypatch.setattr(loss_scale, "searches", tiny_searches)

    def run_until(*milestones: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["loss_scale.py", *options, "--milestones", *milestones])
        loss_scale.main()
        return {path.stem: json.loads(path.read_text()) for path in output.glob("*.json")}

    first = run_until("2")
    assert set(first) == {"full-65025", "vae-sum-1"}
    for record in first.values():
        (line,) = record["measures"]
        assert line["steps"] == 2 and {"kl", "active_units", "mse", "ball_recall"} <= set(line)
        assert record["searches"]["ours"]["states"] == 3 and record["searches"]["ours"]["after"] == 2
    second = run_until("2", "3")
    for name, record in second.items():
        assert [line["steps"] for line in record["measures"]] == [2, 3]
        assert record["measures"][0] == first[name]["measures"][0] and record["searches"]["ours"]["after"] == 3
        assert cv2.imread(str(output / f"{name}.png")).std() > 5
    page = results.page(tmp_path / "results")
    assert "| one | full | 65,025 | 3 |" in page and "| one | vae-sum | 1 | ours | 3 |" in page
    with pytest.raises(ConfigError, match="LOSS:SCALE"):
        loss_scale.cell_of("full:nan")
