"""Whether ``weakspot check-agent`` names a setting that is wrong in a description of an environment, and how long it takes.

    python -m benchmarks.wrong_settings                  # all settings; writes the table in docs/agent_scores_badly.md
    python -m benchmarks.wrong_settings --settings red   # one of them; the others keep their figures

For each setting the agent is checked with a TOML file in which that setting alone is wrong, and with the score that it
reaches with the right one.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from lab.command import require_one_thread, run_command, say
from lab.page import replace_table, table
from lab.records import all_versions, earlier_record, save_record
from lab.wrong_settings import WRONG, measure

RECORD, PAGE = Path("docs/agents/wrong-settings.json"), Path("docs/agent_scores_badly.md")
TABLE = "wrong settings"
"""Name of the table on the page."""


def settings_table(record: dict[str, Any]) -> str:
    """What is named for each wrong setting, in Markdown."""
    rows = [
        (
            f"`{row['lines']}`",
            row["score"],
            "; ".join(row["named"]) or None,
            row["cured"],
            ", ".join(row["equals"]) or None,
            row["result"],
            row["cpu_seconds"],
        )
        for name in WRONG
        if (row := record["settings"].get(name))
    ]
    head = ("wrong lines", "score", "named first", "score with it", "not told apart from it", "the right one is", "seconds")
    return table(head, rows)


def main() -> None:
    require_one_thread("benchmarks.wrong_settings")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="pong-double-dqn", help="an agent of an Atari game")
    parser.add_argument("--environment", default="PongNoFrameskip-v4", help="the id of its game")
    parser.add_argument("--score", type=float, default=18.0, help="that it reaches with the right settings")
    parser.add_argument("--settings", nargs="+", choices=list(WRONG), default=list(WRONG), help="those that are tried")
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    for name in arguments.settings:
        with tempfile.TemporaryDirectory(prefix="settings-") as folder:
            row = measure(name, arguments.agent, arguments.environment, arguments.score, Path(folder))
        say(f"{name}: {row}")
        record = earlier_record(arguments.record)
        record |= {"agent": arguments.agent, "expected": arguments.score, "versions": all_versions()}
        record["settings"] = record.get("settings", {}) | {name: row}
        save_record(arguments.record, record)
        replace_table(arguments.page, TABLE, settings_table(record))


if __name__ == "__main__":
    run_command(main)
