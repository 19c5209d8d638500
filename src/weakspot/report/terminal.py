"""The weaknesses of a run as a table in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from weakspot.artifacts.run import Run
from weakspot.artifacts.weaknesses import Rate, Weakness
from weakspot.report.weaknesses import headline
from weakspot.system.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDTH = 120
"""Columns of the table where the width of the terminal is not known."""


def print_rating(run: Run) -> None:
    """Prints how far the synthesised states can be trusted, as the report does; nothing if that was not measured."""
    from weakspot.report.verdict import judge

    verdict = judge(run)
    if verdict.level != "unknown":
        _console().print(_text(f"state model: {verdict.headline} {verdict.sentence}"), highlight=False)


def print_twins(run: Run) -> None:
    """Prints which targets have no twin at all, so that only recorded states were played on from."""
    without = [symbol for symbol, twins in run.twins.items() if not any(twin.accepted for twin in twins.search.twins)]
    if without:
        _console().print(
            _text(f"no synthesised state of {', '.join(without)} has a twin: train longer, or raise --ground.trials"),
            highlight=False,
        )


def print_weaknesses(run: Run) -> None:
    """Prints the confirmed weaknesses, or that there are none."""
    from rich.table import Table

    console = _console()
    if run.confirmation is None:
        console.print(_text("no weaknesses were looked for: --confirm.controls is 0"), highlight=False)
        return
    if not run.weaknesses:
        console.print(_text(_without(run)), highlight=False)
        return
    table = Table("", "weakness", "lost", "cause", "rescue", "met", title="confirmed weaknesses", title_justify="left")
    for number, weakness in enumerate(run.weaknesses, start=1):
        rates = (_rate(weakness.rate), _rate(weakness.met))
        cells = (str(number), weakness.sentence, rates[0], _cause(weakness), _rescue(weakness), rates[1])
        table.add_row(*map(_text, cells))
    console.print(table)


def print_comparison(agents: tuple[str, str], rows: Sequence[tuple[str, str, Rate, Rate]]) -> None:
    """Prints weaknesses with their status and the losses of both agents."""
    from rich.markup import escape
    from rich.table import Table

    console = _console()
    headers = [escape(printable(f"{number}: {agent}, lost")) for number, agent in enumerate(agents, start=1)]
    table = Table("status", "weakness", *headers)
    for status, sentence, first, second in rows:
        table.add_row(*map(_text, (status, sentence, _rate(first), _rate(second))))
    console.print(table)


def _text(text: str) -> Text:
    """A text that is shown as it is: rich reads neither markup nor control characters in it."""
    from rich.text import Text

    return Text(printable(text.replace("\u00a0", " ")))


def _console() -> Console:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _without(run: Run) -> str:
    assert run.confirmation is not None
    counts = Counter(weakness.verdict for weakness in run.confirmation.weaknesses)
    kinds = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    found = f" ({kinds})" if kinds else ""
    text = headline(run.confirmation)
    return " ".join([f"{text[0].lower()}{text[1:]}{found}.", *run.confirmation.notes])


def _rate(rate: Rate) -> str:
    return f"{100 * rate.share:.0f} % ({100 * rate.low:.0f}-{100 * rate.high:.0f})"


def _cause(weakness: Weakness) -> str:
    return "" if weakness.cause is None else weakness.cause.names


def _rescue(weakness: Weakness) -> str:
    return "" if weakness.rescue is None else f"{weakness.rescue.label}: {_rate(weakness.rescue.saved)}"
