"""How far the searches of each target got: against real states, and in states of the environment itself."""

from __future__ import annotations

from dataclasses import dataclass

from weakspot.artifacts.run import Run
from weakspot.report.target import symbol_text, target_order
from weakspot.report.text import number
from weakspot.report.twins import kinds_text


@dataclass(frozen=True)
class Attainment:
    """One target, with counts as text such as ``7 of 8``, which are empty where nothing was counted.

    Attributes:
        symbol, slug: of the target.
        beyond: synthesised states with a lower target energy than all held-out real states.
        twins: synthesised states with a twin.
        kinds: of these twins.
        possible: edited states that are possible, of those that were the best state found for a synthesised one.
        attained: synthesised states for which the best state that was found, a twin or not, has their target energy, up to
            half a standard deviation, or a lower one.
        beyond_real: twins with a lower target energy than all real training states.
        distance: mean distance of the twins.
    """

    symbol: str
    slug: str
    beyond: str
    twins: str
    kinds: str
    possible: str
    attained: str
    beyond_real: str
    distance: str


def attainments(run: Run) -> tuple[Attainment, ...]:
    """One row for each target, in the order of the report."""
    return tuple(_attainment(run, symbol) for symbol in target_order(run))


def _attainment(run: Run, symbol: str) -> Attainment:
    findings, novelty, twins = run.findings[symbol], run.novelty.get(symbol), run.twins.get(symbol)
    beyond = ""
    if novelty is not None and len(novelty.real_target):
        beyond = _count((findings.target < novelty.real_target.min()).tolist())
    search = twins.search if twins else None
    tried = search.twins if search else ()
    found = [twin for twin in tried if twin.accepted]
    return Attainment(
        symbol=symbol_text(symbol),
        slug=findings.search.slug,
        beyond=beyond,
        twins=_count([twin.accepted for twin in tried]),
        kinds=kinds_text(found),
        possible=_count([not twin.possible.problems for twin in tried if twin.possible]),
        attained=_count([twin.target <= twin.aim + search.shortfall for twin in tried] if search else []),
        beyond_real=_count([search.is_beyond(twin.target) for twin in found] if search else []),
        distance=number(sum(twin.distances.mean for twin in found) / len(found)) if found else "",
    )


def _count(flags: list[bool]) -> str:
    return f"{sum(flags)} of {len(flags)}" if flags else ""
