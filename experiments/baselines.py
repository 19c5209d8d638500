"""Algorithm 1 beside what a user would do instead, on the same agent, target and state model.

    python -m experiments.baselines --targets T- T+- --states 64 --output docs/results/pong

Retrieval of the best real frames, HIGHLIGHTS, random samples of the state model, random search in its latent space with as
many passes through it as Algorithm 1 had, and activation maximisation in pixels.  Of each: the target's value, how new its
states are, their distance from real ones in the agent's features, in Pong the share that passes the object checks, how much
they differ, and what it cost.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.arguments import at_least
from experiments import prepared
from experiments.measures import measured, yard
from weakspot.baselines.activation_maximization import ActivationMaximization
from weakspot.baselines.highlights import Highlights, HighlightsDiv
from weakspot.baselines.method import Method
from weakspot.baselines.pixel_regularisers import Plain, SobolevGradient
from weakspot.baselines.random_samples import RandomSamples
from weakspot.baselines.random_search import RandomSearch
from weakspot.baselines.retrieval import Retrieval
from weakspot.cli import exit_code
from weakspot.progress import say


def methods(passes: int, pixel_steps: int) -> list[Method]:
    """What Algorithm 1 is held against, where it had ``passes`` through the model."""
    return [
        Retrieval(),
        Highlights(),
        HighlightsDiv(),
        RandomSamples(),
        RandomSearch(passes),
        ActivationMaximization(Plain(), pixel_steps),
        ActivationMaximization(SobolevGradient(), pixel_steps),
    ]


def main() -> None:
    arguments = prepared.parser(__doc__)
    arguments.add_argument("--targets", nargs="+", default=["T-", "T+-"])
    arguments.add_argument("--states", type=at_least(3), default=64)
    arguments.add_argument("--pixel-steps", type=at_least(1), default=300, help="of the descents in pixels")
    given = prepared.read(arguments)
    there = prepared.prepare(given, given.extra.targets)
    sources = there.sources(there.model(given))
    model = sources.model.info["made_of"]
    known, count = yard(there, given.extra.states), given.extra.states
    told: dict[str, Any] = prepared.found_before("baselines", given, there).get("targets", {})
    with prepared.on_all_cores():
        for name in given.extra.targets:
            told.setdefault(name, {})

            def line(method: Method, name: str = name) -> int:
                known_line = told[name].get(method.name)
                if known_line and known_line["model"] == model:
                    return known_line["passes"]["model"]
                started = time.monotonic()
                target = there.target(name)
                found = method(sources, target, count, given.seed)
                seconds = round(time.monotonic() - started, 1)
                told[name][method.name] = measured(found, target, known)[0] | {"seconds": seconds, "model": model}
                prepared.write("baselines", given, there, {"targets": told})
                say(f"{name}, {method.name}: {told[name][method.name]}")
                return found.cost.model

            passes = line(given.algorithm)
            for method in methods(max(passes, count), given.extra.pixel_steps):
                line(method)


if __name__ == "__main__":
    sys.exit(exit_code(main))
