"""The graph of stages: a new stage needs one file and one line."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from test_keys import tiny

from weakspot.artifacts.run import load_run
from weakspot.errors import ConfigError
from weakspot.pipeline import Pipeline
from weakspot.session import Session
from weakspot.stages.graph import STAGES, needed_by, ordered
from weakspot.stages.stage import Stage
from weakspot.system.files import write_json
from weakspot.system.provenance import file_digest


class DarkestStage(Stage):
    """A stage as a third party would write it: the mean brightness of the synthesised states of each target."""

    name: ClassVar[str] = "darkest"
    inputs: ClassVar[tuple[str, ...]] = ("synthesize",)

    def __init__(self, digits: int = 3) -> None:
        self.digits = digits

    def parts(self, session: Session) -> tuple[str, ...]:
        return tuple(session.targets)

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        return {"digits": self.digits}

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        return ("brightness.json",)

    def work(self, session: Session, part: str, folder: Path) -> str:
        from weakspot.artifacts.findings import read_findings

        findings = read_findings(session.results[f"synthesize/{part}"], session.record.environment)
        write_json(folder / "brightness.json", {"mean": round(float(findings.states.mean()), self.digits)})
        return file_digest(folder / "brightness.json")


def test_new_stage_needs_one_class_and_one_entry(finished_run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, symlinks=True)
    stages = (DarkestStage(), *STAGES)  # in any order
    run = Pipeline(tiny(folder), stages=stages).run()
    output = capsys.readouterr().out
    assert "darkest/t-minus: done in" in output and "collect: up to date" in output
    mean = json.loads((folder / "darkest/t-minus/brightness.json").read_text())["mean"]
    assert mean == round(float(load_run(folder).findings["T-"].states.mean()), 3)
    assert run.entries["darkest/t-minus"].record.made_from["settings"] == {"digits": 3}
    assert Pipeline(tiny(folder), stages=stages).plan() == []
    assert Pipeline(tiny(folder), stages=(*STAGES, DarkestStage(2))).plan() == ["darkest/t-minus", "darkest/action-left"]
    searched = replace(tiny(folder), synthesize=replace(tiny(folder).synthesize, seed=1))
    assert "darkest/t-minus" in Pipeline(searched, stages=stages).plan()


def test_stages_that_do_not_read_a_changed_result_are_not_rerun(finished_run, tmp_path):
    config = replace(tiny(tmp_path / "run"), store=finished_run / "store")
    trained = replace(config, goggles=replace(config.goggles, seed=5))
    names = Pipeline(trained, stages=(*STAGES, DarkestStage())).plan()
    assert names == ["goggles", "report", "darkest/t-minus", "darkest/action-left"]  # the last two were never computed


def test_stages_are_ordered_by_their_inputs():
    names = [stage.name for stage in ordered(reversed(STAGES))]
    for stage in STAGES:
        assert all(names.index(name) < names.index(stage.name) for name in stage.inputs)
    assert [stage.name for stage in ordered(STAGES)] == [stage.name for stage in STAGES]


def test_invalid_graphs_of_stages_are_refused():
    class Lost(DarkestStage):
        inputs: ClassVar[tuple[str, ...]] = ("nowhere",)

    class Circle(DarkestStage):
        name: ClassVar[str] = "circle"
        inputs: ClassVar[tuple[str, ...]] = ("darkest",)

    class Darkest(DarkestStage):
        inputs: ClassVar[tuple[str, ...]] = ("circle",)

    with pytest.raises(ConfigError, match="darkest reads nowhere"):
        ordered((*STAGES, Lost()))
    with pytest.raises(ConfigError, match="cannot be put in order"):
        ordered((Circle(), Darkest()))
    with pytest.raises(ConfigError, match="same name"):
        ordered((*STAGES, DarkestStage(), DarkestStage()))


def test_stages_need_only_their_inputs():
    assert needed_by(["saliency"], STAGES) == {"saliency", "collect", "subject"}
    assert "synthesize" not in needed_by(["goggles", "samples", "fidelity"], STAGES)
