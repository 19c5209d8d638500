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

from lab.command import run_command, say
from lab.records import earlier_record, save_record
from lab.reliability.measure import KEYS, PARTS, measure

RECORD = Path("docs/reliability/reliability.json")


def main() -> int:
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
            record |= measure(part, folder / part, arguments.share, arguments.seed)
            say(f"{part}: {time.monotonic() - started:.0f} s")
            if arguments.share >= 1.0:
                save_record(arguments.record, earlier_record(arguments.record) | record)
    say(json.dumps(record, indent=2))
    return int(any(record.get(key) for key in KEYS if key.endswith(("_lost", "_silent", "_traceback", "_executed"))))


if __name__ == "__main__":
    run_command(main)
