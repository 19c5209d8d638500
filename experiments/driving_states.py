"""What the synthesised states of a driving agent show: figures 5 and 6 of the paper, with counts.

    weakspot run --agent runs/a2c-drivesemantic64-0/agent.safetensors --output runs/driving --targets V- V+ BRAKE
    python -m experiments.driving_states --run runs/driving --output docs/driving

For each target of a finished run in the town: the share of synthesised states that show a person, a car or a red light, on
the car's path or anywhere, with its 95 % interval; the same for as many real states that the target ranks best, for all
held-out real states, and for random samples of the state model, which say how often such a state comes up by chance; the
ratios of the first to the last two; and the mean share of each class. For real states: how often the agent brakes, and its
critic's value, where a person is on its path or near it, where a car is, at red lights and where nothing is in the way; and
how often reconstructions still show what the states show, since a search cannot find what the state model does not draw.
The synthesised states are drawn in the order of their searches, above the best real ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lab import intervals, page
from lab.command import run_command, say
from lab.driving import (
    BRAKE,
    Camera,
    DrivingRun,
    class_images,
    class_shares,
    frame_contents,
    open_driving_run,
    reasons_to_brake,
)
from lab.enrichment import enrichment
from lab.figures import save_labelled
from lab.page import interval, replace_table
from lab.records import package_versions, result_folder, save_record
from weakspot import load_run

SETTINGS = ("collect", "train", "synthesize", "sharpness", "saliency")
"""Settings of the run that its findings depend on."""
COLUMNS = (
    "person on the path",
    "person near the path",
    "person anywhere",
    "car on the path",
    "red light",
    "green light",
)
"""What the tables count."""
KINDS = ("random samples", "held-out real states")
"""What synthesised states are compared with; older records do not contain random samples."""
SAMPLES = 512
"""Random samples of the state model."""
STATES_PER_ROW = 8
"""States of each kind in a row of a figure; two rows are drawn."""
RECONSTRUCTED = 2_000
"""Held-out states, at most, whose reconstructions are examined."""


def contents_record(classes: np.ndarray, camera: Camera) -> dict[str, Any]:
    """The share of frames that show each thing, and the mean share of each class."""
    contents, empty = frame_contents(classes, camera)
    return {
        "states": len(classes),
        **{name: intervals.share(flags) for name, flags in contents.items()},
        "nothing on the path, no red light": intervals.share(empty),
        "class shares": class_shares(classes),
    }


def braking_record(classes: np.ndarray, run: DrivingRun) -> dict[str, Any]:
    """How often the best action is to brake, and the critic's mean value, by what the held-out states show."""
    outputs = run.outputs
    brakes = outputs.scores.argmax(dim=1).numpy() == BRAKE
    value = None if outputs.value is None else outputs.value.numpy()
    return {
        name: {
            "states": int(flags.sum()),
            "brakes": intervals.share_if_any(brakes[flags]),
            "value": float(value[flags].mean()) if value is not None and flags.any() else None,
        }
        for name, flags in reasons_to_brake(classes, run.camera).items()
    }


def preserved_record(real: np.ndarray, reconstructed: np.ndarray, camera: Camera) -> dict[str, Any]:
    """Of the frames that show a thing, the share whose reconstructions show it; None if no frame does."""
    before, after = frame_contents(real, camera)[0], frame_contents(reconstructed, camera)[0]
    return {name: intervals.share_if_any(after[name][flags]) for name, flags in before.items()}


def chance_record(
    synthesised: np.ndarray, sampled: np.ndarray, real: np.ndarray, camera: Camera
) -> dict[str, dict[str, Any]]:
    """How much more often synthesised states show each thing than random samples of the state model and real states do."""
    kinds = [frame_contents(classes, camera)[0] for classes in (synthesised, sampled, real)]
    return {name: enrichment(*(contents[name] for contents in kinds)) for name in kinds[0]}


def table(result: dict[str, Any]) -> str:
    """Shares of synthesised states that show each thing and, in brackets, of the best real states, in Markdown."""
    empty = "nothing on the path, no red light"
    lines = []
    for name, record in result["targets"].items():
        synthesised, best = record["synthesised"], record["best real"]
        lines.append((name, *(f"{synthesised[column][0]:.2f} ({best[column][0]:.2f})" for column in (*COLUMNS, empty))))
    for kind in KINDS:
        if kind in result:
            lines.append((kind, *(f"{result[kind][column][0]:.2f}" for column in (*COLUMNS, empty))))
    preserved = result["kept by reconstructions"]
    shares = (f"{preserved[column][0]:.2f}" if preserved[column] else "-" for column in COLUMNS)
    lines.append(("kept by reconstructions of real states", *shares, ""))
    return page.table(("target", *COLUMNS, empty), lines)


def chance_table(result: dict[str, Any]) -> str:
    """How many times as many synthesised states show each thing as real states and random samples do, in Markdown."""
    lines = [
        (f"{name}, {label}", *(interval(record["beside chance"][column][ratio], 2) for column in COLUMNS))
        for name, record in result["targets"].items()
        for label, ratio in (("real states", "over real"), ("random samples", "over random samples"))
    ]
    return page.table(("times as often as in", *COLUMNS), lines)


def braking_table(result: dict[str, Any]) -> str:
    """How often the best action is to brake in held-out real states, by what they show, in Markdown."""
    lines = [
        (
            name,
            f"{record['states']:,}",
            interval(record["brakes"], 2),
            "-" if record["value"] is None else f"{record['value']:.1f}",
        )
        for name, record in result["brakes"].items()
    ]
    return page.table(("what they show", "states", "best action is to brake", "critic"), lines)


def label_of(result: dict[str, Any]) -> str:
    """What the tables of a record are called on a page."""
    return result.get("label") or result["agent"]


def examine(folder: Path, output: Path, label: str = "") -> dict[str, Any]:
    """The record of a run; draws its figures into ``output``.

    Args:
        folder: of the run.
        output: folder of the figures.
        label: what the tables are called on a page; by default, the agent's name.

    Raises:
        ConfigError: the frames of its environment do not show classes.
        RunError: it is not a run folder.
    """
    loaded = load_run(folder)
    run = open_driving_run(loaded)
    environment, agent, camera = run.dataset.environment, run.dataset.agent, run.camera
    real = run.real_classes()
    sample = np.random.default_rng(0).permutation(len(run.held_out))[:RECONSTRUCTED]
    outputs = run.outputs
    sampled = run.sampled_classes(SAMPLES)
    result: dict[str, Any] = {
        "environment": environment.id,
        "town_version": environment.preprocessing.get("town_version"),
        "label": label or agent.name,
        "agent": agent.name,
        "agent_fingerprint": agent.fingerprint,
        "settings": {name: loaded.settings[name] for name in SETTINGS},
        "versions": package_versions("embreex", "numpy", "torch"),
        "held-out real states": contents_record(real, camera),
        "random samples": contents_record(sampled, camera),
        "brakes": braking_record(real, run),
        "kept by reconstructions": preserved_record(real[sample], run.reconstructed_classes(run.held_out[sample]), camera),
        "targets": {},
    }
    for name, findings in loaded.findings.items():
        target = run.target(name)
        synthesised = run.classes(findings.states)
        best = real[target(outputs).argsort()[: len(synthesised)].numpy()]
        result["targets"][name] = {
            "synthesised": contents_record(synthesised, camera),
            "best real": contents_record(best, camera),
            "beside chance": chance_record(synthesised, sampled, real, camera),
        }
        kinds = (
            ("synthesised", synthesised),
            ("", synthesised[STATES_PER_ROW:]),
            ("best real", best),
            ("", best[STATES_PER_ROW:]),
        )
        rows = [(kind, class_images(part[:STATES_PER_ROW])) for kind, part in kinds if len(part)]
        save_labelled(rows, output / f"states-{target.slug}.png", f"{result['label']}, {target.name}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run in a driving environment")
    parser.add_argument("--output", type=Path, default=Path("runs/driving-states"))
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are replaced")
    parser.add_argument("--label", default="", help="what the tables are called on the page; default: the agent's name")
    arguments = parser.parse_args()
    result = examine(arguments.run, result_folder(arguments.output), arguments.label)
    save_record(arguments.output / "states.json", result)
    if arguments.page:
        for name, make in (("states", table), ("chance", chance_table), ("braking", braking_table)):
            replace_table(arguments.page, f"{name} of {label_of(result)}", make(result))
    say(f"states.json and the figures are in {arguments.output}")


if __name__ == "__main__":
    run_command(main)
