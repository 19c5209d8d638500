"""Locks between processes: acquiring fails or waits, and a kill of the holder releases them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from weakspot.errors import RunError, StorageError
from weakspot.system.locks import exclusive_lock, waiting_lock

HOLDER = """
import sys, time
from pathlib import Path
from weakspot.system.locks import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start_holder(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Starts another process that holds the lock of ``folder``."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_lock_is_refused_while_another_process_holds_it_and_free_after_a_kill(tmp_path):
    process = start_holder(tmp_path, 600.0)
    with pytest.raises(RunError, match="another process is working in"), exclusive_lock(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(2):
        with exclusive_lock(tmp_path):
            assert (tmp_path / ".lock").exists()
    with pytest.raises(ZeroDivisionError), exclusive_lock(tmp_path):
        _ = 1 / 0
    with exclusive_lock(tmp_path):
        pass


def test_waiting_lock_takes_over_when_its_holder_is_killed(tmp_path):
    process, calls = start_holder(tmp_path, 600.0), []
    killer = threading.Timer(0.5, process.kill)
    killer.start()
    started = time.monotonic()
    with waiting_lock(tmp_path / ".lock", lambda: calls.append(1)):
        assert time.monotonic() - started >= 0.4 and process.wait() == -signal.SIGKILL
        with pytest.raises(RunError), exclusive_lock(tmp_path):
            pass
    assert calls == [1]
    with waiting_lock(tmp_path / ".lock", lambda: calls.append(1)):
        assert calls == [1], "no wait for a free lock"


def test_errors_of_the_waiting_callback_are_passed_on(tmp_path):
    process = start_holder(tmp_path, 600.0)

    def stop() -> None:
        raise OSError("no terminal")

    with pytest.raises(OSError, match="no terminal"), waiting_lock(tmp_path / ".lock", stop):
        pass
    process.kill()
    process.wait()


def test_unwritable_lock_raises_a_clear_error():
    with pytest.raises(StorageError, match="cannot write /proc/weakspot"), waiting_lock(Path("/proc/weakspot"), print):
        pass
