"""Figure 1 and the appendix of the paper: for a game and its targets, four synthesised states each, as they come.

    python -m experiments.figure_1_states --targets T+ T- T+- --output docs/results/pong
    python -m experiments.figure_1_states --agent FOLDER/acktr_SeaquestNoFrameskip-v4.safetensors --targets T+- \
        --name figure-4

The searches have the same settings for every game, the default ones but for fewer candidates; the first four states are
shown, none is chosen.  Figure 4 (section 4.3) is T± on the ACKTR agent of Seaquest.  With the pictures stand the energies
of the states under the target, which wants little, those of held-out real states, and how long each target took.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lab import prepared
from lab.figures import write_figure
from weakspot.data.dataset import recorded_outputs
from weakspot.search.algorithm_1 import forget_candidates
from weakspot.search.method import Found
from weakspot.system.process import exit_code
from weakspot.system.progress import say
from weakspot.targets.base import Target
from weakspot.targets.resolve import default_targets

SHOWN = 4


def panel(there: prepared.Prepared, rows: list[tuple[Target, Found]], told: dict[str, Any], path: Path) -> None:
    """A row of newest frames for each target, the energy under each; beside the target's name those of real states."""
    figure = Figure(figsize=(2.0 * SHOWN + 1.4, 2.35 * len(rows) + 0.7), layout="constrained")
    grid = figure.subplots(len(rows), SHOWN, squeeze=False)
    for axes, (target, found), line in zip(grid, rows, told.values(), strict=True):
        for place, picture, value in zip(axes, there.pictures(found.state), found.target.tolist(), strict=True):
            place.imshow(picture, interpolation="nearest")
            place.set(xticks=[], yticks=[])
            place.set_xlabel(f"energy {value:.3g}", fontsize=8, labelpad=2)
        real = line["held-out real states"]
        name = f"{target.name}\n\nreal states:\nmean {real['mean']:.3g}\nbest {real['best']:.3g}"
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    title = f"{there.subject.agent.spec.name}: the first {SHOWN} states of each search; a target wants little energy"
    figure.suptitle(title, fontsize=10)
    write_figure(figure, path)


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--targets", nargs="+", help="as `weakspot run` takes them; T+ T- T+- and the like without")
    arguments.add_argument("--name", default="figure-1")
    arguments.set_defaults(candidates=prepared.CANDIDATES_OF_FOUR)
    given = prepared.read(arguments)
    there = prepared.prepare(given, given.extra.targets or ())
    sources = there.sources(there.model(given))
    names = given.extra.targets or default_targets(there.subject.agent.spec, sources.answers)
    rows, told = [], {}
    held = recorded_outputs(there.dataset, there.held)
    with prepared.on_all_cores():
        for name in names:
            forget_candidates()  # so that each target is timed with its own
            target, started = there.target(name), time.monotonic()
            found = given.algorithm(sources, target, SHOWN, given.seed)
            seconds = time.monotonic() - started
            real = target(held).numpy()
            told[name] = {
                "states": SHOWN,
                "seconds": round(seconds, 1),
                "energies": [round(value, 5) for value in found.target.tolist()],
                "held-out real states": {"count": len(real), "mean": float(real.mean()), "best": float(real.min())},
            }
            rows.append((target, found))
            say(f"{name}: {told[name]}")
    panel(there, rows, told, given.output / f"{given.extra.name}.png")
    prepared.write(given.extra.name, given, there, {"targets": told})


if __name__ == "__main__":
    sys.exit(exit_code(main))
