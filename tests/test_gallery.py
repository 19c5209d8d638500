"""The gallery of games: its record of a run, its means over games, and its command."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import trim_mean
from tiny_run import AGENT

import weakspot
from lab import gallery
from lab.page import markers
from weakspot.errors import ConfigError
from weakspot.sweep.read import read_sweep

REPOSITORY = Path(__file__).parent.parent
SWEEP = REPOSITORY / "experiments/sweeps/gallery.toml"


def test_figures_of_the_paper_are_those_of_the_sweep():
    games = {gallery.game_of(run): run.config.targets for run in gallery.runs_of(read_sweep(SWEEP))}
    assert set(gallery.FIGURES) < set(games) and len(games) == 50
    numbers = [int(figure) for figures in gallery.FIGURES.values() for figure in figures]
    assert sorted(numbers) == [*range(9, 34), *range(36, 54)], "our text of the paper lacks figures 34 and 35"
    assert games["pong"] == ("NOOP",) and games["breakout"] == ("T-", "LEFT") and games["montezuma_revenge"] == ("T-",)


def test_the_interquartile_mean_leaves_out_both_ends():
    mean, low, high = gallery.interquartile_mean([-100.0, 1.0, 2.0, 100.0], np.random.default_rng(0))
    assert mean == 1.5 and low < 1.5 < high
    odd = gallery.interquartile_mean([0.0, 1.0, 5.0], np.random.default_rng(0))[0]
    assert odd == pytest.approx(1.5), "a quarter of three games is three quarters of one"
    assert gallery.interquartile_mean([2.0], np.random.default_rng(0)) == (2.0, 2.0, 2.0)
    values = np.random.default_rng(1).normal(size=40)
    assert gallery.interquartile_mean(values, np.random.default_rng(0))[0] == pytest.approx(trim_mean(values, 0.25))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, finished_run):
    """A sweep of two games, one of which is finished."""
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "runs").mkdir()
    path = folder / "sweep.toml"
    path.write_text(f'output = "{folder}"\ngames = ["pong", "boxing"]\n[[agents]]\nname = "a"\nagent = "{AGENT}"\n')
    first = gallery.runs_of(read_sweep(path))[0]
    first.config.output.symlink_to(finished_run)
    return path


def test_the_record_of_a_game(finished_run):
    run = weakspot.load_run(finished_run)
    record = gallery.game_record(run, [-21.0, -20.0], 0.5)
    assert record["random play"][0] == -20.5 and set(record["targets"]) == {"T-", "LEFT"}
    found, novelty = run.findings["T-"], run.novelty["T-"]
    beyond = record["targets"]["T-"]["beyond the best real state"]
    assert beyond[0] == pytest.approx((found.target < novelty.real_target.min()).mean())
    assert record["same action"] == run.fidelity.same_action
    row = gallery.games_table({"pong": record}).splitlines()[2]
    assert row.startswith("| pong | 44 | T- | ")
    means = gallery.summary({"pong": record})
    assert means["same action"]["count"] == 1 and means["beyond the best real state"]["count"] == 2
    assert "| same action | 1 |" in gallery.summary_table(means)


def test_the_share_of_the_score_needs_an_agent_that_plays_better_than_random(finished_run):
    goggles = weakspot.load_run(finished_run).goggles
    better = replace(
        goggles, agent=replace(goggles.agent, scores=(20.0, 18.0)), goggles=replace(goggles.goggles, scores=(9.0, 9.0))
    )
    assert gallery.share_of_score(better, [-1.0, -1.0]) == pytest.approx(0.5)
    assert gallery.share_of_score(better, [18.0, 20.0]) is None


def test_the_command_writes_record_pictures_and_page(sweep, tmp_path):
    page = tmp_path / "gallery.md"
    names = ("gallery summary", "gallery games", "gallery pictures")
    page.write_text("\n".join("\n\n".join(markers(name)) for name in names))
    command = [sys.executable, "-m", "experiments.gallery", "--sweep", str(sweep), "--output", str(tmp_path / "out")]
    process = subprocess.run([*command, "--page", str(page)], capture_output=True, text=True, cwd=REPOSITORY)
    assert process.returncode == 0, process.stderr
    assert "1 of 2 games are finished" in process.stdout
    record = json.loads((tmp_path / "out" / "gallery.json").read_text())
    assert list(record["games"]) == ["pong"] and record["planned"] == 2
    assert len(record["games"]["pong"]["random play"]) == 3 and 1 / 6 <= record["games"]["pong"]["usual action"] <= 1
    image = cv2.imread(str(tmp_path / "out" / "pong.png"))
    assert image is not None and image.std() > 10
    text = page.read_text()
    assert "### pong (figure 44 of the paper)\n\n![pong](out/pong.png)" in text and "| pong | 44 | T- |" in text
    again = subprocess.run([*command, "--page", str(page)], capture_output=True, text=True, cwd=REPOSITORY)
    assert again.returncode == 0 and "pong ..." not in again.stdout, "what did not change is not measured again"


def test_other_sweeps_are_refused(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(f'output = "{tmp_path}"\ngames = ["pong"]\nseeds = [0, 1]\n[[agents]]\nname = "a"\nagent = "{AGENT}"\n')
    with pytest.raises(ConfigError, match="several runs of pong"):
        gallery.finished_runs(path)
    path.write_text(f'output = "{tmp_path}"\nagents = ["pong-double-dqn"]\n')
    with pytest.raises(ConfigError, match="has no game"):
        gallery.finished_runs(path)
    process = subprocess.run(
        [sys.executable, "-m", "experiments.gallery", "--sweep", str(SWEEP), "--output", str(tmp_path / "out")],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
    )  # fmt: skip
    assert process.returncode == 2 and "weakspot sweep" in process.stderr
