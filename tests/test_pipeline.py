"""The command line from end to end, on a tiny budget: results, resume after kills, and every bad input."""

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import weakspot
import weakspot.run.folder
from weakspot.cli import main

HERE = Path(__file__).parent
AGENT = f"{HERE / 'tiny_agent.py'}:pong"
TINY = [
    *("--agent", AGENT, "--environment", "pong", "--targets", "T-", "LEFT"),
    *("--collect.frames", "240", "--collect.streams", "2", "--collect.shard-steps", "30", "--collect.epsilon", "1.0"),
    *("--train.steps", "6", "--train.prior-steps", "2", "--train.checkpoint-every", "0.01", "--train.workers", "1"),
    *("--synthesize.states", "3", "--synthesize.steps", "5", "--synthesize.candidates", "16"),
    *("--analyse.goggles.episodes", "2", "--analyse.goggles.longest", "40", "--analyse.reconstructions", "3"),
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "pong"
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    return folder


def test_a_run_leaves_every_artefact_and_one_html_file(finished):
    for name in (
        *("config.json", "manifest.json", "report.json", "report.html", "collect/meta.json", "train/model.safetensors"),
        *("train/metrics.jsonl", "synthesize/t-minus/findings.npz", "synthesize/action-left/findings.json"),
        *("analyse/goggles.json", "analyse/recall.json", "analyse/t-minus/novelty.npz", "analyse/reconstructions.npz"),
    ):
        assert (finished / name).exists(), name
    page = (finished / "report.html").read_text()
    assert "States of little value" in page and "States that call for LEFT" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def test_a_second_run_does_nothing_and_says_so(finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file() and path.name != ".lock"}
    assert main(["run", *TINY, "--output", str(finished)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_stage_alone_needs_the_ones_before_it(tmp_path, capsys):
    assert main(["train", *TINY, "--output", str(tmp_path / "run")]) == 2
    assert "no finished collect stage" in capsys.readouterr().err


def test_stages_one_by_one_are_the_same_as_run(finished, tmp_path):
    folder = tmp_path / "run"
    for stage in ("collect", "train", "synthesize", "analyse", "report"):
        assert main([stage, *TINY, "--output", str(folder)]) == 0
    for name in ("synthesize/t-minus/findings.npz", "analyse/t-minus/novelty.npz"):
        one, other = np.load(finished / name), np.load(folder / name)
        for key in one.files:
            np.testing.assert_array_equal(one[key], other[key])


def test_what_is_lost_is_made_again_and_nothing_else(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "report.html").unlink()
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "analyse: done already" in said and "report: done in" in said
    assert (folder / "report.html").exists()


def test_the_report_names_the_versions_that_made_each_stage(finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    told = json.loads((folder / "report.json").read_text())["versions"]
    assert (
        told["torch"] == importlib.metadata.version("torch") and told.keys() == weakspot.system.provenance.versions().keys()
    )
    (folder / "report.html").unlink()
    now = {**weakspot.system.provenance.versions(), "torch": "99.0"}
    monkeypatch.setattr("weakspot.system.provenance.versions", lambda: now)
    monkeypatch.setattr("weakspot.pipeline.versions", lambda: now)
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    after = json.loads((folder / "report.json").read_text())["versions"]
    assert after["torch"] == f"{told['torch']} (collect, train, synthesize, analyse), 99.0 (report)"
    assert after["numpy"] == told["numpy"]


def test_random_samples_that_are_lost_are_made_again(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    with np.load(folder / "analyse/samples.npz") as arrays:
        before = {key: arrays[key] for key in arrays.files}
    (folder / "analyse/samples.npz").unlink()
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    assert "synthesize: done already" in (said := capsys.readouterr().out) and "analyse: done in" in said
    with np.load(folder / "analyse/samples.npz") as arrays:
        for key, kept in before.items():
            np.testing.assert_array_equal(arrays[key], kept)


@pytest.mark.parametrize("there", ["collect/steps-*.npz", "train/checkpoint.pt", "synthesize/t-minus/findings.json"])
def test_after_kill_9_the_same_command_goes_on(finished, tmp_path, there):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "weakspot.cli", "run", *TINY, "--output", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(folder.glob(there)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and any(folder.glob(there)) and not (folder / "report.html").exists()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name in ("synthesize/t-minus/findings.npz", "synthesize/action-left/findings.npz"):
        np.testing.assert_array_equal(np.load(finished / name)["states"], np.load(folder / name)["states"])


def test_ctrl_c_says_that_everything_is_kept(tmp_path):
    folder = tmp_path / "run"
    arguments = [word if word != "6" else "100000" for word in TINY]
    command = [sys.executable, "-m", "weakspot.cli", "run", *arguments, "--output", str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a background job would ignore
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / "train" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in error and "Traceback" not in error
    assert json.loads((folder / "manifest.json").read_text())["stages"].keys() == {"collect"}
    assert (folder / "train" / "checkpoint.pt").exists()


def replaced(old: str, *new: str) -> list[str]:
    at = TINY.index(old)
    end = next((i for i in range(at + 1, len(TINY)) if TINY[i].startswith("--")), len(TINY))
    return [*TINY[: at + 1], *new, *TINY[end:]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (replaced("--agent", "nobody"), ["nobody"]),
        (replaced("--agent", "missing.safetensors"), ["missing.safetensors"]),
        (replaced("--agent", f"{HERE / 'tiny_agent.py'}:eighteen_actions"), ["18", "6"]),
        (replaced("--agent", f"{HERE / 'tiny_agent.py'}:three_frames"), ["observation"]),
        (replaced("--agent", f"{HERE / 'tiny_agent.py'}:nothing"), ["nothing"]),
        (replaced("--environment", "pongg"), ["pongg", "pong"]),
        (replaced("--targets", "T-", "LEFFT"), ["LEFFT", "did you mean LEFT"]),
        (replaced("--targets", "none.py:f"), ["none.py", "no file"]),
        (replaced("--train.steps", "6", "--train.recipe", "fsat"), ["fsat", "fast"]),
        (replaced("--train.steps", "0", "--train.minutes", "0"), ["positive number of minutes"]),
        (replaced("--collect.frames", "-5"), ["-5"]),
        (replaced("--train.steps", "0", "--train.minutes", "nan"), ["nan minutes"]),
        (replaced("--agent", AGENT, "--sharpness", "-10"), ["sharpness is -10", "positive"]),
        (replaced("--agent", AGENT, "--synthesize.seed", "-1"), ["seed is -1"]),
        (replaced("--agent", AGENT, "--synthesize.softness", "nan"), ["softness is nan"]),
        (replaced("--agent", AGENT, "--analyse.goggles.epsilon", "5"), ["5.0 random actions", "from 0 to 1"]),
        (replaced("--agent", AGENT, "--analyse.goggles.seed", "-1"), ["seed -1"]),
        (replaced("--agent", AGENT, "--analyse.goggles.seed", "2147483648"), ["seed 2147483648", "below 2,147,483,648"]),
        (replaced("--agent", AGENT, "--synthesize.seed", "20000000000000"), ["seed is 20000000000000", "2^40"]),
        (replaced("--agent", AGENT, "--train.seed", "20000000000000"), ["seed is 20000000000000", "2^40"]),
        (replaced("--agent", AGENT, "--output", "/proc/nowhere"), ["/proc/nowhere", "choose a folder"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and len(value) < 4 else None,
)
def test_bad_input_is_told_before_anything_takes_long(tmp_path, capsys, arguments, words):
    given = arguments if "--output" in arguments else [*arguments, "--output", str(tmp_path / "run")]
    started = time.monotonic()
    assert main(["run", *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error
    for word in words:
        assert word in error
    assert time.monotonic() - started < 20


def test_nan_out_of_an_agent_is_told(tmp_path, capsys):
    assert main(["run", *replaced("--agent", f"{HERE / 'tiny_agent.py'}:poisoned"), "--output", str(tmp_path)]) == 2
    assert "nan" in capsys.readouterr().err


def test_another_configuration_in_the_folder_is_refused_and_nothing_is_lost(finished, capsys):
    before = (finished / "report.html").read_bytes()
    assert main(["run", *replaced("--collect.frames", "480"), "--output", str(finished)]) == 2
    assert "collect.frames is 240 there and 480 here" in capsys.readouterr().err
    assert (finished / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def own(output):\n    return output.scores.detach().sum(dim=1)", "no gradient comes back"),
        ("def own(output):\n    return output.scores.sum(dim=1) * float('nan')", "returned nan"),
    ],
)
def test_a_bad_target_of_the_users_is_told_and_finished_stages_stay(finished, tmp_path, capsys, source, words):
    folder, own = tmp_path / "run", tmp_path / "own.py"
    own.write_text(source)
    shutil.copytree(finished, folder)
    config = json.loads((folder / "config.json").read_text())
    config["targets"] = [f"{own}:own"]
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["run", *replaced("--targets", f"{own}:own"), "--output", str(folder)]) == 2
    assert words in capsys.readouterr().err
    assert (folder / "train" / "model.safetensors").exists() and (folder / "report.html").exists()


def test_a_target_that_tells_no_states_apart_is_told_before_anything_is_trained(finished, tmp_path, capsys):
    folder, own = tmp_path / "run", tmp_path / "own.py"
    own.write_text("def own(output):\n    return output.scores.sum(dim=1) * 0 + 1")
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "train")
    config = json.loads((folder / "config.json").read_text())
    config["targets"] = [f"{own}:own"]
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["run", *replaced("--targets", f"{own}:own"), "--output", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "spread of 0.0" in told and "--targets" in told
    assert not (folder / "train" / "saliency.npy").exists() and not (folder / "train" / "checkpoint.pt").exists()


def test_a_full_disk_is_told_and_the_run_goes_on_afterwards(tmp_path):
    if os.geteuid() != 0 or not Path("/dev/shm").is_dir():
        pytest.skip("needs to mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("needs to mount a small file system")
    try:
        command = [sys.executable, "-m", "weakspot.cli", "run", *TINY, "--output", str(small / "run")]
        failed = subprocess.run(command, capture_output=True, text=True, timeout=200)
        assert failed.returncode == 2, failed.stderr
        assert "no space left" in failed.stderr and "Traceback" not in failed.stderr
        subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_the_lines_in_the_readme(tmp_path):
    """The example of the README, on a smaller budget, as far as the search."""
    code = (HERE.parent / "README.md").read_text().split("```python")[1].split("```")[0]
    for written, smaller in (
        ('"pong-double-dqn"', f'{AGENT!r}, environment="pong"'),
        ('Path("runs/pong")', f"Path({str(tmp_path / 'run')!r})"),
        ("frames=20_000", "frames=240, streams=2, epsilon=1.0"),
        ("minutes=7", "steps=4, prior_steps=2, workers=1"),
        ("Pipeline(config)", 'Pipeline(config, only=("collect", "train", "synthesize"))'),
    ):
        assert written in code
        code = code.replace(written, smaller)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "run/synthesize/action-left/findings.npz").exists()


def test_all_public_names_are_listed_and_there():
    assert len(weakspot.__all__) <= 15
    assert sorted(weakspot.__all__) == weakspot.__all__
    for name in weakspot.__all__:
        assert getattr(weakspot, name).__doc__
