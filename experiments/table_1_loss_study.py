"""Table 1, section 4.5 of the paper: the agent's score when it sees reconstructions only, for each loss of the state model.

    python -m experiments.table_1_loss_study --budget 15 --output docs/results/pong

The columns: the agent itself, a plain VAE, the attentive reconstruction loss alone, the paper's full loss, and the recipe
``fast``.  All models are trained on the same states for the same processor time; the scores are over the same episodes, by
the same seeds.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.arguments import at_least
from benchmarks.recall import MEASURED
from experiments import prepared
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.goggles import GogglesConfig, goggles
from weakspot.cli import exit_code
from weakspot.games import is_game
from weakspot.progress import say

RECIPES = {"VAE": "paper-vae", "L_p only": "paper-attentive", "full": "paper", "fast": "fast"}
PAPER = {
    "Pong": {"agent": 14, "VAE": -8, "L_p only": 4, "full": 14},
    "Atlantis": {"agent": 108, "VAE": 95, "L_p only": 98, "full": 109},
    "Qbert": {"agent": 64, "VAE": 26, "L_p only": 28, "full": 31},
}
"""Mean scores over 20 runs, as printed; those of Atlantis and Q*bert are in other units than the games' own."""


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--episodes", type=at_least(1), default=20)
    arguments.add_argument(
        "--longest", type=at_least(1), default=GogglesConfig().longest, help="decisions of an episode, at most"
    )
    arguments.add_argument("--columns", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    given = prepared.read(arguments)
    there = prepared.prepare(given)
    one = there.subject
    measured = np.sort(np.random.default_rng(0).permutation(there.held)[:MEASURED])
    config = GogglesConfig(episodes=given.extra.episodes, longest=given.extra.longest)
    columns: dict[str, Any] = prepared.found_before("table-1", given, there).get("columns", {})
    printed = next((line for title, line in PAPER.items() if is_game(one.spec.id, title)), None)
    for name in given.extra.columns:
        model = there.model(given, RECIPES[name])
        made_of = model.info["made_of"]
        if name in columns and columns[name]["model"] == made_of:
            continue
        with prepared.on_all_cores():
            scores = goggles(model, one.agent, one.factory, config).record(config.seed)
        line = fidelity(model, one.perceive, there.dataset, measured).line()
        columns["agent"] = scores["agent"]
        kept = {"steps": model.info["steps"], "model": made_of, "keeps": line}
        columns[name] = scores["goggles"] | {"difference": scores["difference"]} | kept
        prepared.write("table-1", given, there, {"columns": columns, "paper": printed})
        say(f"{name}: {columns[name]}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
