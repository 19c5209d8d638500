"""Stage: derive the action values of a policy from its critic, for the targets that ask for action values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

from weakspot.artifacts.policy_values import FILE, PolicyValues, write_policy_values
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.system.provenance import file_digest
from weakspot.targets.names import needs_policy_values


class PolicyValuesStage(Stage):
    """Fits the temperature of the action values to recorded returns, and measures how well the target ranks real states."""

    name: ClassVar[str] = "policy-values"
    inputs: ClassVar[tuple[str, ...]] = ("subject", "collect")

    def parts(self, session: Session) -> tuple[str, ...]:
        """One for each target over action values, if the agent is a policy."""
        agent = session.record.agent
        return tuple(
            slug for slug, name in session.targets.items() if needs_policy_values(name, agent.action_names, agent.scores_are)
        )

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """``--policy-values.*``, ``--sharpness``, and the target."""
        config = session.config
        return asdict(config.policy_values) | {"target": session.target_names[part], "sharpness": config.sharpness}

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The temperature, and the rank correlations."""
        return (FILE,)

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :mod:`weakspot.analysis.policy_values`."""
        import numpy as np

        from weakspot.analysis.policy_values import Temperature, fit_temperature, rank_correlation
        from weakspot.analysis.returns import returns_as_trained
        from weakspot.session import sharpness_for
        from weakspot.targets.resolve import resolve_target

        config, dataset = session.config, session.dataset
        settings, spec = config.policy_values, session.subject.agent.spec
        returns = returns_as_trained(dataset, settings.gamma)
        fitted = Temperature(settings.tau, None, None, 0) if settings.tau else fit_temperature(dataset, returns)
        outputs, b = session.recorded_outputs(np.arange(len(dataset))), sharpness_for(dataset, config.sharpness)

        name = session.targets[part]
        targets = {
            "values": resolve_target(name, spec, b, fitted.tau),
            "critic": resolve_target("V-" if name.endswith("-") else "V+", spec, b),
            "policy": resolve_target(name, replace(spec, scores_are="q-values"), b),  # of log-probabilities instead
        }
        direction = 1.0 if session.target_names[part].endswith("-") else -1.0
        ranks = {which: rank_correlation(direction * target(outputs).numpy(), returns) for which, target in targets.items()}
        values = PolicyValues(
            fitted.tau, fitted.low, fitted.high, fitted.decisions, settings.gamma, ranks["values"], ranks["critic"],
            ranks["policy"],
        )  # fmt: skip
        write_policy_values(folder, values)
        return file_digest(folder / FILE)
