"""Run folders link results under readable names and refuse other folders; clean deletes unused results."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from weakspot.errors import RunError, SchemaError, StorageError
from weakspot.run.clean import clean, survey
from weakspot.run.folder import SCHEMA, RunFolder, RunRecord, ShownResult, register
from weakspot.run.store import Request, Store
from weakspot.system.locks import lock_if_free


def result(store: Path, stage: str, number: int, part: str = "") -> ShownResult:
    """Makes a result, and returns its entry in the record of a run."""

    def work(folder: Path) -> str:
        (folder / "out.txt").write_text(f"{stage} {number}")
        return str(number)

    entry, _ = Store(store).make(Request(stage, part, {"number": number}, ("out.txt",)), work)
    return ShownResult(entry.record.key, {f"{stage}/{part}" if part else stage: "."})


def record(store: str, **results: ShownResult) -> RunRecord:
    return RunRecord(SCHEMA, store, "weakspot run", {}, {}, {name.replace("__", "/"): one for name, one in results.items()})


def test_run_links_its_results_by_name_and_can_be_moved_with_its_store(tmp_path):
    run = RunFolder(tmp_path / "run")
    store = tmp_path / "run" / "store"
    run.write(record("store", train=result(store, "train", 1), synthesize__left=result(store, "synthesize", 1, "left")))
    assert (tmp_path / "run/train/out.txt").read_text() == "train 1"
    run.write(record("store", train=result(store, "train", 2)))
    assert (tmp_path / "run/train/out.txt").read_text() == "train 2"
    assert not (tmp_path / "run/synthesize").exists()
    shutil.move(tmp_path / "run", tmp_path / "moved")
    assert (tmp_path / "moved/train/out.txt").read_text() == "train 2"
    assert not survey(tmp_path / "moved/store").lost_runs
    assert sorted(one.kind for one in survey(tmp_path / "moved/store").stored) == ["shown", "unused", "unused"]


def test_lost_links_and_registrations_are_detected(tmp_path):
    run, shown = RunFolder(tmp_path / "run"), result(tmp_path / "store", "train", 1)
    one = record(str(tmp_path / "store"), train=shown)
    run.write(one)
    assert run.shows(one) and not run.shows(record(str(tmp_path / "store")))
    (tmp_path / "run/train").unlink()
    assert not run.shows(one)
    run.write(one)
    assert run.shows(one)
    next((tmp_path / "store/runs").iterdir()).unlink()
    assert not run.shows(one)


@pytest.mark.parametrize("call", ["rename", "symlink_to"])
def test_full_disk_during_a_move_loses_nothing(tmp_path, monkeypatch, call):
    run, store = RunFolder(tmp_path / "run"), Store(tmp_path / "store")
    one = record(str(tmp_path / "store"), train=result(tmp_path / "store", "train", 1))
    entry = store.find(Request("train", "", {"number": 1}, ("out.txt",)))
    assert entry is not None
    content = "TRAIN 1" if call == "rename" else "train 1"  # damaged, or intact
    (entry.folder / "out.txt").write_text(content)
    with monkeypatch.context() as patched, pytest.raises(StorageError, match="no space left"):

        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(Path, call, full)
        store.discard(entry, "damaged") if call == "rename" else run.write(one)
    assert (entry.folder / "out.txt").read_text() == content and entry.missing() is None
    run.write(one)
    assert (tmp_path / "run/train/out.txt").read_text() == content and run.shows(one)
    assert not list((tmp_path / "run").glob(".train*"))


def test_existing_folder_is_not_replaced_by_a_link(tmp_path):
    run = RunFolder(tmp_path)
    run.write(record("store"))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not a link"):
        run.write(record("store", train=result(tmp_path / "store", "train", 1)))
    assert (tmp_path / "train" / "notes.txt").read_text() == "mine"


def test_other_folders_are_refused_and_left_unchanged(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match=r"is not a run folder: it contains thesis\.tex"):
        RunFolder(tmp_path).read()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(RunError, match="cannot use"):
        RunFolder(tmp_path / "thesis.tex").read()


def test_run_folders_of_the_earlier_layout_raise_a_clear_error(tmp_path):
    for name in ("config.json", "manifest.json", "report.html"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(RunError, match=r"(?s)earlier layout.*choose another --output") as raised:
        RunFolder(tmp_path).read()
    assert "report.html" in str(raised.value)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"schema": 1}', '{"schema": 1, "store": 3}', "\ud800".encode("utf-16", "surrogatepass")]
)
def test_error_for_a_damaged_record_says_what_to_do(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    with pytest.raises(RunError, match=r"run\.json is damaged") as raised:
        RunFolder(tmp_path).read()
    assert "delete" in str(raised.value)


def test_a_record_of_a_newer_schema_is_refused(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(SchemaError, match="newer weakspot"):
        RunFolder(tmp_path).read()


def test_clean_deletes_only_results_that_no_run_uses(tmp_path):
    store = tmp_path / "store"
    first, second, third = (result(store, "train", number) for number in (1, 2, 3))
    RunFolder(tmp_path / "one").write(record(str(store), train=first))
    RunFolder(tmp_path / "two").write(record(str(store), train=second))
    unfinished = store / "train" / "0123456789abcdef"
    unfinished.mkdir()
    (unfinished / "checkpoint.pt").write_text("half of it")
    kinds = {one.folder.name: (one.kind, one.size > 0) for one in survey(store).stored}
    assert kinds == {
        first.key: ("shown", True), second.key: ("shown", True), third.key: ("unused", True),
        unfinished.name: ("unfinished", True),
    }  # fmt: skip
    assert [one.folder.name for one in clean(store).stored] == [third.key]
    assert (tmp_path / "one/train/out.txt").exists() and (tmp_path / "two/train/out.txt").exists() and unfinished.exists()
    assert [one.folder.name for one in clean(store, ("unused", "unfinished")).stored] == [unfinished.name]


def test_clean_keeps_results_that_a_run_is_about_to_use(tmp_path):
    store, run = tmp_path / "store", RunFolder(tmp_path / "one")
    first, second, third = (result(store, "train", number) for number in (1, 2, 3))
    run.write(record(str(store), train=first))
    run.protect(record(str(store), train=second))
    assert [one.folder.name for one in clean(store).stored] == [third.key]
    assert (tmp_path / "one/train/out.txt").read_text() == "train 1"
    run.write(record(str(store), train=second))
    assert [one.folder.name for one in clean(store).stored] == [first.key]


def test_clean_keeps_the_results_of_a_moved_run(tmp_path):
    store = tmp_path / "store"
    RunFolder(tmp_path / "one").write(record(str(store), train=result(store, "train", 1)))
    os.rename(tmp_path / "one", tmp_path / "elsewhere")
    assert survey(store).lost_runs == (str(tmp_path / "one"),) and not clean(store).stored
    assert (tmp_path / "elsewhere/train/out.txt").read_text() == "train 1"


def test_clean_keeps_results_that_a_process_is_working_on(tmp_path):
    store = tmp_path / "store"
    RunFolder(tmp_path / "one").write(record(str(store)))
    unused = result(store, "train", 1)
    with lock_if_free(store / "locks" / f"train-{unused.key}.lock") as locked:
        assert locked and not clean(store).stored
    assert [one.folder.name for one in clean(store).stored] == [unused.key]


def test_a_folder_without_a_store_is_not_cleaned(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(RunError, match="is not a store"):
        clean(tmp_path)
    assert (tmp_path / "photos").exists()


def test_clean_deletes_only_results(tmp_path):
    """Clean leaves other folders alone: those of a user in a store, run folders inside a store, and links."""
    (tmp_path / "runs").mkdir()
    with pytest.raises(RunError, match="is not a store"):
        clean(tmp_path, ("unused", "unfinished", "damaged"))
    register(tmp_path, tmp_path / "one", set())  # makes it a store
    (tmp_path / "src" / "pkg").mkdir(parents=True)
    (tmp_path / "src" / "pkg" / "entry.json").write_text("mine")
    shown = result(tmp_path, "train", 1)
    RunFolder(tmp_path / "one").write(record(str(tmp_path), train=shown))
    (tmp_path / "notes" / "0123456789abcdef").mkdir(parents=True)
    (tmp_path / "notes" / "fedcba9876543210").symlink_to(tmp_path / "src")
    deleted = clean(tmp_path, ("unused", "unfinished", "damaged")).stored
    assert [one.folder.name for one in deleted] == ["0123456789abcdef"]
    assert (tmp_path / "src/pkg/entry.json").read_text() == "mine"
    assert (tmp_path / "one/train/out.txt").read_text() == "train 1"


def test_clean_checks_again_before_it_deletes(tmp_path, monkeypatch):
    store, run = tmp_path / "store", RunFolder(tmp_path / "one")
    unused = result(store, "train", 1)
    run.write(record(str(store)))
    before = survey(store)
    run.write(record(str(store), train=unused))  # another process starts to use it
    monkeypatch.setattr("weakspot.run.clean.survey", lambda store: before)
    assert not clean(store).stored and (tmp_path / "one/train/out.txt").exists()


def test_a_deleted_record_is_written_again_by_the_same_command(tmp_path):
    run, store = RunFolder(tmp_path / "run"), tmp_path / "run" / "store"
    one = record("store", train=result(store, "train", 1), synthesize__left=result(store, "synthesize", 1, "left"))
    run.write(one)
    (tmp_path / "run" / "run.json").unlink()
    assert run.read() is None
    run.write(one)
    assert run.shows(one)
