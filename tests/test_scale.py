"""The measurements of benchmarks.scale and benchmarks.faults."""

import sys

import pytest

from benchmarks.faults import faults_table
from benchmarks.scale import cost_table, ratios, speedup_table
from lab.faults import Evidence
from lab.processes import cost_of
from weakspot.errors import RunError
from weakspot.sweep.driver import Outcome

ALLOCATE = """
import time
data = bytearray(b"x") * (60 << 20)
end = time.process_time() + 0.3
while time.process_time() < end:
    pass
"""


def test_the_cost_of_a_command_includes_the_processes_that_it_starts():
    cost = cost_of([sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ALLOCATE!r}])"])
    assert 60 < cost.megabytes < 120 and 0.3 <= cost.processor_seconds < 3 and cost.seconds >= 0.3
    with pytest.raises(RunError, match="ZeroDivisionError"):
        cost_of([sys.executable, "-c", "1 / 0"])


def test_costs_are_compared_between_the_fewest_and_the_most_states():
    stages = ("collect", "saliency", "train", "closest")
    first, last = (
        {"frames": frames, "bytes_per_frame": 25_000}
        | {stage: {"processor_seconds": seconds, "megabytes": memory} for stage in stages}
        for frames, seconds, memory in ((1_000, 2.0, 100.0), (10_000, 10.0, 110.0))
    )
    assert ratios([first, last])["train"] == {"time_over_frames": 0.5, "megabytes_more": 10.0}
    assert "| 10,000 | 10.0, 110 |" in cost_table([first, last])
    record = {"local": {"seconds_of_one_worker": [5.0, 4.0], "seconds_of_two_workers": [2.0], "speedup": 2.0, "load": 1.0}}
    assert "| local | 4 | 2 | 2 | 1 |" in speedup_table(record)


def test_evidence_counts_completions_and_what_is_left():
    done, failed = Outcome("a", "done"), Outcome("b", "failed")
    assert Evidence({"a": done, "b": failed}, {"a": 1, "b": 0}, 0).once
    assert not Evidence({"a": done, "b": failed}, {"a": 2, "b": 0}, 0).once
    assert not Evidence({"a": done, "b": failed}, {"a": 1, "b": 1}, 0).once
    assert not Evidence({"a": done}, {"a": 1}, 1).once
    assert "| yes | – |" in faults_table({"local": {"worker": {"once": True}}, "ray": {}})
