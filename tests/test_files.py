"""Atomic writes, and clear errors for disks that cannot be written to."""

import os
from pathlib import Path

import pytest

from weakspot.errors import RunError, StorageError
from weakspot.system.files import make_folder, storage_errors, write_json
from weakspot.system.locks import exclusive_lock
from weakspot.system.provenance import digest


def test_two_processes_do_not_share_a_folder(tmp_path):
    with exclusive_lock(tmp_path), pytest.raises(RunError, match="another process"), exclusive_lock(tmp_path):
        pass


def test_full_disk_raises_a_clear_error():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    full = Path("/dev/full")
    with pytest.raises(StorageError, match="no space left"), storage_errors(full), full.open("w") as file:
        file.write("x" * 100_000)


def test_unwritable_path_raises_a_clear_error(tmp_path):
    with pytest.raises(StorageError, match="cannot write /proc/weakspot"):
        make_folder(Path("/proc/weakspot"))


def test_writes_are_atomic(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_digests_depend_on_the_data_but_not_on_the_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
