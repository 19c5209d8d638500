"""Synthesised states and weaknesses as tables in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from weakspot.artifacts.run import Run
from weakspot.artifacts.twins import Twin
from weakspot.artifacts.weaknesses import Rate


def states_table(run: Run) -> str:
    """One row for each synthesised state: its energies, the agent's outputs, and its twin."""
    actions = run.environment.action_names
    header = [
        "target", "number", "target_energy", "kl_to_prior", "steps", "value", *(f"score {name}" for name in actions),
        "closest_real_mse", "closest_real_differing_share", "twin", "twin_accepted", "twin_distance", "twin_target_energy",
        "twin_start", "twin_changes", "twin_less_usual_than",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for symbol, findings in run.findings.items():
        novelty, twins = run.novelty.get(symbol), run.twins.get(symbol)
        found = {twin.number: twin for twin in twins.search.twins} if twins else {}
        for index in range(len(findings.states)):
            closest = ["", ""] if novelty is None else [float(novelty.mse[index]), float(novelty.differing_share[index])]
            rows.append(
                [
                    symbol, index + 1, float(findings.target[index]), float(findings.prior_kl[index]),
                    int(findings.iterations[index]), "" if findings.value is None else float(findings.value[index]),
                    *findings.scores[index].tolist(), *closest, *_twin(found.get(index)),
                ]
            )  # fmt: skip
    return _csv(header, rows)


def weaknesses_table(run: Run) -> str:
    """One row for each group of states that rollouts judged, in the order of the report."""
    header = ["number", "verdict", "confirmed", "sentence", "targets"]
    for name in ("lost", "met", "saved_by_cause", "saved_by_rescue"):
        header += [name, f"{name}_low", f"{name}_high"]
    header += ["cause", "rescue", "expected_return", "earned_return"]
    rows: list[list[Any]] = []
    for number, one in enumerate(run.confirmation.weaknesses if run.confirmation else (), start=1):
        rates = (one.rate, one.met, one.cause.saved if one.cause else None, one.rescue.saved if one.rescue else None)
        cause, rescue = one.cause.names if one.cause else "", one.rescue.label if one.rescue else ""
        expected = "" if one.expected is None else one.expected
        start = [number, one.verdict, one.confirmed, one.sentence, " ".join(one.targets)]
        rows.append([*start, *(cell for rate in rates for cell in _rate(rate)), cause, rescue, expected, one.earned])
    return _csv(header, rows)


def _twin(twin: Twin | None) -> list[Any]:
    if twin is None:
        return [""] * 7
    changes = "; ".join(change.text for change in twin.changes)
    unusual = "" if twin.unusual is None else twin.unusual
    return [twin.kind, twin.accepted, twin.distances.mean, twin.target, twin.start, changes, unusual]


def _rate(rate: Rate | None) -> list[Any]:
    return ["", "", ""] if rate is None else [rate.share, rate.low, rate.high]


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_plain(cell) for cell in header])
    writer.writerows([[_plain(cell) for cell in row] for row in rows])
    return text.getvalue()


def _plain(cell: Any) -> Any:
    """The cell; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
