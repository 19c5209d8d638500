"""What a finished run contains, apart from times, so that two runs can be compared."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weakspot.artifacts.run import Run, load_run
from weakspot.run.entry import RECORD

TIMED = {"seconds", "decisions_per_second", "created", "versions", "checksum", "weights", "key", "fingerprint", "files"}
"""Entries that differ between two runs with the same results, and digests of them."""
CLOCK = (
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[^ <]*",
    r'<span style="width:[\d.]+%">',
    r"[\d.,]+ (ms|s|min|h|decisions/s|states/s)\b( \d+ (s|min))?",
    r"<pre><code>.*?</code></pre>",
)
"""Parts of a report that depend on the clock, and its commands."""


def contents(folder: Path) -> dict[str, str]:
    """A digest of every file of every result that a run shows, by stage, part and name."""
    run = load_run(folder)
    return {
        f"{name}/{path.relative_to(entry.folder)}": _digest(path)
        for name, entry in run.entries.items()
        for path in sorted(entry.folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }


def read_everything(folder: Path) -> Run:
    """Reads all artifacts of a run, as a user of :func:`weakspot.load_run` would; raises what its readers raise."""
    run = load_run(folder)
    mappings = (run.findings, run.novelty, run.twins, run.policy_values, run.overconfidence)
    everything: list[Any] = [part for mapping in mappings for part in mapping.values()]
    everything += [run.curves, run.reconstructions, run.sample_states, run.rollouts, run.seconds, run.versions]
    return run


def differences(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Names of the files that differ or are missing on one side."""
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def _digest(path: Path) -> str:
    data = path.read_bytes()
    plain = PLAIN.get(path.suffix, lambda content: content)(data)
    return hashlib.sha256(plain).hexdigest()


def _json(data: bytes) -> bytes:
    return json.dumps(_without_times(json.loads(data)), sort_keys=True).encode()


def _lines(data: bytes) -> bytes:
    return b"\n".join(_json(line) for line in data.splitlines())


def _page(data: bytes) -> bytes:
    text = data.decode()
    for pattern in CLOCK:
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    return text.encode()


PLAIN: dict[str, Callable[[bytes], bytes]] = {".json": _json, ".jsonl": _lines, ".html": _page}
"""What is compared of a file, by its suffix."""


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(part) for key, part in value.items() if key not in TIMED}
    return [_without_times(part) for part in value] if isinstance(value, list) else value
