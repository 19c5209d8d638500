"""Run folders: stages are skipped when they stand, done again when something changed, and never mixed up."""

import os
from pathlib import Path

import pytest

from weakspot.errors import RunError, RunMismatchError, StorageError
from weakspot.run.folder import RunFolder
from weakspot.system.files import exclusive_lock, make_folder, storage_errors, write_json, write_text
from weakspot.system.provenance import digest


def test_a_stage_is_done_once_and_again_when_its_key_or_its_output_changes(tmp_path):
    folder, output, done = RunFolder(tmp_path / "run", {"a": 1}), tmp_path / "run" / "out", []

    def work():
        done.append(1)
        write_text(output, "x")
        return "print"

    assert folder.stage("collect", "k1", [output], work)[1] is True
    record, worked = RunFolder(tmp_path / "run", {"a": 1}).stage("collect", "k1", [output], work)
    assert (worked, record.fingerprint, len(done)) == (False, "print", 1)
    assert folder.stage("collect", "k2", [output], work)[1] is True
    output.unlink()
    assert folder.stage("collect", "k2", [output], work)[1] is True
    assert len(done) == 3


def test_a_stage_that_is_broken_off_does_not_count_once_its_old_settings_come_back(tmp_path):
    folder, made = RunFolder(tmp_path, {}), tmp_path / "made"

    def write(text: str, ends: bool = True) -> str:
        made.write_text(text)
        if not ends:
            raise KeyboardInterrupt
        return text

    folder.stage("a", "first", [made], lambda: write("first"))
    with pytest.raises(KeyboardInterrupt):
        folder.stage("a", "second", [made], lambda: write("second", ends=False))
    assert folder.stage("a", "first", [made], lambda: write("first"))[1] and made.read_text() == "first"


def test_a_stage_that_fails_does_not_count_and_its_time_does(tmp_path):
    folder = RunFolder(tmp_path, {})
    with pytest.raises(ZeroDivisionError):
        folder.stage("train", "k", [], lambda: str(1 / 0))
    assert folder.records() == {}
    record, _ = folder.stage("train", "k", [], lambda: "f")
    assert folder.records() == {"train": record}


def test_another_configuration_is_refused_by_name(tmp_path):
    RunFolder(tmp_path, {"train": {"minutes": 7.0}, "agent": "x"})
    with pytest.raises(RunMismatchError, match=r"train.minutes is 7.0 there and 8.0 here"):
        RunFolder(tmp_path, {"train": {"minutes": 8.0}, "agent": "x"})


def test_a_damaged_manifest_says_so(tmp_path):
    folder = RunFolder(tmp_path, {})
    (tmp_path / "manifest.json").write_text('{"stages": {"collect": 3}}')
    with pytest.raises(RunError, match=r"manifest\.json is damaged"):
        folder.records()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"config\.json is damaged"):
        RunFolder(tmp_path, {})


def test_two_processes_do_not_share_a_folder(tmp_path):
    folder = RunFolder(tmp_path, {})
    with (
        exclusive_lock(folder.path),
        pytest.raises(RunError, match="another process"),
        exclusive_lock(RunFolder(tmp_path, {}).path),
    ):
        pass


def test_a_full_disk_is_a_clear_error_and_leaves_the_old_file():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    full = Path("/dev/full")
    with pytest.raises(StorageError, match="no space left"), storage_errors(full), full.open("w") as file:
        file.write("x" * 100_000)


def test_a_path_that_cannot_be_written_is_a_clear_error(tmp_path):
    with pytest.raises(StorageError, match="cannot write /proc/weakspot"):
        make_folder(Path("/proc/weakspot"))


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_digests_tell_plain_data_apart():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
