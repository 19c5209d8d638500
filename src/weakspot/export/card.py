"""A model card as on the Hugging Face Hub: what the agent is, how it scores, and where it is weak."""

from __future__ import annotations

import json
import re
from typing import Any

from weakspot.artifacts.run import Run
from weakspot.report.text import interval_text, number


def model_card(run: Run) -> str:
    """The card: metadata in YAML, and Markdown in which names cannot add markup of their own."""
    agent, environment = run.agent, run.environment
    lines = [
        "---", *_metadata(run), "---", "",
        f"# {_text(agent.name)}", "",
        f"An agent for `{_code(environment.id)}`, examined with weakspot.", "",
        "## Scores", "", *_scores(run), "",
        "## Weaknesses", "", *_weaknesses(run), "",
        "## How this was found", "",
        f"    {run.command.replace(chr(10), ' ')}", "",
        *(f"- {name} {version}" for name, version in run.versions.items()), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _metadata(run: Run) -> list[str]:
    """The fields by which the Hub finds models; JSON strings are YAML strings."""
    lines = ["tags:", "- deep-reinforcement-learning", "- reinforcement-learning", f"- {json.dumps(run.environment.id)}"]
    if run.goggles is None:
        return lines
    scores = run.goggles.agent
    value = f"{scores.interval.mean:.2f}"
    result: list[Any] = [
        "model-index:", f"- name: {json.dumps(run.agent.name)}", "  results:", "  - task:",
        "      type: reinforcement-learning", "      name: reinforcement-learning", "    dataset:",
        f"      name: {json.dumps(run.environment.id)}", f"      type: {json.dumps(run.environment.id)}", "    metrics:",
        "    - type: mean_reward", f"      value: {value}", "      name: mean_reward", "      verified: false",
    ]  # fmt: skip
    return [*lines, *result]


def _scores(run: Run) -> list[str]:
    lines: list[str] = []
    if run.goggles is not None:
        lines.append(
            f"- {interval_text(run.goggles.agent.interval)} in {len(run.goggles.agent.scores)} episodes of this run"
        )
    if (card := run.agent.card) is not None:
        scores = f"{number(card.score_mean)} with a standard deviation of {number(card.score_std)}"
        lines.append(f"- {scores} over {card.episodes} episodes, as its own card says")
    return lines or ["It was not measured."]


def _weaknesses(run: Run) -> list[str]:
    if run.confirmation is None:
        return ["No rollouts were made."]
    confirmed = run.weaknesses
    if not confirmed:
        return ["None was confirmed.", *(_text(note) for note in run.confirmation.notes)]
    return [
        f"{place}. **{weakness.verdict}**: {_text(weakness.sentence)}" for place, weakness in enumerate(confirmed, start=1)
    ]


def _text(text: str) -> str:
    """Text in which no character is markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")
