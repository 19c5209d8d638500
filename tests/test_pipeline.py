"""The command line from end to end, on a tiny budget: results, resume after kills, and every kind of invalid input."""

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_run import AGENT, HERE, TINY, replace_option

import weakspot
from weakspot.cli import COMMANDS, main
from weakspot.stages.graph import STAGES
from weakspot.stages.listing import LISTING
from weakspot.system.provenance import versions


def test_run_writes_every_artifact_under_a_readable_name_and_one_html_file(finished_run):
    for name in (
        *("run.json", "report.html", "subject/subject.json", "collect/meta.json", "saliency/saliency.npy"),
        *("train/model.safetensors", "train/metrics.jsonl", "fidelity/fidelity.json", "fidelity/reconstructions.npz"),
        *("samples/samples.json", "samples/samples.npz", "goggles/goggles.json", "synthesize/t-minus/findings.npz"),
        *("synthesize/action-left/findings.json", "novelty/t-minus/novelty.npz", "ground/t-minus/twins.json"),
        "confirm/weaknesses.json",
    ):
        assert (finished_run / name).exists(), name
    assert not list(finished_run.glob("store/train/*/checkpoint.pt"))
    page = (finished_run / "report.html").read_text()
    assert "States of little value" in page and "States that call for LEFT" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def computed_results(output: str) -> list[str]:
    """The results that a command computed, according to its output."""
    return re.findall(r"^(\S+): done in", output, re.MULTILINE)


def test_second_run_does_nothing_and_reports_it(finished_run, capsys):
    before = {
        path: path.stat().st_mtime_ns for path in finished_run.rglob("*") if path.is_file() and ".lock" not in path.name
    }
    assert main(["run", *TINY, "--output", str(finished_run)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_single_stage_needs_the_results_of_earlier_ones(tmp_path, capsys):
    assert main(["train", *TINY, "--output", str(tmp_path / "run")]) == 2
    assert "no finished collect stage" in capsys.readouterr().err


def test_stages_one_by_one_give_the_same_results_as_run(finished_run, tmp_path):
    folder = tmp_path / "run"
    for stage in STAGES:
        assert main([stage.name, *TINY, "--output", str(folder)]) == 0
    names = ("synthesize/t-minus/findings.npz", "novelty/t-minus/novelty.npz", "samples/samples.npz")
    for name in (*names, "ground/t-minus/twins.npz", "confirm/weaknesses.npz"):
        one, other = np.load(finished_run / name), np.load(folder / name)
        for key in one.files:
            np.testing.assert_array_equal(one[key], other[key])


def test_the_command_line_has_a_subcommand_for_each_stage(capsys):
    assert list(LISTING) == [stage.name for stage in STAGES]
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(f"\n  {name} " in output for name in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"weakspot {importlib.metadata.version('weakspot')}\n"
    assert main(["sythesize"]) == 2 and "no command 'sythesize'" in capsys.readouterr().err


def test_only_a_result_with_a_missing_file_is_recomputed(finished_run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, symlinks=True)
    with np.load(folder / "samples/samples.npz") as arrays:
        before = {key: arrays[key] for key in arrays.files}
    (folder / "samples").resolve().joinpath("samples.npz").unlink()
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    output = capsys.readouterr().out
    assert "samples.npz is missing" in output and computed_results(output) == ["samples"]
    with np.load(folder / "samples/samples.npz") as arrays:
        for key, expected in before.items():
            np.testing.assert_array_equal(arrays[key], expected)


def test_changed_inputs_are_recomputed_before_they_are_read(finished_run, tmp_path, capsys):
    """One bit of the saliency maps is flipped; they are recomputed when the training needs them."""
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, symlinks=True)
    maps = (folder / "saliency").resolve() / "saliency.npy"
    content = bytearray(maps.read_bytes())
    content[-1] ^= 1
    maps.write_bytes(content)
    assert main(["run", *replace_option("--train.steps", "7"), "--output", str(folder)]) == 0
    output = capsys.readouterr().out
    assert "the content of saliency.npy has changed" in output and computed_results(output)[:2] == ["saliency", "train"]
    assert bytes(content) not in [path.read_bytes() for path in [(folder / "saliency" / "saliency.npy")]]


def test_results_of_another_torch_version_are_recomputed_and_kept(finished_run, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, symlinks=True)
    before = sorted(folder.glob("store/*/*/entry.json"))
    monkeypatch.setattr("weakspot.pipeline.public_version", lambda package: "99.0")
    assert main(["collect", *TINY, "--output", str(folder)]) == 0
    assert computed_results(capsys.readouterr().out) == ["subject", "collect"]
    assert set(before) < set(folder.glob("store/*/*/entry.json"))


def test_a_run_names_the_versions_that_made_each_stage(finished_run, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, symlinks=True)
    before = weakspot.load_run(folder).versions
    assert before["torch"] == importlib.metadata.version("torch") and before.keys() == versions().keys()
    changed = {**versions(), "torch": "99.0"}
    monkeypatch.setattr("weakspot.run.store.versions", lambda: changed)
    (folder / "report.html").resolve().unlink()
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    after = weakspot.load_run(folder).versions
    others = "subject, collect, saliency, train, fidelity, samples, goggles, synthesize, ground, confirm, novelty"
    assert after["torch"] == f"{before['torch']} ({others}), 99.0 (report)" and after["numpy"] == before["numpy"]


def test_another_target_needs_only_its_searches_its_novelty_and_the_report(finished_run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, symlinks=True)
    assert main(["run", *replace_option("--targets", "T-", "NOOP"), "--output", str(folder)]) == 0
    expected = ["synthesize/action-noop", "ground/action-noop", "confirm", "novelty/action-noop", "report"]
    output = capsys.readouterr().out
    assert computed_results(output) == expected
    assert f"estimated time: not estimated: {', '.join(expected)}\n" in output
    assert list(weakspot.load_run(folder).findings) == ["T-", "NOOP"]
    assert not (folder / "synthesize/action-left").exists()
    assert main(["run", *TINY, "--output", str(folder)]) == 0  # and back
    assert "nothing to do" in capsys.readouterr().out
    assert list(weakspot.load_run(folder).findings) == ["T-", "LEFT"]
    assert main(["clean", "--output", str(folder)]) == 0
    assert "deleted 5 results" in capsys.readouterr().out
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_run_says_how_long_it_takes_before_it_starts(finished_run, tmp_path, capsys, monkeypatch):
    """From settings, and from what was measured; the stages that cannot be estimated are named."""
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder, symlinks=True)

    def stop(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("weakspot.data.collect.collect", stop)
    options = [*replace_option("--collect.frames", "4000"), "--output", str(folder)]
    at = options.index("--train.steps")
    for rest, expected in (
        (options, "not estimated: saliency, train, fidelity"),
        ([*options[:at], "--train.minutes", "2.5", *options[at + 2 :]], "train about 2 min 30 s (--train.minutes); goggles"),
    ):
        main(["run", *rest])
        (line,) = re.findall("estimated time: .*", capsys.readouterr().out)
        seconds, pace = re.search(r"collect about ([\d.]+) s \(4,000 decisions, about ([\d,]+) a second\)", line).groups()
        assert float(seconds) == pytest.approx(4000 / int(pace.replace(",", "")), rel=0.2)
        assert "(2 episodes of at most 40 decisions, twice, without reconstructions)" in line and "goggles at most" in line
        assert expected in line and "synthesize/t-minus, synthesize/action-left" in line


def test_runs_share_a_store(finished_run, tmp_path, capsys):
    store = tmp_path / "store"
    shutil.copytree(finished_run / "store", store, symlinks=True)
    one = [*TINY, "--store", str(store)]
    assert main(["run", *one, "--output", str(tmp_path / "one")]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert weakspot.load_run(tmp_path / "one").report == tmp_path / "one" / "report.html"
    other = [*replace_option("--synthesize.steps", "4"), "--store", str(store)]
    assert main(["run", *other, "--output", str(tmp_path / "two")]) == 0
    expected = [
        *("synthesize/t-minus", "synthesize/action-left", "ground/t-minus", "ground/action-left", "confirm"),
        *("novelty/t-minus", "novelty/action-left", "report"),
    ]
    assert computed_results(capsys.readouterr().out) == expected
    assert main(["clean", "--store", str(store), "--dry-run"]) == 0
    assert "would delete 0 results" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern", ["collect/*/steps-*.npz", "train/*/checkpoint.pt", "synthesize/*/findings.npz", "novelty/*/entry.json"]
)
def test_same_command_resumes_after_kill_9(finished_run, tmp_path, pattern):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "weakspot.cli", "run", *TINY, "--output", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any(folder.glob(f"store/{pattern}")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert (
        process.wait() == -signal.SIGKILL and any(folder.glob(f"store/{pattern}")) and not (folder / "report.html").exists()
    )
    resumed = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stderr
    for name in ("synthesize/t-minus/findings.npz", "synthesize/action-left/findings.npz"):
        np.testing.assert_array_equal(np.load(finished_run / name)["states"], np.load(folder / name)["states"])


def test_ctrl_c_keeps_the_results_and_explains_how_to_resume(tmp_path):
    folder = tmp_path / "run"
    arguments = [word if word != "6" else "100000" for word in TINY]
    command = [sys.executable, "-m", "weakspot.cli", "run", *arguments, "--output", str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a background job would ignore
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(folder.glob("store/train/*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command resumes" in error and "Traceback" not in error
    assert list(json.loads((folder / "run.json").read_text())["results"]) == ["subject", "collect", "saliency"]
    assert any(folder.glob("store/train/*/checkpoint.pt"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (replace_option("--agent", "nobody"), ["nobody"]),
        (replace_option("--agent", "missing.safetensors"), ["missing.safetensors"]),
        (replace_option("--agent", f"{HERE / 'tiny_agent.py'}:eighteen_actions"), ["18", "6"]),
        (replace_option("--agent", f"{HERE / 'tiny_agent.py'}:three_frames"), ["observation"]),
        (replace_option("--agent", f"{HERE / 'tiny_agent.py'}:nothing"), ["nothing"]),
        (replace_option("--environment", "pongg"), ["pongg", "pong"]),
        (replace_option("--targets", "T-", "LEFFT"), ["LEFFT", "did you mean LEFT"]),
        (replace_option("--targets", "none.py:f"), ["none.py", "no file"]),
        (replace_option("--train.steps", "6", "--train.recipe", "fsat"), ["fsat", "fast"]),
        (replace_option("--train.steps", "0", "--train.minutes", "0"), ["positive number of minutes"]),
        (replace_option("--collect.frames", "-5"), ["-5"]),
        (replace_option("--train.steps", "0", "--train.minutes", "nan"), ["nan minutes"]),
        (replace_option("--agent", AGENT, "--sharpness", "-10"), ["sharpness is -10", "positive"]),
        (replace_option("--agent", AGENT, "--synthesize.seed", "-1"), ["seed is -1"]),
        (replace_option("--agent", AGENT, "--synthesize.softness", "nan"), ["softness is nan"]),
        (replace_option("--agent", AGENT, "--goggles.epsilon", "5"), ["5.0 random actions", "from 0 to 1"]),
        (replace_option("--agent", AGENT, "--goggles.seed", "-1"), ["seed -1"]),
        (replace_option("--agent", AGENT, "--goggles.seed", "2147483648"), ["seed 2147483648", "below 2,147,483,648"]),
        (replace_option("--agent", AGENT, "--synthesize.seed", "20000000000000"), ["seed is 20000000000000", "2^40"]),
        (replace_option("--agent", AGENT, "--train.seed", "20000000000000"), ["seed is 20000000000000", "2^40"]),
        (replace_option("--agent", AGENT, "--output", "/proc/nowhere"), ["/proc/nowhere", "choose a folder"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and len(value) < 4 else None,
)
def test_invalid_input_is_reported_before_any_long_computation(tmp_path, capsys, arguments, words):
    command = arguments if "--output" in arguments else [*arguments, "--output", str(tmp_path / "run")]
    started = time.monotonic()
    assert main(["run", *command]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error
    for word in words:
        assert word in error
    assert time.monotonic() - started < 20
    assert not (tmp_path / "run" / "store" / "collect").exists()


def test_failing_target_is_reported_before_collection(tmp_path, capsys):
    (tmp_path / "own.py").write_text("def own(output):\n    raise RuntimeError('no such thing')")
    assert main(["run", *replace_option("--targets", f"{tmp_path / 'own.py'}:own"), "--output", str(tmp_path / "run")]) == 2
    assert "no such thing" in capsys.readouterr().err and not (tmp_path / "run" / "store" / "collect").exists()


def test_a_run_folder_inside_its_store_is_refused(tmp_path, capsys):
    assert main(["run", *TINY, "--output", str(tmp_path / "a"), "--store", str(tmp_path)]) == 2
    assert "is inside the store" in capsys.readouterr().err and not (tmp_path / "a").exists()


def test_a_plan_refuses_what_a_run_would_refuse(tmp_path, capsys):
    (tmp_path / "bad.py").write_text("def bad(output):\n    return output.scores.argmax(dim=1).float()\n")
    assert main(["plan", *replace_option("--targets", f"{tmp_path / 'bad.py'}:bad"), "--output", str(tmp_path / "run")]) == 2
    assert "avoid .item(), .detach(), argmax" in capsys.readouterr().err
    assert main(["plan", *replace_option("--targets", "V + 1"), "--output", str(tmp_path / "run")]) == 2
    assert "put it in brackets: '(V + 1)'" in capsys.readouterr().err
    assert main(["plan", *TINY, "--output", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert "would make collect" in printed and "estimated time: " in printed


def test_a_single_stage_says_which_results_are_no_longer_shown(finished_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run, symlinks=True)
    assert main(["collect", *replace_option("--collect.epsilon", "0.9"), "--output", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "no longer shown, since they belong to other settings: " in printed and "report" in printed
    assert not (run / "report.html").exists()
    assert main(["run", *TINY, "--output", str(run)]) == 0
    assert "no longer shown" not in capsys.readouterr().out and (run / "report.html").exists()


def test_missing_target_file_is_reported_in_a_finished_run(finished_run, tmp_path, capsys):
    options = [
        *replace_option("--targets", "nofile.py:g"),
        "--output",
        str(tmp_path / "run"),
        "--store",
        str(finished_run / "store"),
    ]
    for command in ("run", "plan"):
        assert main([command, *options]) == 2
        assert "nofile.py for 'nofile.py:g'" in capsys.readouterr().err


def test_nan_outputs_of_an_agent_are_reported(tmp_path, capsys):
    assert main(["run", *replace_option("--agent", f"{HERE / 'tiny_agent.py'}:nan_outputs"), "--output", str(tmp_path)]) == 2
    assert "nan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def own(output):\n    return output.scores.detach().sum(dim=1)", "cannot be differentiated"),
        ("def own(output):\n    return output.scores.sum(dim=1) * float('nan')", "returned nan"),
    ],
)
def test_invalid_custom_target_is_reported_and_finished_stages_are_kept(finished_run, tmp_path, capsys, source, words):
    folder, own = tmp_path / "run", tmp_path / "own.py"
    own.write_text(source)
    shutil.copytree(finished_run, folder, symlinks=True)
    assert main(["run", *replace_option("--targets", f"{own}:own"), "--output", str(folder)]) == 2
    assert words in capsys.readouterr().err
    assert (folder / "train" / "model.safetensors").exists() and (folder / "report.html").exists()


def test_constant_target_is_reported_before_training(finished_run, tmp_path, capsys):
    folder, own = tmp_path / "run", tmp_path / "own.py"
    own.write_text("def own(output):\n    return output.scores.sum(dim=1) * 0 + 1")
    shutil.copytree(finished_run, folder, symlinks=True)
    shutil.rmtree(folder / "store" / "train")
    shutil.rmtree(folder / "store" / "saliency")
    assert main(["run", *replace_option("--targets", f"{own}:own"), "--output", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "spread of 0.0" in error and "--targets" in error
    assert not list(folder.glob("store/saliency/*/saliency.npy")) and not list(folder.glob("store/train/*/checkpoint.pt"))


def test_the_worst_reconstructions_are_others_than_the_random_ones(finished_run):
    shown = weakspot.load_run(finished_run).reconstructions
    assert shown.worst.any() and not shown.worst.all() and len(set(shown.index.tolist())) == len(shown.index)


def test_full_disk_is_reported_and_the_run_resumes_afterwards(tmp_path):
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
        resumed = subprocess.run(command, capture_output=True, text=True, timeout=200)
        assert resumed.returncode == 0, resumed.stderr
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_example_of_a_run_in_python(tmp_path):
    """The example of the page about Python, on a smaller budget, as far as the search."""
    code = (HERE.parent / "docs" / "how-to" / "python.md").read_text().split("```python")[1].split("```")[0]
    for written, smaller in (
        ('"pong-double-dqn"', f'{AGENT!r}, environment="pong"'),
        ('"runs/pong"', repr(str(tmp_path / "run"))),
        ("frames=20_000", "frames=240, streams=2, epsilon=1.0"),
        (
            "minutes=7),",
            "steps=4, prior_steps=2, workers=1), synthesize=ws.SynthesisConfig(states=2, steps=3, candidates=16),",
        ),
        ("Pipeline(config)", 'Pipeline(config, only=("collect", "saliency", "train", "synthesize"))'),
    ):
        assert written in code
        code = code.replace(written, smaller)
    exec(compile(code, "python.md", "exec"), {})
    assert (tmp_path / "run/synthesize/action-left/findings.npz").exists()


def test_public_names_are_sorted_and_documented():
    assert len(weakspot.__all__) <= 15
    assert sorted(weakspot.__all__) == weakspot.__all__
    for name in weakspot.__all__:
        assert getattr(weakspot, name).__doc__
