"""Copies a run with only those files that :func:`weakspot.load_run` reads, so that it can be shipped with a notebook.

    python -m lab.small_results RUN OUTPUT

Recorded states, snapshots, saliency and the weights of the state model stay behind. What remains is unchanged; nothing is
computed. A stage that needs what was left behind finds the result incomplete and makes it again.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

from lab.command import run_command, say
from weakspot.run.entry import Entry, read_entry
from weakspot.run.folder import RunFolder
from weakspot.run.records import write_record

STAGES = (
    *("subject", "collect", "policy-values", "overconfidence", "train", "fidelity", "samples", "goggles"),
    *("synthesize", "novelty", "ground", "confirm"),
)
"""Stages whose results are read."""
READ = {"collect": ("summary.json",), "overconfidence": ("overconfidence.json",), "train": ("model.json", "metrics.jsonl")}
"""Files that are read, of stages with others as well."""


def copy_small(run: Path, output: Path) -> int:
    """Copies the run folder ``run`` to ``output``; returns the size of the copy in bytes."""
    source = RunFolder(run)
    record = source.read()
    if record is None:
        raise SystemExit(f"{run} is not a run folder")
    kept = {name: shown for name, shown in record.results.items() if name.partition("/")[0] in STAGES}
    size = 0
    for name, shown in kept.items():
        stage = name.partition("/")[0]
        entry = read_entry(source.store(record) / stage / shown.key)
        if entry is None:
            raise SystemExit(f"the result of {name} is not finished")
        size += _copy(entry, output / "store" / stage / shown.key, READ.get(stage))
    command = record.command.replace(str(run), f"runs/{run.name}")  # not the path on the machine that made it
    small = dataclasses.replace(record, store="store", command=command, results=kept)
    write_record(output / "run.json", small)
    return size


def _copy(entry: Entry, folder: Path, read: tuple[str, ...] | None) -> int:
    """Copies the files ``read`` of an entry, or all of them; returns the size of the copy."""
    files = {name: file for name, file in entry.record.files.items() if read is None or name in read}
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(entry.folder / name, folder / name)
    write_record(folder / "entry.json", dataclasses.replace(entry.record, files=files))
    return sum(file.size for file in files.values())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    say(f"{copy_small(arguments.run, arguments.output) / 1e6:.1f} MB in {arguments.output}")


if __name__ == "__main__":
    run_command(main)
