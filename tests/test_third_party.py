"""A third-party package with one extension of each kind, ``tests/grid_world``, from installation to findings.

It is installed into a separate folder and used in other processes, only by its names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import third_party
from tiny_run import replace_option

import weakspot

HERE = Path(__file__).parent
CELLS, GOAL = 8, 5
METHOD = """
import json, sys
from weakspot.commands import parse
from weakspot.config import RunConfig
from weakspot.pipeline import Pipeline
from weakspot.search.method import Sources
from weakspot.search.registry import load_method

pipeline = Pipeline(parse(RunConfig, "run", sys.argv[1:]))
pipeline.run()
session = pipeline.session
trained_on = session.trained_on
sources = Sources(session.perceive, session.dataset, trained_on, session.recorded_outputs(trained_on), session.model)
found = load_method("half")(sources, session.target("own-unsure"), 3, seed=0)
newest = found.state[:, -3:].mean(dim=(1, 2))
brightest = newest.argmax(dim=1).tolist()
print(json.dumps({"shape": list(found.state.shape), "brightest": brightest, "target": found.target.tolist()}))
"""


def entry_points():
    """The entry points that CONTRIBUTING.md shows."""
    page = (HERE.parent / "CONTRIBUTING.md").read_text()
    toml = page.split("### Extensions")[1].split("```toml\n")[1].split("```")[0]
    return tomllib.loads(toml)["project"]["entry-points"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the installed package and an agent of its format."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / "grid_world", folder / "grid_world", ignore=shutil.ignore_patterns("__pycache__"))
    third_party.write_metadata(folder, "grid_world", entry_points())
    (folder / "five.walker").write_text(str(GOAL))
    return folder


@pytest.fixture(scope="module")
def options(site):
    """The options of a tiny run of that agent."""
    return [
        *replace_option("--train.recipe", "tiny", "--agent", str(site / "five.walker")),
        *("--environment", f"grid/{CELLS}", "--targets", "unsure", "--output", str(site / "run")),
    ]


def python(site, *arguments):
    """Runs Python where the package is installed, in an empty folder."""
    source = Path(weakspot.__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{source}"}
    folder = site / "empty"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def finished(site, options):
    """The folder of the finished run."""
    process = python(site, "-m", "weakspot.cli", "run", *options)
    assert process.returncode == 0, process.stdout + process.stderr
    return site / "run"


def test_the_run_finds_states(finished):
    run = weakspot.load_run(finished)
    assert (run.environment.id, run.agent.name) == (f"grid/{CELLS}", "five")
    assert run.settings["train"]["recipe"] == "tiny" and list(run.findings) == ["unsure"]
    findings = run.findings["unsure"]
    assert findings.states.shape == (3, 2, 8, 2 * CELLS, 3)
    assert findings.search.description == "No action is better than the other."
    np.testing.assert_allclose(findings.target, np.abs(findings.scores[:, 0] - findings.scores[:, 1]), rtol=1e-5)
    assert run.report and "unsure" in run.report.read_text()


def test_the_agent_walks_to_its_goal(finished):
    """The state model sees real states, whose energy is the distance from the goal."""
    energies = weakspot.load_run(finished).novelty["unsure"].real_target
    np.testing.assert_allclose(energies, np.round(energies), atol=1e-4)
    assert energies.min() >= 0 and energies.max() <= GOAL


def test_the_method_finds_states_for_the_target(site, options, finished):
    process = python(site, "-c", METHOD, *options)
    assert process.returncode == 0, process.stdout + process.stderr
    *lines, found = process.stdout.splitlines()
    assert any(line.startswith("nothing to do") for line in lines)
    found = json.loads(found)
    assert found["shape"] == [3, 6, 8, 2 * CELLS]
    assert found["target"] == pytest.approx([0.0] * 3, abs=1e-4), "real states at the goal"
    assert {column // 2 for column in found["brightest"]} == {GOAL}


def test_results_belong_to_the_version_of_the_package(site, options, finished):
    """An upgrade of the package may change its environment, agent, recipe and target."""
    information = site / "grid_world-1.0.dist-info" / "METADATA"
    before = information.read_text()
    try:
        information.write_text(before.replace("Version: 1.0", "Version: 2.0"))
        process = python(site, "-m", "weakspot.cli", "plan", *options)
    finally:
        information.write_text(before)
    assert process.returncode == 0, process.stdout + process.stderr
    planned = next(line for line in process.stdout.splitlines() if line.startswith("would make "))
    expected = {"collect", "train", "goggles", "synthesize/own-unsure", "novelty/own-unsure"}
    assert expected <= set(planned.removeprefix("would make ").split(", "))
    assert weakspot.load_run(finished).findings, "planning does not change the run folder"


def test_names_are_unknown_without_the_package(site, options, finished):
    """The findings can still be read."""
    (site / "lost").mkdir()
    process = python(site / "lost", "-m", "weakspot.cli", "run", *options)
    assert process.returncode == 2 and f"no environment is called 'grid/{CELLS}'" in process.stdout + process.stderr
    assert weakspot.load_run(finished).findings
