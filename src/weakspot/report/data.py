"""The numbers of a report as plain data, for other programs: ``report.json`` beside ``report.html``.

Records of weaknesses, twins and measures are those of the artifacts; what is stored as arrays is listed by state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from weakspot.artifacts.arrays import Array
from weakspot.artifacts.findings import Findings
from weakspot.artifacts.novelty import Novelty
from weakspot.artifacts.run import Run
from weakspot.artifacts.twins import Twins
from weakspot.report.bars import displayed_scores
from weakspot.report.charts import energy_band
from weakspot.report.target import target_order
from weakspot.report.verdict import RULE, judge

SCHEMA = 1
"""Version of the layout; a higher one may lack or rename entries."""
DIGITS = 6
"""Significant digits of numbers out of arrays, most of which have single precision."""


def report_data(run: Run) -> dict[str, Any]:
    """Everything that the report shows, without pictures; finite numbers, texts, lists and dictionaries only."""
    return {
        "schema": SCHEMA,
        "command": run.command,
        "settings": _plain(run.settings),
        "versions": run.versions,
        "seconds": run.seconds,
        "agent": _plain(run.agent),
        "environment": _plain(run.environment),
        "confirmation": _plain(run.confirmation),
        "targets": [_target(run, symbol) for symbol in target_order(run)],
        "kept": [
            _plain(kept.record) | {"scores": _by_action(run, kept.scores[None])[0], "value": _plain(kept.value)}
            for kept in run.kept
        ],
        "trust": {
            "verdict": _plain(judge(run)),
            "rule": RULE,
            "fidelity": _plain(run.fidelity),
            "samples": _plain(run.samples),
            "goggles": _plain(run.goggles),
            "reconstructions": _reconstructions(run),
            "model": _plain(run.model),
            "training": {curve.name: [_numbers(curve.steps), _numbers(curve.values)] for curve in run.curves},
        },
        "collection": _plain(run.collection),
    }


def _target(run: Run, symbol: str) -> dict[str, Any]:
    """One target: its settings, its states in stored order, and the real states it is compared with."""
    findings, novelty, twins = run.findings[symbol], run.novelty.get(symbol), run.twins.get(symbol)
    search, band = findings.search, energy_band(findings.energy)
    return {
        **_plain(search),
        "policy_values": _plain(run.policy_values.get(symbol)),
        "overconfidence": _plain(run.overconfidence.get(symbol)),
        "energy": None
        if band is None
        else {name: _numbers(getattr(band, name)) for name in ("steps", "low", "median", "high")},
        "states": _states(run, findings, novelty, twins),
        "real_target_energies": None if novelty is None else _numbers(novelty.real_target),
        "retrieved_target_energies": None if novelty is None else _numbers(novelty.retrieved_target),
        "twins": None
        if twins is None
        else _without(_plain(twins.search), "twins")
        | {"searched": len(twins.search.twins), "accepted": sum(twin.accepted for twin in twins.search.twins)},
    }


def _states(run: Run, findings: Findings, novelty: Novelty | None, twins: Twins | None) -> list[dict[str, Any]]:
    scores, symbol = _by_action(run, findings.scores), findings.search.target
    found = {twin.number: twin for twin in twins.search.twins} if twins else {}
    rollouts = {state.source: state for state in run.confirmation.states} if run.confirmation else {}
    states: list[dict[str, Any]] = []
    for index in range(len(findings.states)):
        twin, played = found.get(index), rollouts.get(f"{symbol} {index + 1}")
        states.append(
            {
                "number": index + 1,
                "target_energy": _number(findings.target[index]),
                "prior_kl": _number(findings.prior_kl[index]),
                "steps": int(findings.iterations[index]),
                "value": None if findings.value is None else _number(findings.value[index]),
                "scores": scores[index],
                "closest_real": None
                if novelty is None
                else {
                    "index": int(novelty.closest_index[index]),
                    "mse": _number(novelty.mse[index]),
                    "differing_share": _number(novelty.differing_share[index]),
                },
                "twin": None
                if twin is None or twins is None
                else _without(_plain(twin), "number") | {"problems": list(twins.search.problems(twin))},
                "rollouts": _plain(played),
            }
        )
    return states


def _reconstructions(run: Run) -> list[dict[str, Any]]:
    """The real states whose reconstructions are shown."""
    data = run.reconstructions
    if data is None:
        return []
    real, reconstructed = _by_action(run, data.scores_real), _by_action(run, data.scores_reconstructed)
    columns = zip(data.index.tolist(), data.worst.tolist(), data.same_action.tolist(), real, reconstructed, strict=True)
    names = ("index", "worst", "same_action", "scores_real", "scores_reconstructed")
    return [dict(zip(names, row, strict=True)) for row in columns]


def _by_action(run: Run, scores: Array) -> list[dict[str, float | None]]:
    """Scores (n, a) as the report displays them, by the names of the actions."""
    rows = [_numbers(row) for row in displayed_scores(scores, run.agent)]
    return [dict(zip(run.environment.action_names, row, strict=True)) for row in rows]


def _numbers(values: Array) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    """A number with :data:`DIGITS` significant digits; None if it is not finite."""
    return float(f"{float(value):.{DIGITS}g}") if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """A record as plain data, in which keys are texts and numbers that are not finite are None."""
    return _finite(msgspec.to_builtins(value, str_keys=True))


def _without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in cast("Sequence[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
