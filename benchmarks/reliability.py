"""Reliability: kills, damages, failing writes, limits and hostile files; see docs/reliability.md.

python -m benchmarks.reliability                     # everything, and docs/reliability/reliability.json
python -m benchmarks.reliability --parts kills       # one part; the others keep their figures
python -m benchmarks.reliability --share 0.02        # a small part of everything, which is not recorded
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from lab.command import require_one_thread, run_command, say
from lab.page import replace_table, table
from lab.records import changed_record, earlier_record
from lab.reliability.measure import KEYS, PARTS, measure

RECORD, PAGE = Path("docs/reliability/reliability.json"), Path("docs/reliability.md")
TABLE = "figures of reliability"
"""Name of the table on the page."""


def figures_table(record: dict[str, Any]) -> str:
    """What was tried and what went wrong, in Markdown."""
    accepted = record["hostile_accepted"]
    soak, long_run = record["soak"], record["long_run"]
    first, last = (
        f"{soak[name]['memory_mb']:.0f} MB, {soak[name]['descriptors']} descriptors" for name in ("first", "last")
    )
    lost, silent, traceback = "lost or changed", "silent", "ended in a traceback"
    rows = [
        ("kills", f"{record['kills']}, in {len(record['kills_by_stage'])} stages", f"{record['kills_lost']} {lost}"),
        (
            "damages", record["corruptions"],
            f"{record['corruptions_silent']} {silent}, {record['corruptions_traceback']} {traceback}",
        ),
        ("faults", record["faults"], f"{record['faults_lost']} {lost}"),
        (
            "hostile files", f"{record['hostile']}, of which {accepted} load because their change does not matter",
            f"{record['hostile_traceback']} {traceback}, {record['hostile_executed']} executed; at most "
            f"{record['peak_mb']:.0f} MB more memory",
        ),
        (
            "runs in one process", f"{soak['runs']}, {soak['failures']} failed",
            f"{first} after ten runs, {last} at the end; {soak['temporary_left']} temporary files left",
        ),
        (
            f"kills of a training of {long_run['steps']:,} steps", long_run["kills"],
            f"{long_run['disturbed_seconds']:.0f} s for {long_run['undisturbed_seconds']:.0f} s: "
            f"{long_run['seconds_per_kill']:.1f} s for each",
        ),
    ]  # fmt: skip
    return table(("", "tried", "result"), rows)


def _save(path: Path, part: str, figures: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Adds the figures of a part to the record, to which other processes may add as well, and returns it."""
    with changed_record(path) as record:
        record |= figures
        record["seconds"] = record.get("seconds", {}) | {part: seconds}
    if path == RECORD and set(KEYS) | {"soak", "long_run"} <= record.keys():
        replace_table(PAGE, TABLE, figures_table(record))
    return record


def main() -> int:
    require_one_thread("benchmarks.reliability")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what is tried")
    parser.add_argument("--share", type=float, default=1.0, help="of the full numbers; smaller ones are not recorded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for runs; by default a new folder that is deleted at the end")
    parser.add_argument("--record", type=Path, default=RECORD)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reliability-") as temporary:
        folder = arguments.folder or Path(temporary)
        record: dict[str, Any] = earlier_record(arguments.record)
        for part in arguments.parts:
            started = time.monotonic()
            figures = measure(part, folder / part, arguments.share, arguments.seed)
            seconds = round(time.monotonic() - started)
            say(f"{part}: {seconds} s")
            record |= figures
            if arguments.share >= 1.0:
                record = _save(arguments.record, part, figures, seconds)
    say(json.dumps(record, indent=2))
    return int(any(record.get(key) for key in KEYS if key.endswith(("_lost", "_silent", "_traceback", "_executed"))))


if __name__ == "__main__":
    run_command(main)
