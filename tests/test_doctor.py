"""``weakspot doctor``."""

import pytest
from packaging.requirements import Requirement

from weakspot import doctor
from weakspot.cli import main
from weakspot.doctor import check_requirement, extras, machine, requirements


def test_a_complete_installation_is_fine(capsys):
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for word in ("weakspot", "python", "torch 2", "processor", "memory", "disk", "[agents]", "stable-baselines3"):
        assert word in shown, word
    assert "broken" not in shown


@pytest.mark.parametrize(
    ("need", "mark", "text"),
    [
        ("numpy>=2", "ok", "numpy 2"),
        ("numpy>=99", "missing", ">=99 is needed"),
        ("no-such-package>=1", "missing", "no-such-package is not installed"),
    ],
)
def test_a_requirement_is_there_fits_or_is_missing(need, mark, text):
    line = check_requirement(Requirement(need))
    assert line.mark == mark and text in line.text
    assert (line.todo.startswith("pip install")) == (mark != "ok")


def test_a_missing_need_of_every_run_is_broken_and_the_exit_status_1(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "requirements", lambda extra: [] if extra else [Requirement("no-such-package")])
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "broken" in shown and "pip install 'no-such-package'" in shown


def test_a_missing_extra_says_what_it_is_for_and_how_to_install_it(monkeypatch):
    monkeypatch.setattr(doctor, "requirements", lambda extra: [Requirement("no-such-package")] if extra == "agents" else [])
    (agents,) = [line for line in extras() if line.topic == "[agents]"]
    assert agents.mark == "missing" and "weakspot train-agent" in agents.text
    assert agents.todo == "pip install 'weakspot[agents]'"


def test_extras_contain_the_extras_they_name():
    names = {need.name for need in requirements("dev")}
    assert {"stable-baselines3", "embreex", "pytest"} <= names and "weakspot" not in names
    assert "torch" in {need.name for need in requirements("")} and "pytest" not in {need.name for need in requirements("")}


def test_little_memory_and_disk_are_noted(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "MEMORY", 1e18)
    monkeypatch.setattr(doctor, "DISK", 1e18)
    notes = {line.topic: line for line in machine(tmp_path)}
    assert notes["memory"].mark == notes["disk"].mark == "note" and notes["disk"].todo
    assert str(tmp_path) in notes["disk"].text


def test_an_extension_that_cannot_be_imported_is_named(monkeypatch):
    class Broken:
        def __init__(self, group, builtin):
            self.group = group

        def names(self):
            return ("half",) if self.group == "weakspot.methods" else ()

        def load(self, name):
            raise ImportError("no module named half")

    monkeypatch.setattr(doctor, "Registry", Broken)
    (line,) = doctor.extensions()
    assert (line.topic, line.mark) == ("methods", "missing") and "half: no module named half" in line.text
