"""The experiments on tiny budgets, and their numbers in cases with known results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3", reason="the training extra is not installed")

from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import image

from experiments import agents, dqn_settings, known_weaknesses, learning, safety, town
from lab import driving, twins
from lab import town as town_pictures
from lab.agents import evaluate, no_operation
from lab.confirming import Known, has_right_rescue, rank_of
from lab.page import markers, replace_table
from weakspot.agents import zoo
from weakspot.agents.formats.card import read_card
from weakspot.agents.load import load_agent
from weakspot.agents.tensors.weights import read_weights
from weakspot.envs.driving.classes import PALETTE, SemanticClass
from weakspot.errors import ConfigError
from weakspot.ground.plausibility import Checks
from weakspot.intervals import bootstrap_difference, poisson_rate, poisson_ratio
from weakspot.training.arenas import arena_of
from weakspot.training.config import ACKTRConfig

torch.set_num_threads(1)


def run(module, monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
    module.main()


def test_learning_curves_of_two_algorithms_with_the_same_seeds(tmp_path, monkeypatch, capsys):
    """Runs twice; the second run trains nothing."""
    monkeypatch.setattr(learning, "EVALUATIONS", 2)
    command = ["--game", "ms_pacman", "--steps", "640", "--seeds", "3", "--episodes", "1", "--longest", "20"]
    command += ["--folder", str(tmp_path / "runs"), "--output", str(tmp_path / "out")]
    run(learning, monkeypatch, *command)
    record = json.loads((tmp_path / "out" / "learning-ms_pacman.json").read_text())
    assert set(record["curves"]) == {"a2c", "acktr"} and record["seeds"] == [3]
    assert "seed" not in record["settings"]["acktr"] and record["settings"]["acktr"]["kl"] == ACKTRConfig().kl
    for points in (record["curves"]["a2c"][0], record["curves"]["acktr"][0]):
        assert [p["step"] for p in points] == sorted({p["step"] for p in points}) and points[-1]["step"] >= 640
    assert image.imread(tmp_path / "out" / "learning-ms_pacman.png").std() > 0.01
    capsys.readouterr()
    run(learning, monkeypatch, *command)
    assert "decisions   score" not in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "learning-ms_pacman.json").read_text()) == record


def test_mean_score_of_a_training_is_the_area_under_its_curve():
    assert learning.mean_score([{"step": 10, "score": 2.0}]) == 2.0
    points = [{"step": 10, "score": 0.0}, {"step": 30, "score": 4.0}]
    assert learning.mean_score(points) == pytest.approx((10 * 0 + 20 * 2) / 30)


@pytest.mark.parametrize("path", agents.files(), ids=lambda path: path.stem)
def test_every_agent_loads_and_its_card_describes_its_training(path):
    agent, card = load_agent(str(path)), read_card(read_weights(path)[1], str(path))
    observation = torch.zeros(1, *card.observation_shape)
    assert agent(observation).scores.shape == (1, len(card.actions)) and agent.spec.environment == card.environment
    assert card.training["command"].startswith("weakspot train-agent ") and len(card.score["scores"]) >= 20
    assert "two million" in card.training["budget"], "the budget names that of the paper for comparison"


def test_shipped_agents_are_small():
    assert 0 < sum(zoo.path(name).stat().st_size for name in zoo.names()) < 12_000_000


def test_the_table_of_agents(tmp_path):
    def short(act, game, episodes, seed, epsilon, longest):
        return [-21.0] * episodes if epsilon == 1.0 else evaluate(act, game, episodes, seed, epsilon, 700)

    entry = agents.measure(zoo.path("pong-double-dqn"), 4, play=short) | {"agent": "pong-double-dqn", "ships": True}
    assert min(entry["scores"]) >= 1 and entry["score"][0] == np.mean(entry["scores"]), "the agent leads after 700 decisions"
    assert entry["random"] == (-21.0, -21.0, -21.0) and entry["ahead"][1] >= 22
    assert (entry["score_on_the_card"], entry["cpu_hours"]) == (zoo.card("pong-double-dqn").score["mean"], None)
    page, (start, end) = tmp_path / "page.md", markers(agents.TABLE)
    page.write_text(f"before\n{start}\nold\n{end}\nafter\n")
    replace_table(page, agents.TABLE, agents.table([entry]))
    replace_table(page, agents.TABLE, agents.table([entry | {"ships": False, "cpu_hours": 1.25}]))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "`pong-double-dqn` (repository only) | PongNoFrameskip-v4" in text and "| 1.2 |" in text
    page.write_text("nothing here")
    with pytest.raises(ConfigError, match="no markers"):
        replace_table(page, agents.TABLE, "x")


def test_measured_agents_are_not_measured_again(tmp_path, monkeypatch):
    played = []

    def measure(path, games):
        played.append(path)
        scores = {name: (1.0, 0.5, 1.5) for name in ("score", "random", "ahead")}
        provenance = {"digest": agents.digest_of(path), "games": games, "cpu_hours": 1.0}
        description = {"environment": "e", "algorithm": "a", "network": "n", "decisions": 1, "megabytes": 0.1}
        return {**provenance, **description, **scores}

    monkeypatch.setattr(agents, "measure", measure)
    one, two = (tmp_path / f"{name}.safetensors" for name in ("one", "two"))
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    monkeypatch.setattr(agents, "files", lambda: [one, two])
    for _ in range(2):
        run(agents, monkeypatch, "--output", str(tmp_path))
    assert played == [one, two]
    two.write_bytes(b"another")
    run(agents, monkeypatch, "--output", str(tmp_path))
    run(agents, monkeypatch, "--output", str(tmp_path), "--games", "3")
    assert played == [one, two, two, one, two]
    renamed = one.rename(tmp_path / "renamed.safetensors")
    monkeypatch.setattr(agents, "files", lambda: [renamed, two])
    run(agents, monkeypatch, "--output", str(tmp_path), "--games", "3")
    assert len(played) == 5
    assert [entry["agent"] for entry in json.loads((tmp_path / "agents.json").read_text())["agents"]] == ["renamed", "two"]
    renamed.write_bytes(b"new")

    def interrupted(path, games):
        raise KeyboardInterrupt

    monkeypatch.setattr(agents, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(agents, monkeypatch, "--output", str(tmp_path), "--games", "3")
    monkeypatch.setattr(agents, "measure", measure)
    run(agents, monkeypatch, "--output", str(tmp_path), "--games", "3")
    assert played[5:] == [renamed], "results from before the interruption are kept"
    assert [entry["games"] for entry in json.loads((tmp_path / "agents.json").read_text())["agents"]] == [3, 3]


def test_agents_page_matches_the_measurements_and_the_current_files():
    record, page = json.loads(Path("docs/agents/agents.json").read_text()), Path("docs/agents.md").read_text()
    digests = {entry["agent"]: entry["digest"] for entry in record["agents"]}
    assert digests == {path.stem: agents.digest_of(path) for path in agents.files()}
    start, end = markers(agents.TABLE)
    assert page.split(start)[1].split(end)[0].strip() == agents.table(record["agents"])
    assert record["share_of_random_actions"] == agents.EPSILON
    assert all(entry["ahead"][1] > 0 and entry["games"] >= 20 for entry in record["agents"]), (
        "significantly better than random play"
    )


def test_random_play_is_random():
    idle, random = (evaluate(no_operation, arena_of("ms_pacman"), 3, 0, epsilon, 200) for epsilon in (0.0, 1.0))
    assert len(random) == 3 and random != idle


def test_interval_of_a_difference_covers_the_true_difference():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(60):
        mean, low, high = bootstrap_difference(generator.normal(3, 1, 30), generator.normal(1, 2, 40), generator)
        assert low < mean < high
        covered += low < 2 < high
    assert covered >= 52


@pytest.mark.parametrize(
    ("events", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904), (100, 81.3640, 121.6270)]
)
def test_interval_of_a_rate_matches_garwoods_tables(events, low, high):
    """Compared with the tables of Garwood's interval."""
    assert poisson_rate(events, 2.0) == pytest.approx((events / 2, low / 2, high / 2), abs=1e-3)


def test_interval_of_a_ratio_of_rates_matches_r():
    """Compared with the example of R's poisson.test, and with its definition."""
    assert poisson_ratio(11, 800.0, 21, 3011.0) == pytest.approx((1.971488, 0.8584264, 4.2772659), abs=1e-6)
    ratio, inverse = poisson_ratio(3, 2.0, 5, 1.0), poisson_ratio(5, 1.0, 3, 2.0)
    assert ratio and inverse and [1 / end for end in inverse] == pytest.approx([ratio[0], ratio[2], ratio[1]])
    high = 0.025**-0.25 - 1  # with this ratio, all four are events of the other one in 2.5 % of cases
    assert poisson_ratio(0, 1.0, 4, 1.0) == pytest.approx((0.0, 0.0, high))
    assert poisson_ratio(2, 1.0, 0, 1.0) is None
    ratio_of_many, spread = poisson_ratio(6_000, 50.0, 5_200, 50.0), np.exp(1.96 * np.sqrt(1 / 6_000 + 1 / 5_200))
    assert ratio_of_many is not None, "the binomial coefficients of these counts overflow a float"
    assert ratio_of_many == pytest.approx((6_000 / 5_200, 6_000 / 5_200 / spread, 6_000 / 5_200 * spread), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9), st.integers(1, 9), st.floats(0.1, 10), st.floats(0.1, 10))
def test_a_ratio_lies_within_its_interval(events, others, exposure, other_exposure):
    interval = poisson_ratio(events, exposure, others, other_exposure)
    assert interval and interval[1] <= interval[0] < interval[2]


@pytest.mark.slow
def test_safety_resumes_after_a_kill_and_compares_drivers(tmp_path, monkeypatch):
    """Two processes drive the missing episodes; stored results are reused unchanged."""
    path = "experiments/agents/drivesemantic64-a2c.safetensors"
    (slow,) = safety.drive_all([safety.Drive(path, "always THROTTLE", "none", 2, 7)], tmp_path, 1)
    (file,) = tmp_path.glob("drive-*.json")
    file.write_text(json.dumps(slow | {"kilometres": 1000.0}))
    page = tmp_path / "page.md"
    page.write_text("\n".join(line for name in ("drivers", "drivers compared", "answers") for line in markers(name)))
    command = ["--agents", path, "--episodes", "2", "--seed", "7", "--workers", "2"]
    run(safety, monkeypatch, *command, "--output", str(tmp_path), "--page", str(page))
    record = json.loads((tmp_path / "safety.json").read_text())
    (name,) = record["agents"]
    assert list(record["agents"][name]) == ["reasonable", "distracted", "none"]
    agent, random, throttle = record["agents"][name]["none"].values()
    assert throttle == slow | {"kilometres": 1000.0}
    assert agent["metres"][0] > 2 * random["metres"][0]
    ratios = record["ratios"][name]["none"]
    assert list(ratios) == ["random", "always THROTTLE"]
    hit, faults = sum(agent["ends"][cause] for cause in safety.COLLISIONS), sum(agent["ends"].values())
    assert ratios["always THROTTLE"]["faults_per_km"] == list(
        poisson_ratio(faults, agent["kilometres"], sum(slow["ends"].values()), 1000.0) or []
    )
    of_random = sum(random["ends"][cause] for cause in safety.COLLISIONS)
    expected = poisson_ratio(hit, agent["kilometres"], of_random, random["kilometres"])
    assert ratios["random"]["collisions_per_km"] == (list(expected) if expected else None)
    by_behaviour = record["reasonable_over_distracted"][name]
    assert list(by_behaviour) == list(record["agents"][name]["none"])
    distracted, reasonable = (record["agents"][name][kind]["random"] for kind in ("distracted", "reasonable"))
    assert by_behaviour["random"] == json.loads(json.dumps(safety.rate_ratio(reasonable, distracted, ("pedestrian",))))
    reasonable, distracted = (
        dict(distracted, kilometres=1.0, ends=dict.fromkeys(distracted["ends"], hit)) for hit in (2, 5)
    )
    by_kind = safety.reasonable_over_distracted(
        {"one": {"distracted": {"agent": distracted}, "reasonable": {"agent": reasonable}}}
    )
    assert by_kind == {"one": {"agent": poisson_ratio(2, 1.0, 5, 1.0)}}
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".md", ".png"]
    text = page.read_text()
    assert all(table in text for table in safety.tables(record).values())
    assert text.count("| always full throttle | none |") == 1 and "| red light |" in text


def test_tables_on_the_driving_page_match_the_measurements():
    record, page = json.loads(Path("docs/driving/safety.json").read_text()), Path("docs/results/driving.md").read_text()
    assert all(f"{markers(name)[0]}\n\n{table}\n" in page for name, table in safety.tables(record).items())


def test_drivers_differ_in_distance():
    idle, forward = (
        driving.drive_episodes(driving.constant_driver(name), "weakspot/DriveSemantic64-v0", "none", 3, 5)
        for name in ("BRAKE", "THROTTLE")
    )
    assert [(e.metres, e.cause, e.seconds) for e in idle] == [(0.0, "time", 60.0)] * 3
    assert all(episode.metres > 5 and episode.cause is not None for episode in forward)
    summary = safety.summary(forward)
    assert summary["kilometres"] == pytest.approx(sum(e.metres for e in forward) / 1000, abs=1e-3)
    assert sum(summary["ends"].values()) == 3 and summary["people_hit_per_km"][0] == 0
    assert summary["faults_per_km"][0] == pytest.approx(3 / summary["kilometres"], rel=1e-2)
    assert safety.summary(idle + forward)["faults_per_km"] == summary["faults_per_km"]
    again = driving.drive_episodes(driving.random_driver(1), "weakspot/DriveSemantic64-v0", "none", 2, 9)
    assert again == driving.drive_episodes(driving.random_driver(1), "weakspot/DriveSemantic64-v0", "none", 2, 9)


def test_driver_that_has_not_moved_has_no_rates_but_can_be_plotted(tmp_path):
    still = safety.summary([driving.Episode(0.0, -1.0, 60.0, "time")])
    assert still["people_hit_per_km"] is None and still["collisions_per_km"] is None
    safety.draw_rates({"none": {"agent": still}}, tmp_path / "still.png")
    assert image.imread(tmp_path / "still.png").std() > 0


@pytest.mark.slow
def test_images_of_the_town(tmp_path, monkeypatch):
    """On the map, the agent's car has the colour of its class at its position."""
    scenes = town.find_scenes()
    monkeypatch.setattr(town, "find_scenes", lambda: scenes)
    run(town, monkeypatch, "--output", str(tmp_path))
    assert all(image.imread(tmp_path / f"{name}.png").std() > 0.05 for name in ("map", "chase", "sensors"))
    for (title, env), scene in zip(scenes, town_pictures.SCENES, strict=True):
        assert (env.view().classes == scene.semantic_class).sum() >= town_pictures.CLOSE, title
        assert env.world.state.decisions > 0
    world = scenes[2][1].world
    x, y = world.state.car.middle
    above = town_pictures.draw_map(world, (x + 3.0, y - 2.0), (20.0, 12.0), 0.1).astype(float)
    assert above.shape == (120, 200, 3)
    colour = above[40, 70] / above[40, 70].max()
    assert np.allclose(colour, PALETTE[SemanticClass.CAR] / PALETTE[SemanticClass.CAR].max(), atol=0.03)


def test_agents_of_the_same_name_are_refused(tmp_path, monkeypatch):
    paths = [str(tmp_path / folder / "a2c" / "agent.safetensors") for folder in ("one", "other")]
    monkeypatch.setattr("sys.argv", ["safety", "--agents", *paths, "--output", str(tmp_path)])
    with pytest.raises(ConfigError, match="same name"):
        safety.main()


@pytest.mark.slow
def test_settings_are_compared_at_equal_time(tmp_path, monkeypatch):
    monkeypatch.setattr(dqn_settings, "PACE_DECISIONS", 60)
    command = ["dqn_settings", "--game", "ms_pacman", "--cpu-minutes", "0.02", "--variants", "default", "batches of 32"]
    command += ["--episodes", "2", "--longest", "20", "--folder", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    dqn_settings.main()
    record = json.loads((tmp_path / "dqn-settings-ms_pacman.json").read_text())
    for name, (run,) in record["runs"].items():
        assert run["decisions"] >= 120 and len(run["scores"]) == 2 and run["cpu_minutes"] > 0
        assert record["score"][name][0] == pytest.approx(np.mean(run["scores"]))
    assert record["variants"] == {"default": {}, "batches of 32": {"batch_size": 32}}
    used = {name: run["used"] for name, (run,) in record["runs"].items()}
    assert used["batches of 32"]["batch_size"] == 32 and used["default"]["batch_size"] == 128
    assert all(used[name]["steps"] == run["decisions"] for name, (run,) in record["runs"].items())
    times = {path: path.stat().st_mtime for path in tmp_path.rglob("checkpoint.pt")}
    dqn_settings.main()
    assert {path: path.stat().st_mtime for path in tmp_path.rglob("checkpoint.pt")} == times, "nothing is trained again"
    again = json.loads((tmp_path / "dqn-settings-ms_pacman.json").read_text())
    assert again["runs"] == record["runs"]


def test_training_without_the_extra_names_what_to_install():
    script = """
import sys
from weakspot.cli import main

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name == "stable_baselines3":
            raise ModuleNotFoundError("No module named 'stable_baselines3'", name=name)

sys.meta_path.insert(0, NotInstalled())
sys.exit(main(["train-agent", "double-dqn", "--game", "pong", "--steps", "10"]))
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert process.returncode == 2 and "pip install 'weakspot[agents]'" in process.stderr


@pytest.mark.parametrize(
    ("causes", "found"),
    [(["person"], True), (["person 12"], True), (["car 3", "person 12"], True), (["personal"], False), ([], False)],
)
def test_a_known_weakness_may_be_caused_by_one_of_many_things(causes, found):
    case = known_weaknesses.known(None)["drive96-a2c"]
    assert case.is_found_in({"cause": causes}) == found
    assert case.is_avoided_by("holding BRAKE for 8 decisions") and not case.is_avoided_by("holding COAST for 8 decisions")


def test_the_oxygen_of_seaquest_is_one_byte():
    case = known_weaknesses.known(None)["seaquest-double-dqn"]
    assert case.is_found_in({"cause": ["byte 102 (oxygen)"]}) and case.is_found_in({"cause": ["byte 104"]})
    assert not case.is_found_in({"cause": ["byte 1020"]}) and not case.is_found_in({"cause": ["byte 10"]})


def test_known_weaknesses_are_ranked_among_the_confirmed_ones():
    def weakness(cause, rescue, confirmed=True):
        return {"cause": cause, "rescue": rescue, "confirmed": confirmed, "verdict": "", "sentence": "", "states": 1}

    case = Known("agent", ("byte 102",), ("UP",))
    other, hopeless = weakness(["byte 5"], "holding UP for 8 decisions"), weakness(["byte 102"], "", confirmed=False)
    right = weakness(["byte 104", "byte 102"], "holding LEFT or UP for 25 decisions")
    assert rank_of({"weaknesses": [hopeless, other, right]}, case) == 2, "only confirmed ones have a rank"
    assert has_right_rescue({"weaknesses": [other, right]}, case)
    assert not has_right_rescue({"weaknesses": [weakness(["byte 102"], "holding UPFIRE for 8 decisions")]}, case)
    assert rank_of({"weaknesses": [other, hopeless]}, case) is None
    runs = [{"weaknesses": found, "minutes": 1.0, "environment_steps": 5} for found in ([right], [other, right], [other])]
    row = known_weaknesses.summary([(case, run) for run in runs])
    assert [row[f"recall_at_{k}"][0] for k in (1, 3, 5)] == pytest.approx([1 / 3, 2 / 3, 2 / 3]) and row["runs"] == 3


def test_states_that_could_not_be_made_pass_no_check():
    good = twins.Checked(0.2, Checks(True, True, None, True), 0.5)
    torn = twins.Checked(None, Checks(False, True, None, True), None)
    measured = twins.shares([good, torn, None, None], np.random.default_rng(0))
    assert measured["made"] == 2 and measured["median_distance"] == 0.2
    assert measured["passed"]["settles"][0] == 0.25 and measured["passed"]["round_trip"][0] == 0.5
    assert measured["passed"]["possible"][0] == 0.25 and "objects" not in measured["passed"]


def test_page_on_weaknesses_has_the_measured_numbers():
    record = json.loads(Path("docs/known_weaknesses/known_weaknesses.json").read_text())
    page = Path("docs/weaknesses.md").read_text()
    assert known_weaknesses.recall_table(record) in page
    for cases in record["runs"].values():
        for runs in cases.values():
            assert len({run["seed"] for run in runs}) == len(runs)
