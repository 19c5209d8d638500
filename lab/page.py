"""Tables in the documentation, each between two markers, written by the command that measured the numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from weakspot.errors import ConfigError
from weakspot.system.files import write_text


def markers(name: str) -> tuple[str, str]:
    """The lines before and after the table of that name."""
    return f"<!-- {name}: written by a command, down to its end -->", f"<!-- {name}: its end -->"


def replace_table(page: Path, name: str, table: str) -> None:
    """Replaces the table of that name in a page.

    Raises:
        ConfigError: the page does not have the markers of the table.
    """
    text, (start, end) = page.read_text(), markers(name)
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise ConfigError(f"{page} has no markers for the table {name!r}", expected=f"the lines {start} and {end}")
    before, rest = text.split(start)
    write_text(page, f"{before}{start}\n\n{table}\n\n{end}{rest.split(end)[1]}")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown; see :func:`cell` for the cells."""
    columns = list(head)
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [cell(value) for _, value in zip(columns, row, strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(value: object) -> str:
    """A cell of a table: a number, a value with its interval as (value, low, high), text, or a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        mean, low, high = (cell(part) for part in value)
        return f"{mean} ({low} to {high})" if value[1] is not None else mean
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{round(value, 9):.3g}"
    return str(value)


def interval(values: tuple[float, float, float] | None, digits: int = 1) -> str:
    """A value with its interval, rounded to some digits; a hyphen for None."""
    if values is None:
        return "-"
    mean, low, high = (f"{number:,.{digits}f}" for number in values)
    return f"{mean} ({low} to {high})"
