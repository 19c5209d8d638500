"""Sliders for notebooks: what the widget holds, and its script in a browser."""

from __future__ import annotations

import base64
import dataclasses
import sys
from pathlib import Path
from typing import Any

import cv2
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from weakspot.artifacts.run import load_run
from weakspot.artifacts.slider import SCRIPT
from weakspot.errors import ConfigError

SHIPPED = Path(__file__).parent.parent / "docs" / "notebooks" / "results" / "pong"


def pixels(uri: str) -> np.ndarray:
    """The frame (h, w, 3) of a data URI."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_the_slider_of_a_search_has_its_path_bit_for_bit() -> None:
    findings = load_run(SHIPPED).findings["T-"]
    widget = findings.slider(2)
    path = findings.path_of(1)
    assert len(widget.moments) == len(path) == len(widget.rows[0]["frames"]) and widget.at == len(path) - 1
    for uri, frame in zip(widget.rows[0]["frames"], path, strict=True):
        assert np.array_equal(pixels(uri), frame)
    for number in (0, len(findings.states) + 1):
        with pytest.raises(ConfigError, match="there is no state"):
            findings.slider(number)


def test_the_slider_of_a_weakness_shows_loss_and_rescue_at_the_same_decision() -> None:
    rollouts = load_run(SHIPPED).rollouts
    assert rollouts is not None
    weakness = rollouts.confirmation.weaknesses[0]
    assert weakness.loss and weakness.rescued and weakness.rescue
    slower = dataclasses.replace(weakness.loss, every=2 * weakness.rescued.every)
    confirmation = dataclasses.replace(rollouts.confirmation, weaknesses=(dataclasses.replace(weakness, loss=slower),))
    widget = dataclasses.replace(rollouts, confirmation=confirmation).slider(1)
    assert [row["name"] for row in widget.rows] == ["the agent as it acts", weakness.rescue.label]
    assert (
        len({len(row["frames"]) for row in widget.rows}) == 1
        and widget.moments[3] == f"after {3 * weakness.rescued.every} decisions"
    )
    loss, rescue = ([pixels(uri) for uri in row["frames"]] for row in widget.rows)
    assert np.array_equal(loss[4], rollouts.clip(weakness.loss)[2]) and np.array_equal(
        rescue[4], rollouts.clip(weakness.rescued)[4]
    )
    longest = max((clip.frames - 1) * clip.every for clip in (slower, weakness.rescued))
    assert widget.moments[0] == "the start" and widget.moments[-1] == f"after {longest} decisions"
    with pytest.raises(ConfigError, match="there is no weakness 2"):
        dataclasses.replace(rollouts, confirmation=confirmation).slider(2)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ConfigError) as caught:
        load_run(SHIPPED).findings["T-"].slider()
    assert caught.value.todo == "pip install 'weakspot[notebook]'"


def test_notebooks_show_the_widget() -> None:
    source = f"import weakspot as ws\nws.load_run({str(SHIPPED)!r}).findings['T-'].slider()"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120).execute()
    assert "application/vnd.jupyter.widget-view+json" in notebook.cells[0].outputs[0].data


PAGE = """
const [source, done] = arguments;
const values = {rows: [{name: "a", frames: ["data:,0", "data:,1", "data:,2"]}, {name: "b", frames: ["data:,3"]}],
    moments: ["start", "<b>then</b>", "end"], at: 2, width: 90};
const calls = {};
const model = {get: (name) => values[name], set: (name, value) => { values[name] = value; }, saved: 0,
    save_changes() { this.saved += 1; }, on: (name, call) => { calls[name] = call; },
    off: (name) => { delete calls[name]; }};
import("data:text/javascript;base64," + source).then((module) => {
    const stop = module.default.render({model, el: document.body});
    const slider = document.querySelector("input"), seen = [];
    const note = () => seen.push([values.at, slider.value, document.querySelector("output").textContent,
        ...[...document.querySelectorAll("img")].map((image) => image.src)]);
    note();
    slider.value = "1"; slider.dispatchEvent(new Event("input")); note();
    values.at = 0; calls["change:at"](); note();
    stop();
    done({seen, saved: model.saved, listening: Object.keys(calls), bold: document.querySelectorAll("b").length});
});
"""


def test_the_script_shows_what_the_slider_chooses_and_tells_python(chromium: Any) -> None:
    chromium.get("about:blank")
    found = chromium.execute_async_script(PAGE, base64.b64encode(SCRIPT.read_bytes()).decode())
    assert found["seen"] == [
        [2, "2", "end", "data:,2", "data:,3"],
        [1, "1", "<b>then</b>", "data:,1", "data:,3"],
        [0, "0", "start", "data:,0", "data:,3"],
    ]
    assert found["saved"] == 1 and found["listening"] == [] and found["bold"] == 0
    assert chromium.get_log("browser") == []
