"""Damage, hostile folders, odd settings and failing systems: nothing is lost, silently wrong, or ends in a traceback."""

import errno
import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_run import AGENT, TINY

from weakspot.agents import zoo
from weakspot.agents.load import load_agent
from weakspot.artifacts.run import load_run
from weakspot.cli import main
from weakspot.config import RunConfig
from weakspot.data import frames as frames_module
from weakspot.data.config import CollectConfig
from weakspot.data.frames import MappedFrames
from weakspot.data.shards import ShardContent, check_content, read_index, write_shard
from weakspot.errors import (
    ConfigError,
    DamagedResultError,
    DatasetError,
    LeftoverError,
    RewardError,
    RunError,
    StorageError,
    WeightsError,
)
from weakspot.pipeline import Pipeline
from weakspot.run.folder import RunFolder, RunRecord, check_store, register, registration_file
from weakspot.run.store import Request, Store
from weakspot.run.verified import verify_file
from weakspot.run.verify import verify
from weakspot.system.files import is_damage, write_atomic, write_text
from weakspot.system.locks import exclusive_lock
from weakspot.system.metrics import append_metrics, drop_metrics_after
from weakspot.system.process import exit_code
from weakspot.system.terminal import printable
from weakspot.system.training_loop import load_checkpoint, store_checkpoint
from weakspot.targets.names import action_slug

REQUEST = Request("toy", "", {"a": 1}, ("out.txt",))


def snapshot(folder: Path) -> dict[str, str | bytes]:
    """Everything below a folder, links as their targets."""
    paths = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in paths
        if path.is_symlink() or path.is_file()
    }


def foreign(folder: Path) -> Path:
    """A folder of somebody else, with the names that weakspot uses."""
    for name in ("collect/.draft.tmp", "train/metrics.jsonl", "store/train/notes.txt", "report.html", ".lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return folder


@pytest.mark.parametrize("command", ["run", "collect", "report", "plan", "verify"])
def test_foreign_folders_are_refused_and_left_unchanged(tmp_path, capsys, command):
    folder = foreign(tmp_path / "thesis")
    before = snapshot(folder)
    assert main([command, *([str(folder)] if command == "verify" else ["--agent", AGENT, "--output", str(folder)])]) == 2
    assert "error: " in capsys.readouterr().err and snapshot(folder) == before


def test_foreign_stores_are_refused_and_left_unchanged(tmp_path, capsys):
    for store, more in ((foreign(tmp_path / "thesis"), True), (tmp_path / "run" / "store", False)):
        store.mkdir(parents=True, exist_ok=True)
        (store / "thesis.tex").write_text("mine")
        before = snapshot(store)
        options = ["--store", str(store)] if more else []
        assert main(["run", "--agent", AGENT, "--environment", "pong", "--output", str(tmp_path / "run"), *options]) == 2
        assert "is not a store: it contains" in capsys.readouterr().err and snapshot(store) == before


def test_a_refused_command_claims_no_folder(tmp_path, capsys):
    folder = tmp_path / "new"
    assert main(["report", "--agent", AGENT, "--environment", "pong", "--output", str(folder)]) == 2
    assert "has no finished collect stage" in capsys.readouterr().err and not folder.exists()


def test_locks_are_not_opened_through_links_and_not_truncated(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").symlink_to(precious)
    with pytest.raises(StorageError, match="it is a link"), exclusive_lock(folder):
        pass
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(tmp_path / "absent")
    with pytest.raises(StorageError, match="it is a link"), exclusive_lock(folder):
        pass
    assert precious.read_text() == "mine" and not (tmp_path / "absent").exists()
    (folder / ".lock").unlink()
    (folder / ".lock").write_text("mine")
    with exclusive_lock(folder):
        pass
    assert (folder / ".lock").read_text() == "mine"


def write_output(folder: Path) -> str:
    write_text(folder / "out.txt", "content")
    return "fingerprint"


@pytest.mark.parametrize("place", ["locks", "toy", "toy/KEY"])
def test_links_in_a_store_are_not_followed(tmp_path, place):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "out.txt").write_text("mine")
    store = Store(tmp_path / "store")
    link = store.path / place.replace("KEY", REQUEST.key)
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(StorageError, match="it is a link"):
        store.make(REQUEST, write_output)
    assert snapshot(elsewhere) == {"out.txt": b"mine"}


def test_links_that_an_attempt_left_and_links_of_others_are_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    store = Store(tmp_path / "store")
    folder = store.folder(REQUEST)
    folder.mkdir(parents=True)
    (folder / "out.txt").symlink_to(precious)
    entry, made = store.make(REQUEST, write_output)
    assert made and precious.read_text() == "mine" and not (entry.folder / "out.txt").is_symlink()
    (entry.folder / "out.txt").unlink()
    (entry.folder / "out.txt").symlink_to(precious)
    assert entry.missing() == "out.txt is a link"
    run = RunFolder(tmp_path / "links")
    run.path.mkdir()
    (run.path / "train").symlink_to(precious)
    with pytest.raises(RunError, match="contains train"):
        run.read()
    (run.path / "train").unlink()
    (run.path / "run.json").symlink_to(precious)
    with pytest.raises(RunError, match=r"contains run\.json"):
        run.read()


def test_changed_files_are_found_before_they_are_read_and_by_verify(finished_run, tmp_path, capsys):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", finished_run, copy], check=True)
    assert main(["verify", str(copy)]) == 0
    path = next((copy / "synthesize/t-minus").glob("findings.npz"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedResultError, match=r"findings\.npz has changed"):
        print(load_run(copy).findings["T-"])
    capsys.readouterr()
    assert main(["verify", str(copy)]) == 2
    text = capsys.readouterr()
    assert "DAMAGED" in text.out and "synthesize/t-minus" in text.out and "repeat the command" in text.err
    assert sum(result.problem is not None for result in verify(copy)) == 1
    record = copy / "synthesize/t-minus/entry.json"
    record.write_text(record.read_text().replace('"seconds": ', '"seconds": 9'))
    with pytest.raises(RunError, match="does not match its checksum"):
        load_run(copy)
    (copy / "run.json").write_text((copy / "run.json").read_text().replace("LEFT", "LEFD"))
    with pytest.raises(RunError, match="does not match its checksum"):
        load_run(copy)


def test_files_of_a_result_are_compared_once_and_again_after_a_change(tmp_path, monkeypatch):
    entry, _ = Store(tmp_path).make(REQUEST, write_output)
    read: list[Path] = []
    from weakspot.run import entry as module

    digest = module.full_file_digest
    monkeypatch.setattr(module, "full_file_digest", lambda path: (read.append(path), digest(path))[1])
    assert verify_file(entry.folder / "out.txt") and verify_file(entry.folder / "out.txt") and len(read) == 1
    (entry.folder / "out.txt").write_text("CONTENT")
    with pytest.raises(DamagedResultError):
        verify_file(entry.folder / "out.txt")
    assert not verify_file(tmp_path / "unfinished" / "out.txt")


def test_a_store_that_is_a_link_in_a_run_folder_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "store").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="it is a link"):
        Pipeline(RunConfig(agent=AGENT, environment="pong", output=tmp_path / "run"))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_kill_in_the_last_write_leaves_nothing_after_the_repeat(tmp_path):
    folder = RunFolder(tmp_path / "run")
    record = RunRecord(1, "store", "weakspot run", {}, {})
    folder.write(record)
    assert folder.shows(record)
    registration = registration_file(folder.store(record), folder.path)
    for path in (folder.path / "run.json", registration):
        left = path.with_name(f".{path.name}.0a1b2c3d.tmp")
        left.write_text("half")
        assert not folder.shows(record), "it is written once more"
        folder.write(record)
        assert folder.shows(record) and not left.exists()


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"null", b"\xff\x00", None])
def test_a_damaged_description_of_unfinished_states_is_moved_aside(tmp_path, content):
    """None deletes it; the states beside it were collected by an attempt that was killed."""
    config = RunConfig(
        agent=AGENT, environment="pong", output=tmp_path / "run",
        collect=CollectConfig(frames=16, streams=1, shard_steps=8), targets=("LEFT",),
    )  # fmt: skip
    Pipeline(config, only=("subject", "collect")).run()
    folder = (tmp_path / "run" / "collect").resolve()
    (folder / "entry.json").unlink()
    if content is None:
        (folder / "meta.json").unlink()
    else:
        (folder / "meta.json").write_bytes(content)
    again = Pipeline(config, only=("subject", "collect"))
    again.run()
    assert len(again.session.dataset) == 16 and folder.with_name(f"{folder.name}.damaged-1").is_dir()


def test_a_part_of_an_array_is_a_storage_error(tmp_path):
    """numpy raises an OSError without the number of the operating system's error."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, usual[1]))
        with pytest.raises(StorageError, match=r"cannot write .*frames\.npy: the file would be too large"):
            write_atomic(tmp_path / "frames.npy", lambda path: write_array(path, np.zeros(10_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert not list(tmp_path.iterdir())


def write_array(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, array)


def test_damaged_leftovers_are_moved_aside_and_the_stage_starts_again(tmp_path):
    store, attempts = Store(tmp_path), []

    def work(folder: Path) -> str:
        attempts.append(sorted(path.name for path in folder.iterdir()))
        if len(attempts) == 1:
            write_text(folder / "half.txt", "damaged")
            raise KeyboardInterrupt
        if (folder / "half.txt").exists():
            raise LeftoverError("half.txt is damaged")
        return write_output(folder)

    with pytest.raises(KeyboardInterrupt):
        store.make(REQUEST, work)
    entry, made = store.make(REQUEST, work)
    assert made and attempts == [[], ["half.txt"], []]
    assert (entry.folder.with_name(f"{entry.folder.name}.damaged-1") / "half.txt").read_text() == "damaged"
    seconds = tmp_path / "locks" / f"toy-{REQUEST.key}.seconds"
    seconds.write_text("nan")
    assert store.make(Request("toy", "", {"a": 2}, ("out.txt",)), write_output)[1]


def test_every_bit_of_a_checkpoint_and_of_metrics_counts(tmp_path):
    path = tmp_path / "checkpoint.pt"
    store_checkpoint(path, {"made_of": "", "weights": torch.arange(1000.0)})
    intact = path.read_bytes()
    data = intact.index(np.arange(1000.0, dtype=np.float32).tobytes()[4:64])
    for place in (data, data + 2000, intact.index(b"made_of")):
        content = bytearray(intact)
        content[place] ^= 4
        path.write_bytes(content)
        with pytest.raises(Exception, match=r"checksum|CRC|damaged|Bad"):
            load_checkpoint(path)
    metrics = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        append_metrics(metrics, {"step": step, "loss": 0.25})
    metrics.write_text(metrics.read_text().replace("0.25", "0.35", 1))
    with pytest.raises(LeftoverError, match="line 1 of"):
        drop_metrics_after(metrics, 2)
    metrics.unlink()
    metrics.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="it is a link"):
        append_metrics(metrics, {"step": 1})


def shards(folder: Path, count: int) -> list:
    for number in range(count):
        content = np.full((1, 1, 2, 2, 3), number, np.uint8)
        columns = {"action": np.zeros((1, 1), np.int64)}
        write_shard(folder, number, ShardContent(number, content, columns, {}, [b""], [0], ""))
    return [read_index(folder, number) for number in range(count)]


def test_any_number_of_shards_needs_few_descriptors_and_each_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(frames_module, "OPEN", 3)
    indices = shards(tmp_path, 8)
    frames = MappedFrames(tmp_path, indices, (1, 2, 2, 3))
    before = len(os.listdir("/proc/self/fd"))
    assert [int(frames.shard(number)[0, 0, 0, 0, 0]) for number in (*range(8), 0)] == [*range(8), 0]
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    path = tmp_path / "frames-00005.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x77")
    with pytest.raises(DatasetError, match="does not match its checksum"):
        MappedFrames(tmp_path, indices, (1, 2, 2, 3)).shard(5)
    index = json.loads((tmp_path / "shard-00002.json").read_text())
    (tmp_path / "shard-00002.json").write_text(json.dumps(index | {"ages": [1]}))
    with pytest.raises(DatasetError, match="does not match its checksum"):
        read_index(tmp_path, 2)


def test_resource_errors_are_not_told_as_damage(tmp_path, monkeypatch):
    indices = shards(tmp_path, 1)

    def deny(*arguments: object, **others: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("weakspot.data.shards.file_crc32", deny)
    with pytest.raises(StorageError, match="too many open files"):
        check_content(tmp_path, "frames-00000.npy", indices[0])
    assert is_damage(ValueError()) and is_damage(OSError("no number")) and is_damage(FileNotFoundError(errno.ENOENT, ""))
    assert not is_damage(MemoryError()) and not is_damage(OSError(errno.EIO, "")) and not is_damage(PermissionError(13, ""))


def test_new_files_respect_the_umask_and_leave_no_temporary_files(tmp_path):
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "private.txt", "x")
        os.umask(0o022)
        write_text(tmp_path / "public.txt", "x")
        write_atomic(tmp_path / "of_a_library.safetensors", lambda path: save_file({"a": torch.zeros(1)}, path))
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.iterdir())]
    assert modes == [0o644, 0o600, 0o644], "of a file that a library replaced, too"
    store = Store(tmp_path / "store")
    folder = store.folder(REQUEST)
    folder.mkdir(parents=True)
    for path in (folder / ".out.txt.1234.tmp", store.path / "locks" / f".toy-{REQUEST.key}.seconds.12.tmp"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    store.make(REQUEST, write_output)
    register(store.path, tmp_path / "run", set())
    assert not list(store.path.rglob("*.tmp"))
    check_store(store.path)


def test_settings_that_no_record_can_hold_are_refused_at_once(tmp_path, capsys):
    output = os.fsdecode(os.fsencode(tmp_path / "r") + b"\xe9sum\xe9")
    assert main(["run", "--agent", AGENT, "--environment", "pong", "--output", output]) == 2
    assert "not text in UTF-8" in capsys.readouterr().err and not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="agent is"):
        RunConfig(agent="a\0b")
    os.mkdir(output)
    before = Path.cwd()
    try:
        os.chdir(output)
        with pytest.raises(ConfigError, match="the run folder is"):
            Pipeline(RunConfig(agent=AGENT, output="run"))
    finally:
        os.chdir(before)


def card_with(folder: Path, **changes: object) -> str:
    """The agent that ships, with a changed card."""
    with safe_open(zoo.path("pong-double-dqn"), "pt") as file:
        card, tensors = json.loads(file.metadata()["weakspot"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, folder / "agent.safetensors", {"weakspot": json.dumps(card | changes)})
    return str(folder / "agent.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"score": {"mean": float("nan"), "std": 1, "episodes": 2}},
        {"score": {"mean": float("inf")}},
        {"name": "a\ud800"},
        {"score": [1]},
        {"observation_shape": [4, 100_000, 100_000]},
        {"observation_shape": [4, 10**400, 1]},
        {"actions": ["A"] * 7},
    ],
)
def test_odd_cards_are_refused_when_the_agent_is_loaded(tmp_path, changes):
    with pytest.raises(WeightsError):
        load_agent(card_with(tmp_path, **changes))


def test_scores_of_other_types_on_a_card_are_left_out(tmp_path):
    from weakspot.subject import card_of

    assert card_of(card_with(tmp_path, score={"mean": [1], "std": 1, "episodes": 2})) is None
    assert card_of("pong-double-dqn") is not None


def test_long_names_of_actions_give_short_names_of_folders():
    slugs = [action_slug("A" * 300), action_slug("A" * 301), action_slug("LEFT")]
    assert len(set(slugs)) == 3 and all(len(slug) < 120 for slug in slugs) and slugs[2] == "action-left"


def test_rewards_that_are_not_finite_are_refused_with_environment_and_step(tmp_path):
    from weakspot.data.collect import collect
    from weakspot.data.config import CollectConfig
    from weakspot.envs.described import DescribedEnvironment
    from weakspot.envs.make import environment_factory

    agent = load_agent(AGENT, environment="pong")
    make = environment_factory("PongNoFrameskip-v4")

    def faulty():
        environment = make()
        step = environment.step

        def spoiled(action):
            from dataclasses import replace

            return replace(step(action), reward=float("inf"))

        environment.step = spoiled
        return environment

    with pytest.raises(RewardError, match=r"PongNoFrameskip-v4 returned the reward inf in stream 0, step 0"):
        collect(agent, faulty, CollectConfig(frames=8, streams=1), tmp_path / "states")
    assert DescribedEnvironment.step.__doc__


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EIO, "x", "/some/file"), "/some/file: the disk reports an error"),
        (OSError(errno.EMFILE, "x"), "too many open files"),
        (MemoryError(), "memory or another resource"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory or another resource"),
        (StorageError("a\x1b[2Jb"), r"a\x1b[2Jb"),
    ],
)
def test_errors_of_the_system_end_without_a_traceback(capsys, error, text):
    def work() -> None:
        raise error

    assert exit_code(work) == 2
    assert text in capsys.readouterr().err


def test_output_that_cannot_be_written_is_an_error_and_a_closed_one_is_not(tmp_path):
    command = f"exec {sys.executable} -m weakspot.cli agents"
    full = subprocess.run(["bash", "-c", f"{command} > /dev/full"], capture_output=True, text=True, check=False)
    assert (full.returncode, full.stderr.splitlines()[0]) == (
        2, "error: cannot write the standard output: no space left on the disk",
    )  # fmt: skip
    assert "Exception ignored" not in full.stderr
    for words in ("", "--help", "--version", "nothing"):
        line = f"exec {sys.executable} -m weakspot.cli {words} > /dev/full 2>&1 <&-"
        silent = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert silent.returncode == 2, words
        line = f"exec {sys.executable} -m weakspot.cli {words} > /dev/full"
        loud = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert "Traceback" not in loud.stderr and loud.stderr.startswith("error: "), words
    closed = subprocess.run(["bash", "-c", f"{command} >&-"], capture_output=True, text=True, check=False)
    assert (closed.returncode, closed.stderr) == (0, "")
    assert printable("a\x1b[0m\nb\u202e\udcff") == "a\\x1b[0m\nb\\u202e\\udcff"


def test_a_second_signal_ends_a_command_at_once(tmp_path):
    code = (
        "import time, sys\nfrom weakspot.system.process import exit_code\n"
        "def work():\n    try:\n        print('ready', flush=True); time.sleep(60)\n    finally:\n        time.sleep(60)\n"
        "sys.exit(exit_code(work))"
    )
    import signal

    restored = "".join(f"signal.signal({number}, signal.SIG_DFL)\n" for number in (signal.SIGHUP.value, signal.SIGINT.value))
    code = f"import signal\n{restored}{code}"  # tests may run under nohup, or in the background, where these are ignored
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    import time

    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130 and process.stderr is not None and "Traceback" not in process.stderr.read()


def test_a_finished_run_on_a_read_only_disk_has_nothing_to_do_wherever_it_is_mounted(finished_run, tmp_path):
    place = tmp_path / "elsewhere"
    place.mkdir()
    mounts = (["mount", "--bind", finished_run, place], ["mount", "-o", "remount,bind,ro", place])
    if any(subprocess.run(command, capture_output=True).returncode for command in mounts):
        pytest.skip("needs to mount a folder")
    try:
        command = [sys.executable, "-m", "weakspot.cli", "run", *TINY, "--output", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0 and "nothing to do" in done.stdout, done.stderr
        more = subprocess.run([*command, "--synthesize.seed", "9"], capture_output=True, text=True, timeout=200)
        assert more.returncode == 2 and "read-only" in more.stderr and "Traceback" not in more.stderr
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_values_out_of_files_cannot_make_messages_long():
    error = ConfigError("x" * 300_000 + "end", expected="short", todo="y" * 5_000)
    assert len(str(error)) < 9_000 and error.seen.endswith("end") and "296,003 characters are left out" in error.seen
    assert str(ConfigError("seen", expected="short")) == "seen\n  expected: short"
