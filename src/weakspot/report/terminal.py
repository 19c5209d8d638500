"""The weaknesses of a run as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from weakspot.artifacts.run import Run
from weakspot.artifacts.weaknesses import Rate, Weakness

WIDTH = 120
"""Columns of the table where the width of the terminal is not known."""


def print_weaknesses(run: Run) -> None:
    """Prints the confirmed weaknesses, or that there are none; nothing without a confirmation."""
    if run.confirmation is None:
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    if not run.weaknesses:
        console.print(_without(run), highlight=False)
        return
    table = Table("", "weakness", "lost", "cause", "rescue", "met", title="confirmed weaknesses", title_justify="left")
    for number, weakness in enumerate(run.weaknesses, start=1):
        table.add_row(
            str(number), weakness.sentence, _rate(weakness.rate), _cause(weakness), _rescue(weakness), _rate(weakness.met)
        )
    console.print(table)


def print_comparison(agents: tuple[str, str], rows: Sequence[tuple[str, str, Rate, Rate]]) -> None:
    """Prints weaknesses with their status and the losses of both agents."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    table = Table("status", "weakness", f"1: {agents[0]}, lost", f"2: {agents[1]}, lost")
    for status, sentence, first, second in rows:
        table.add_row(status, sentence, _rate(first), _rate(second))
    console.print(table)


def _without(run: Run) -> str:
    assert run.confirmation is not None
    others = run.confirmation.weaknesses
    kinds = ", ".join(
        f"{sum(w.verdict == kind for w in others)} {kind}" for kind in dict.fromkeys(w.verdict for w in others)
    )
    found = f" ({kinds})" if others else ""
    return " ".join([f"no weakness was confirmed{found}", *run.confirmation.notes])


def _rate(rate: Rate) -> str:
    return f"{100 * rate.share:.0f} % ({100 * rate.low:.0f}-{100 * rate.high:.0f})"


def _cause(weakness: Weakness) -> str:
    return "" if weakness.cause is None else " or ".join(variable.name for variable in weakness.cause.variables)


def _rescue(weakness: Weakness) -> str:
    return "" if weakness.rescue is None else f"{weakness.rescue.label}: {_rate(weakness.rescue.saved)}"
