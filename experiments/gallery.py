"""The gallery: figures 9 to 53 of the paper's appendix, with what is needed to judge each picture.

    weakspot sweep experiments/sweeps/gallery.toml
    python -m experiments.gallery --sweep experiments/sweeps/gallery.toml --output docs/gallery --page docs/gallery.md

The first command trains an agent for each game and examines it, which takes many hours; it can be stopped at any time, and
goes on when it is given again.  The second one reads the games that are finished: four synthesised states for each target
of the paper, and below each its twin, the state of the emulator that stands for it.  The page shows what a reader has to
know to tell a good picture from a poor one: how well the agent plays beside random play, and beside itself on
reconstructions; how often the best action is the same on them, and how often it is the same one in all states; how many
states are beyond the best real one under the target, and how many have a twin.  Games that did not change are not measured
again, and those of earlier commands stay on the page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab.command import repeatable_command, run_command, say
from lab.gallery import (
    FIGURES,
    draw_game,
    finished_runs,
    games_table,
    measured_game,
    results_of,
    summary,
    summary_table,
)
from lab.page import replace_table
from lab.records import earlier_record, save_record
from weakspot.errors import ConfigError

SUMMARY, GAMES, PICTURES = "gallery summary", "gallery games", "gallery pictures"
"""Names of the parts of the page that are written here."""


def pictures(games: dict[str, object], folder: str) -> str:
    """The pictures of the games, with headings."""
    parts = []
    for name in games:
        figures = FIGURES.get(name, ())
        where = f" (figure {' and '.join(figures)} of the paper)" if figures else ""
        parts.append(f"### {name}{where}\n\n![{name}]({folder}/{name}.png)")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", type=Path, default=Path("experiments/sweeps/gallery.toml"))
    parser.add_argument("--output", type=Path, default=Path("docs/gallery"))
    parser.add_argument("--page", type=Path, help="page whose tables and pictures are written")
    arguments = parser.parse_args()
    runs, planned = finished_runs(arguments.sweep)
    if not runs:
        raise ConfigError(
            f"no game of {arguments.sweep} is finished",
            expected="at least one of its runs",
            todo=f"weakspot sweep {arguments.sweep}",
        )
    path = arguments.output / "gallery.json"
    games = earlier_record(path).get("games", {})
    for name, run in runs.items():
        results = results_of(run)
        if games.get(name, {}).get("results") != results:
            say(f"{name} ...")
            games[name] = {"results": results, **measured_game(run)}
            draw_game(run, arguments.output / f"{name}.png")
    games = dict(sorted(games.items()))
    record = {"command": repeatable_command(sys.argv), "planned": planned, "summary": summary(games), "games": games}
    save_record(path, record)
    if arguments.page:
        replace_table(arguments.page, SUMMARY, summary_table(record["summary"]))
        replace_table(arguments.page, GAMES, games_table(games))
        replace_table(arguments.page, PICTURES, pictures(games, arguments.output.name))
    say(f"{len(runs)} of {planned} games are finished here; the record has {len(games)}")


if __name__ == "__main__":
    run_command(main)
