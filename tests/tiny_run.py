"""The command line options of a run with a tiny budget."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
AGENT = f"{HERE / 'tiny_agent.py'}:pong"
TINY = [
    *("--agent", AGENT, "--environment", "pong", "--targets", "T-", "LEFT"),
    *("--collect.frames", "240", "--collect.streams", "2", "--collect.shard-steps", "30", "--collect.epsilon", "1.0"),
    *("--train.recipe", "fast-gaussian", "--train.steps", "6", "--train.batch-size", "8"),
    *("--train.checkpoint-every", "0.01", "--train.workers", "1"),
    *("--synthesize.states", "3", "--synthesize.steps", "5", "--synthesize.candidates", "16"),
    *("--goggles.episodes", "2", "--goggles.longest", "40", "--fidelity.reconstructions", "3"),
    *("--ground.states", "1", "--ground.trials", "20", "--ground.steps", "8", "--confirm.controls", "7"),
    *("--confirm.rollouts", "2", "--confirm.first", "2", "--confirm.horizon", "30", "--confirm.holds", "3"),
    *("--confirm.losing", "2", "--confirm.probes", "1", "--confirm.what-ifs", "6"),
]  # fmt: skip


def replace_option(option: str, *values: str) -> list[str]:
    """Returns TINY with other values for one option; further options may follow the values."""
    at = TINY.index(option)
    end = next((i for i in range(at + 1, len(TINY)) if TINY[i].startswith("--")), len(TINY))
    return [*TINY[: at + 1], *values, *TINY[end:]]


def value_of(option: str) -> str:
    """The value of an option in TINY."""
    return TINY[TINY.index(option) + 1]
