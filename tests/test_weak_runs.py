"""Weaknesses of whole runs: replay, comparison, the table in the terminal, and the report."""

import base64
import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import cv2
import numpy as np
import pytest
from browsing import distinct_positions, open_page

import weakspot
from weakspot.artifacts.weaknesses import Box, Correlate
from weakspot.cli import main
from weakspot.confirm.captions import sentence
from weakspot.data.dataset import as_state
from weakspot.envs.family import FAMILIES
from weakspot.opened import open_run
from weakspot.report.films import Detail
from weakspot.report.images import part_uri
from weakspot.report.weaknesses import weaknesses_view

HERE = Path(__file__).parent
AGENT = """
import sys
sys.path.insert(0, {here!r})
from pits import Diver


def never():
    return Diver(0)


def pumps():
    agent = Diver(0)
    head = agent.module[1]
    head.weight.data[1] = -4 * head.weight.data[0]
    head.bias.data[1] = 3.0
    agent.spec = agent.spec.__class__(**{{**agent.spec.__dict__, "name": "pumping diver", "fingerprint": "p"}})
    return agent
"""


def words(folder, agent, output, *more):
    """The command of a run of one of the agents; all runs share a store."""
    return [
        *("run", "--agent", f"{folder / 'agents.py'}:{agent}", "--environment", "ring", "--output", str(folder / output)),
        *("--store", str(folder / "store"), "--collect.frames", "1000", "--collect.streams", "10", "--collect.epsilon", "0"),
        *("--targets", "T-", "--collect.snapshot-every", "10", "--train.steps", "2", "--train.recipe", "fast-gaussian"),
        *("--train.batch-size", "8", "--train.workers", "1", "--saliency", "gradient"),
        *("--synthesize.states", "2", "--synthesize.steps", "2", "--synthesize.candidates", "8"),
        *("--goggles.episodes", "0", "--fidelity.reconstructions", "2", "--ground.states", "1"),
        *("--ground.trials", "20", "--ground.steps", "8", "--confirm.controls", "100", "--confirm.horizon", "14"),
        *("--confirm.holds", "3", "6", "--confirm.epsilon", "0", *more),
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of a diver that never pumps, and of one that pumps while it has little air."""
    folder = tmp_path_factory.mktemp("divers")
    (folder / "agents.py").write_text(AGENT.format(here=str(HERE)))
    extensions = FAMILIES._extensions
    extensions["ring"] = EntryPoint("ring", "ring_family", FAMILIES.group)
    try:
        for name in ("never", "pumps"):
            assert main(words(folder, name, name)) == 0
        yield folder
    finally:
        del extensions["ring"]


def test_a_run_ends_with_its_weaknesses(runs):
    run = weakspot.load_run(runs / "never")
    (weakness,) = run.weaknesses
    assert weakness.verdict == "avoidable loss" and "PUMP" in weakness.rescue.label
    assert [variable.name for variable in weakness.cause.variables] == ["air"]
    page = run.report.read_text()
    assert "1 confirmed weakness" in page and weakness.sentence.split(":")[0] in page
    assert page.index("1 confirmed weakness") < page.index("report rates its own state model")


def test_a_run_shows_where_the_agent_expects_too_much(runs):
    """The diver's estimate of a state counts its air alone, and the bomb is in the picture."""
    command = words(runs, "never", "over", "--overconfidence.horizon", "14")
    command.insert(command.index("T-") + 1, "overconfidence")
    assert main(command) == 0
    run = weakspot.load_run(runs / "over")
    record, found = run.overconfidence["overconfidence"], run.findings["overconfidence"]
    assert 0 < record.low < record.correlation and record.got < record.expected and record.horizon == 14
    assert "fitted to return - expectation" in found.search.energy_equation
    session = open_run(run, trust=True)
    again = session.perceive_for_targets(as_state(found.states)).surplus.detach().numpy()
    np.testing.assert_allclose(again, found.target, atol=0.2)
    assert "How much more the agent gets than it expects is estimated" in run.report.read_text()
    assert json.loads((runs / "over" / "report.json").read_text())["targets"]


def test_replays_are_bit_for_bit(runs, tmp_path, capsys):
    assert main(["replay", str(runs / "never"), "1", "--output", str(tmp_path / "one.mp4")]) == 0
    video = cv2.VideoCapture(str(tmp_path / "one.mp4"))
    frames = [frame for ok, frame in iter(video.read, (False, None)) if ok]
    clip = weakspot.load_run(runs / "never").weaknesses[0].rescued
    assert len(frames) == len(clip.actions) + 1 and np.stack(frames).std() > 5
    assert main(["replay", str(runs / "never"), "9"]) == 2
    assert "no weakness 9" in capsys.readouterr().err


def test_another_environment_is_noticed_in_a_replay(runs, monkeypatch, capsys):
    import pits

    monkeypatch.setattr(pits.Ring, "frame", lambda self, frame=pits.Ring.frame: 255 - frame(self))
    assert main(["replay", str(runs / "never"), "1"]) == 2
    assert "another frame than the recorded one" in capsys.readouterr().err


def test_comparison_tells_what_is_gone_and_what_is_new(runs, tmp_path, capsys):
    words = [str(runs / "never"), str(runs / "pumps"), "--output", str(tmp_path / "c.json")]
    assert main(["compare", *words, "--fail-on", "new"]) == 0
    record = json.loads((tmp_path / "c.json").read_text())
    assert [one["status"] for one in record["weaknesses"]] == ["gone"]
    assert record["weaknesses"][0]["second"]["events"] == 0 < record["weaknesses"][0]["first"]["events"]
    assert "1 gone, 0 kept, 0 new" in capsys.readouterr().out
    assert main(["compare", str(runs / "pumps"), str(runs / "never"), "--fail-on", "new"]) == 1
    assert "0 gone, 0 kept, 1 new" in capsys.readouterr().out
    assert main(["compare", str(runs / "never"), str(runs / "never"), "--fail-on", "new", "gone"]) == 0
    assert "0 gone, 2 kept, 0 new" in capsys.readouterr().out


def test_low_outcomes_are_compared_by_the_threshold_of_the_run(runs, capsys):
    outcome = f"{HERE / 'outcomes.py'}:total"
    for name in ("never", "pumps"):
        assert main(words(runs, name, f"{name}-by-total", "--confirm.outcome", outcome)) == 0
    assert [weakness.verdict for weakness in weakspot.load_run(runs / "never-by-total").weaknesses][:1] == ["avoidable loss"]
    both = [str(runs / "never-by-total"), str(runs / "pumps-by-total")]
    assert main(["compare", *both]) == 2
    assert "--trust" in capsys.readouterr().err
    assert main(["compare", *both, "--trust"]) == 0
    assert "1 gone" in capsys.readouterr().out


def test_other_environments_are_not_compared(runs, finished_run, capsys):
    assert main(["compare", str(runs / "never"), str(finished_run)]) == 2
    assert "the same environment" in capsys.readouterr().err


def test_what_separates_a_group_is_told_and_shown(runs, tmp_path):
    """As in a run whose environment cannot be edited; variables are named, but not shown."""
    run = weakspot.load_run(runs / "never")
    picture = Correlate("the picture", False, 20.0, 200.0, 0.93, Box(0, 8, 10, 30))
    variables = tuple(Correlate(f"byte {number}", number > 1, 3.0, 40.5, 0.9, None) for number in (1, 2, 3))
    first, second = (replace(w, cause=None) for w in run.confirmation.weaknesses[:2])
    found = (replace(first, differs=(picture,)), replace(second, differs=variables))
    texts = [sentence(weakness, "drowns", run.confirmation.controls, 21) for weakness in found]
    assert (
        "a loss, the picture is mostly darker in rows 0 to 7 and columns 10 to 29; that need not be the cause." in texts[0]
    )
    told = [
        f"byte {number} is mostly {how} (median 3, there 40.5)" for number, how in enumerate(["lower", *["higher"] * 2], 1)
    ]
    assert f"a loss, {told[0]}, {told[1]} and {told[2]}; that need" in texts[1]
    run.__dict__["confirmation"] = replace(run.confirmation, weaknesses=found)
    run.__dict__["rollouts"] = replace(run.rollouts, confirmation=run.confirmation)
    view = weaknesses_view(run, Detail(4, 56, 60))
    shown = {one.number: one for one in (*view.confirmed, *view.others)}
    assert shown[1].cause_label == "differs" and "similar states without a loss" in shown[1].cause_text
    assert not shown[2].cause and not shown[2].cause_text
    facts = {fact.name: fact.value for one in shown.values() for fact in one.facts}
    assert facts["the picture: darker in"] == "93\u00a0% of pairs"
    assert facts["byte 1: lower in"] == facts["byte 3: higher in"] == "90\u00a0% of pairs"


@pytest.mark.parametrize("colours", [None, ((255, 0, 0), (0, 255, 0), (0, 0, 255))])
def test_a_part_of_a_picture_is_bright_and_the_rest_dim(colours):
    frame = np.full((20, 30, 3), 200, np.uint8)
    encoded = base64.b64decode(part_uri(frame, Box(5, 10, 3, 9), colours).partition(",")[2])
    level = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR).astype(int).mean(axis=2)
    inside = np.zeros((20, 30), bool)
    inside[5:10, 3:9] = True
    assert level[inside].min() > 2 * level[~inside].max()


def test_browser_plays_the_loss_and_the_rescue(runs, chromium):
    """Every clip shows its frames one after the other, and nothing is reported as an error."""
    open_page(chromium, weakspot.load_run(runs / "never").report)
    assert chromium.get_log("browser") == []
    clips = chromium.execute_script(
        "return [...document.querySelectorAll('.weakness .film.clip:not(.still)')].map(e => "
        "[e.querySelector('img').naturalWidth, e.getBoundingClientRect().width, e.style.getPropertyValue('--k')])"
    )
    assert len(clips) >= 2 and all(int(width) == 40 * int(frames) for width, _, frames in clips)
    assert all(0 < shown < 400 for _, shown, _ in clips), "one frame is seen at a time"
    assert distinct_positions(chromium, ".weakness .film.clip") > 3
    assert "air set to a usual value" in chromium.execute_script("return document.body.innerText")
