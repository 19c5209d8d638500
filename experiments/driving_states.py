"""What the states that an agent was searched for show: figures 5 and 6 of the paper, with counts instead of the eye alone.

    weakspot run --agent runs/a2c-drivesemantic64-0/agent.safetensors --output runs/driving --targets V- V+ BRAKE
    python -m experiments.driving_states --run runs/driving --output docs/driving

For each target of a finished run in the town: how many of the synthesised states, of as many real ones that the target ranks
best, and of all held-out real ones show a person, a car or a red light, on the car's own path or anywhere, each share with
its 95 % interval; and the mean share of every class.  For real states: how often the agent brakes, and what its critic
expects, where somebody is on its path or near it, where a car is, at red lights and where nothing is in the way; and how
often what they show is still there in their reconstructions, since a state model that does not draw something cannot be
asked for it.  Draws the synthesised states, in the order they came, above the real ones.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lab import page
from lab.figures import save_labelled
from lab.page import interval, put_into
from weakspot.agents.base import AgentOutput
from weakspot.analysis.objects.driving import classes_of, seen, shares
from weakspot.data.dataset import StateDataset, as_stacks, as_state, recorded_outputs
from weakspot.envs.driving.classes import CLASS_NAMES, colours
from weakspot.envs.driving.env import ACTIONS
from weakspot.envs.driving.sensors import Camera
from weakspot.intervals import wilson
from weakspot.session import sharpness_for
from weakspot.state_model.batch import with_history
from weakspot.state_model.model import load
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.system.progress import say
from weakspot.targets.resolve import resolve_target

SETTINGS = ("collect", "train", "synthesize", "sharpness", "saliency")
"""Of the run, as far as what is found in it depends on them."""
SHOWN = 8
"""States of each kind that are drawn."""
RECONSTRUCTED = 2_000
"""Held-out states, at most, whose reconstructions are looked at."""


def told(classes: np.ndarray, camera: Camera) -> dict[str, Any]:
    """How often pictures show what, and the mean share of every class."""
    found = seen(classes, camera)
    return {
        "states": len(classes),
        **{name: wilson(int(there.sum()), len(there)) for name, there in found.counts.items()},
        "nothing on the path, no red light": wilson(int(found.empty.sum()), len(found.empty)),
        "class shares": dict(zip(CLASS_NAMES, shares(classes).round(5).tolist(), strict=True)),
    }


def braking(classes: np.ndarray, answers: AgentOutput, camera: Camera) -> dict[str, Any]:
    """How often the agent's best action is to brake, and what its critic expects in the mean, by what pictures show."""
    brakes = answers.scores.argmax(dim=1).numpy() == list(ACTIONS).index("BRAKE")
    value = None if answers.value is None else answers.value.numpy()
    return {
        name: {
            "states": int(there.sum()),
            "brakes": wilson(int(brakes[there].sum()), int(there.sum())) if there.any() else None,
            "value": float(value[there].mean()) if value is not None and there.any() else None,
        }
        for name, there in seen(classes, camera).reasons().items()
    }


def kept(real: np.ndarray, rebuilt: np.ndarray, camera: Camera) -> dict[str, Any]:
    """Of the pictures that show something, the share whose reconstructions do; None where no picture shows it."""
    there, still = seen(real, camera).counts, seen(rebuilt, camera).counts
    return {
        name: wilson(int((there[name] & still[name]).sum()), int(there[name].sum())) if there[name].any() else None
        for name in there
    }


@torch.inference_mode()
def reconstructed(run: Path, dataset: StateDataset, chosen: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
    """The classes (n, h, w) in the newest frames of the ``chosen`` states' reconstructions."""
    model = load(run / "train" / "model.safetensors")
    parts = np.array_split(chosen, max(1, len(chosen) // 32))
    stacks = (as_stacks(model.reconstruct(as_state(dataset.stacks(part))), len(channels)) for part in parts)
    return np.concatenate([classes_of(part, channels) for part in stacks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run in a driving environment")
    parser.add_argument("--output", type=Path, default=Path("runs/driving-states"))
    parser.add_argument("--page", type=Path, help="Markdown whose tables are replaced")
    given = parser.parse_args()
    output, result = make_folder(given.output), examined(given.run, given.output)
    write_json(output / "states.json", result)
    if given.page:
        put_into(given.page, f"states of {result['agent']}", table(result))
        put_into(given.page, f"braking of {result['agent']}", braking_table(result))
    say(f"states.json and the pictures are in {output}")


def table(result: dict[str, Any]) -> str:
    """Shares of states that show what is named, in Markdown: of the synthesised ones and, in brackets, of the best real."""
    columns = (
        "person on the path",
        "person near the path",
        "person anywhere",
        "car on the path",
        "red light",
        "green light",
    )
    free = "nothing on the path, no red light"
    lines = []
    for name, found in result["targets"].items():
        made, best = found["synthesised"], found["best real"]
        lines.append((name, *(f"{made[column][0]:.2f} ({best[column][0]:.2f})" for column in (*columns, free))))
    real, kept = result["held-out real states"], result["kept by reconstructions"]
    lines.append(("real states", *(f"{real[column][0]:.2f}" for column in (*columns, free))))
    shares = (f"{kept[column][0]:.2f}" if kept[column] else "-" for column in columns)
    lines.append(("kept by their reconstructions", *shares, ""))
    return page.table(("target", *columns, free), lines)


def braking_table(result: dict[str, Any]) -> str:
    """How often the agent's best action is to brake in held-out real states, in Markdown, by what they show."""
    lines = [
        (
            name,
            f"{found['states']:,}",
            interval(found["brakes"], 2),
            "-" if found["value"] is None else f"{found['value']:.1f}",
        )
        for name, found in result["brakes"].items()
    ]
    return page.table(("what they show", "states", "best action is to brake", "critic"), lines)


def examined(run: Path, output: Path) -> dict[str, Any]:
    """What is to be said of a run; draws its pictures into ``output``.

    Raises:
        ConfigError: it is no run in a driving environment.
    """
    dataset = StateDataset.open(run / "collect")
    channels = tuple(dataset.environment.preprocessing.get("channels", ()))
    camera = Camera(dataset.environment.height, dataset.environment.width)
    config = json.loads((run / "config.json").read_text())
    held = with_history(dataset, dataset.split(config["train"]["held_out"])[1])
    real = classes_of(dataset.newest(held)[:, None], channels)
    some = np.random.default_rng(0).permutation(len(held))[:RECONSTRUCTED]
    answers, sharpness = recorded_outputs(dataset, held), sharpness_for(dataset, config["sharpness"])
    result: dict[str, Any] = {
        "environment": dataset.environment.id,
        "town_version": dataset.environment.preprocessing.get("town_version"),
        "agent": dataset.agent.name,
        "agent_fingerprint": dataset.agent.fingerprint,
        "settings": {name: config[name] for name in SETTINGS},
        "versions": {name: importlib.metadata.version(name) for name in ("embreex", "numpy", "torch")},
        "held-out real states": told(real, camera),
        "brakes": braking(real, answers, camera),
        "kept by reconstructions": kept(real[some], reconstructed(run, dataset, held[some], channels), camera),
        "targets": {},
    }
    for name in config["targets"]:
        target = resolve_target(name, dataset.agent, sharpness)
        with np.load(run / "synthesize" / target.slug / "findings.npz", allow_pickle=False) as arrays:
            made = classes_of(arrays["states"], channels)
        best = real[torch.argsort(target(answers))[: len(made)].numpy()]
        result["targets"][name] = {"synthesised": told(made, camera), "best real": told(best, camera)}
        kinds = (("synthesised", made), ("", made[SHOWN:]), ("best real", best), ("", best[SHOWN:]))
        rows = [(kind, colours(part[:SHOWN])) for kind, part in kinds if len(part)]
        save_labelled(rows, output / f"states-{target.slug}.png", f"{dataset.agent.name}, {target.name}")
    return result


if __name__ == "__main__":
    sys.exit(exit_code(main))
