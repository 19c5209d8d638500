"""The store: results are made once, shared between processes, set aside when damaged, and never mixed up."""

import errno
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from weakspot.errors import RunError, SchemaError, StorageError
from weakspot.run.entry import read_entry
from weakspot.run.store import Request, Store
from weakspot.system.files import write_text

REQUEST = Request("toy", "", {"a": 1}, ("out.txt",), ("scratch.txt",))


def write(folder: Path) -> str:
    """Makes a result with one file."""
    write_text(folder / "out.txt", "content")
    write_text(folder / "scratch.txt", "half of it")
    return "fingerprint"


def fail_if_called(folder: Path) -> str:
    """Work that must not run."""
    raise AssertionError("made again")


def test_a_result_is_made_once_and_found_afterwards(tmp_path):
    store = Store(tmp_path)
    assert store.find(REQUEST) is None
    entry, made = store.make(REQUEST, write)
    again, made_again = store.make(REQUEST, fail_if_called)
    assert (made, made_again) == (True, False) and again == entry == store.find(REQUEST)
    assert entry.record.fingerprint == "fingerprint" and entry.record.made_from == {"a": 1}
    assert list(entry.record.files) == ["out.txt"] and not (entry.folder / "scratch.txt").exists()
    assert entry.record.versions["torch"] and entry.record.created


def test_another_request_gives_another_result_and_both_are_kept(tmp_path):
    store, other = Store(tmp_path), replace(REQUEST, made_from={"a": 2})
    first, _ = store.make(REQUEST, write)
    second, made = store.make(other, write)
    assert made and first.folder != second.folder and store.find(REQUEST) == first and store.find(other) == second


def test_killed_attempts_resume_in_their_folder_and_their_time_counts(tmp_path):
    store, attempts = Store(tmp_path), []

    def work(folder: Path) -> str:
        attempts.append(sorted(path.name for path in folder.iterdir()))
        write_text(folder / "scratch.txt", "half of it")
        if len(attempts) == 1:
            time.sleep(0.3)
            raise KeyboardInterrupt
        return write(folder)

    with pytest.raises(KeyboardInterrupt):
        store.make(REQUEST, work)
    assert store.find(REQUEST) is None
    entry, made = store.make(REQUEST, work)
    assert made and attempts == [[], ["scratch.txt"]] and entry.record.seconds >= 0.3
    assert not list((tmp_path / "locks").glob("*.seconds"))


def test_stage_that_does_not_write_its_outputs_raises_an_error(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RunError, match=r"ended without writing out\.txt"):
        store.make(REQUEST, lambda folder: "nothing")
    assert store.find(REQUEST) is None


def damage_size(folder: Path) -> None:
    (folder / "out.txt").write_text("contents")


def damage_missing(folder: Path) -> None:
    (folder / "out.txt").unlink()


def damage_record(folder: Path) -> None:
    (folder / "entry.json").write_text((folder / "entry.json").read_text()[:40])


def damage_fields(folder: Path) -> None:
    record = json.loads((folder / "entry.json").read_text())
    record["files"] = ["out.txt"]
    (folder / "entry.json").write_text(json.dumps(record))


def damage_key(folder: Path) -> None:
    record = json.loads((folder / "entry.json").read_text())
    record["key"] = "0" * 16
    (folder / "entry.json").write_text(json.dumps(record))


@pytest.mark.parametrize("damage", [damage_size, damage_missing, damage_record, damage_fields, damage_key])
def test_damaged_results_are_set_aside_and_recomputed_and_others_are_kept(tmp_path, capsys, damage):
    store, other = Store(tmp_path), replace(REQUEST, made_from={"a": 2})
    entry, _ = store.make(REQUEST, write)
    untouched, _ = store.make(other, write)
    damage(entry.folder)
    before = {path.name: path.read_bytes() for path in entry.folder.iterdir()}
    assert store.find(REQUEST) is None
    again, made = store.make(REQUEST, write)
    assert made and again.changed() is None and store.find(other) == untouched
    aside = entry.folder.with_name(f"{entry.folder.name}.damaged-1")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert str(aside) in capsys.readouterr().out


def test_changed_content_of_the_same_size_is_detected_by_a_full_check(tmp_path):
    entry, _ = Store(tmp_path).make(REQUEST, write)
    (entry.folder / "out.txt").write_text("CONTENT")
    assert entry.missing() is None and entry.changed() == "the content of out.txt has changed"


def test_results_of_a_newer_schema_are_refused_and_kept(tmp_path):
    store = Store(tmp_path)
    entry, _ = store.make(REQUEST, write)
    record = json.loads((entry.folder / "entry.json").read_text())
    record["schema"], record["unheard_of"] = 99, True
    (entry.folder / "entry.json").write_text(json.dumps(record))
    with pytest.raises(SchemaError, match="schema 99 of a newer weakspot"):
        store.make(REQUEST, fail_if_called)
    assert json.loads((entry.folder / "entry.json").read_text()) == record


def slow(path: Path, started: str) -> None:
    """Makes a result slowly, in a separate process."""

    def work(folder: Path) -> str:
        write_text(path / started, "")
        while not (path / "continue").exists():
            time.sleep(0.01)
        return write(folder)

    entry, made = Store(path / "store").make(REQUEST, work)
    write_text(path / f"{started}-ended", "made" if made else "found")
    assert entry.record.fingerprint == "fingerprint"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


@pytest.mark.parametrize("kill", [False, True])
def test_second_process_waits_for_a_result_or_takes_over(tmp_path, kill):
    context = multiprocessing.get_context("spawn")
    first, second = (context.Process(target=slow, args=(tmp_path, name)) for name in ("first", "second"))
    first.start()
    wait_for(tmp_path / "first")
    second.start()
    time.sleep(3.0 if not kill else 1.0)
    assert not (tmp_path / "second").exists()
    if kill:
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        wait_for(tmp_path / "second")  # it has taken over
    write_text(tmp_path / "continue", "")
    first.join(60)
    second.join(60)
    assert (tmp_path / "second-ended").read_text() == ("made" if kill else "found")
    assert second.exitcode == 0 and (first.exitcode == 0) is not kill
    assert read_entry(Store(tmp_path / "store").folder(REQUEST)) is not None


def test_damaged_result_that_another_process_has_recomputed_is_kept(tmp_path):
    store = Store(tmp_path)
    damaged, _ = store.make(REQUEST, write)
    (damaged.folder / "out.txt").write_text("CONTENT")
    store.discard(damaged, "its content has changed")
    recomputed, made = store.make(REQUEST, lambda folder: write(folder) + " again")
    assert made
    store.discard(damaged, "its content has changed")  # another process, which saw the damage and then waited
    assert store.find(REQUEST) == recomputed
    assert len(list(damaged.folder.parent.iterdir())) == 2


@pytest.mark.parametrize("call", ["read_bytes", "stat"])
def test_unreadable_results_raise_an_error_and_are_kept(tmp_path, monkeypatch, call):
    store = Store(tmp_path)
    entry, _ = store.make(REQUEST, write)
    with monkeypatch.context() as patched, pytest.raises(StorageError, match="cannot be read"):

        def deny(*arguments: object, **others: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        patched.setattr(Path, call, deny)
        store.find(REQUEST)
    assert store.find(REQUEST) == entry
