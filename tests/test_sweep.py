"""Sweeps: files, the jobs they expand into, marks, and the faults that jobs and drivers survive."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
import submitit
from tiny_run import AGENT

from lab.faults import (
    bad_jobs,
    completions,
    counted_job,
    driver_killed,
    execute,
    full_disk,
    kill_when_begun,
    make_executor,
    stalled_job,
    worker_killed,
)
from weakspot import load_run
from weakspot.cli import main
from weakspot.envs.forked import shares
from weakspot.errors import ConfigError, RunError, StorageError
from weakspot.pipeline import Pipeline
from weakspot.sweep.config import Resources
from weakspot.sweep.driver import job_folder, ordered, run_jobs
from weakspot.sweep.expand import jobs_of, runs_of, selected
from weakspot.sweep.job import Job
from weakspot.sweep.local import LocalExecutor
from weakspot.sweep.read import read_sweep, sweep_of
from weakspot.sweep.slurm import SlurmExecutor, Submission

REPOSITORY = Path(__file__).parent.parent


def names_of(entries):
    return [job.name for job in jobs_of(sweep_of(entries))]


def words_of(job, command=0):
    return " ".join(job.commands[command])


def test_a_sweep_is_the_product_of_its_axes():
    sweep = sweep_of(
        {"output": "out", "agents": ["a.zip", "b.zip"], "games": ["pong", "boxing"], "recipes": ["fast", "paper"],
         "targets": [["T-"], ["LEFT", "T+-"]], "seeds": [0, 1]}
    )  # fmt: skip
    runs = runs_of(sweep)
    assert len(runs) == len({run.name for run in runs}) == 2**5
    one = next(run for run in runs if run.name == "boxing-b-paper-left-t-plus-minus-1")
    config = one.config
    assert (config.agent, config.environment, config.targets) == ("b.zip", "boxing", ("LEFT", "T+-"))
    assert config.train.recipe == "paper" and config.train.workers == 1
    assert config.output == Path("out/runs") / one.name and config.store == Path("out/store")
    seeds = [config.collect.seed, config.train.seed, config.synthesize.seed, config.goggles.seed]
    assert seeds == [1, 1, 1, 1]


def test_selected_jobs_come_with_those_that_they_need():
    entries = {"output": "out", "agents": ["pong-double-dqn"], "recipes": ["fast", "paper"], "targets": [["T-"], ["LEFT"]]}
    jobs = jobs_of(sweep_of(entries))
    agent = "pong-double-dqn"
    assert [job.name for job in selected(jobs, ["*paper-left*"])] == [
        f"states-{agent}-0", f"model-paper-{agent}-0", f"{agent}-paper-left-0",
    ]  # fmt: skip
    assert selected(jobs, ["*"]) == jobs
    assert [job.name for job in selected(jobs, [f"states-{agent}-0", f"model-fast-{agent}-0"])] == [
        f"states-{agent}-0", f"model-fast-{agent}-0",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"no job is called '\*boxing\*'"):
        selected(jobs, ["*left*", "*boxing*"])


def test_what_several_runs_share_is_a_job_that_they_need():
    entries = {"output": "out", "agents": ["pong-double-dqn"], "recipes": ["fast", "paper"], "targets": [["T-"], ["LEFT"]]}
    jobs = {job.name: job for job in jobs_of(sweep_of(entries))}
    agent = "pong-double-dqn"
    assert list(jobs) == [
        f"states-{agent}-0", f"model-fast-{agent}-0", f"{agent}-fast-t-minus-0", f"{agent}-fast-left-0",
        f"model-paper-{agent}-0", f"{agent}-paper-t-minus-0", f"{agent}-paper-left-0",
    ]  # fmt: skip
    assert jobs[f"{agent}-paper-left-0"].needs == (f"model-paper-{agent}-0",)
    assert jobs[f"model-paper-{agent}-0"].needs == (f"states-{agent}-0",)
    assert [words_of(jobs[f"states-{agent}-0"], number).split()[1] for number in (0, 1)] == ["collect", "saliency"]
    assert names_of({"output": "out", "agents": ["pong-double-dqn"]}) == [f"{agent}-fast-0"]  # nothing is shared


def test_agents_are_trained_for_each_game_and_seed():
    entries = {
        "output": "out", "games": [{"environment": "pong", "targets": [["NOOP"]]}, "boxing"], "seeds": [3, 4],
        "agents": [{"train": "double-dqn", "settings": {"steps": 40_000, "learning-rate": 1e-4}}, "x/{game}-{seed}.zip"],
    }  # fmt: skip
    jobs = {job.name: job for job in jobs_of(sweep_of(entries))}
    training, run = jobs["agent-pong-double-dqn-3"], jobs["pong-double-dqn-fast-3"]
    assert words_of(training).startswith("weakspot train-agent double-dqn --game pong --steps 40000 --seed 3")
    assert "--learning-rate 0.0001" in words_of(training)
    assert run.needs == (training.name,) and "--targets NOOP" in words_of(run)
    folder = training.commands[0][-1]
    assert f"--agent {folder}/agent.safetensors" in words_of(run) and str(Path(folder).absolute()) in training.outputs[0]
    assert "--agent x/boxing-4.zip --environment boxing" in words_of(jobs["boxing-game-seed-fast-4"])
    entries["agents"][0]["settings"]["steps"] = 50_000  # another training is another agent, and another run
    changed = {job.name: job for job in jobs_of(sweep_of(entries))}
    assert changed[training.name].commands[0][-1] != folder
    assert changed[training.name].key != training.key and changed[run.name].key != run.key


def test_a_changed_agent_or_target_file_makes_another_job(tmp_path):
    agent, target = tmp_path / "agent.zip", tmp_path / "target.py"
    entries = {"output": "out", "agents": [str(agent)], "targets": [[f"{target}:fear"]]}

    def key() -> str:
        return jobs_of(sweep_of(entries))[0].key

    keys = []
    for content in ("1", "2"):
        agent.write_text(content)
        target.write_text("def fear(output): return output.scores.sum()")
        keys.append(key())
    target.write_text("def fear(output): return -output.scores.sum()")
    assert len({*keys, key()}) == 3 and key() == key()


def test_the_sweep_of_the_gallery_trains_and_examines_fifty_games():
    jobs = jobs_of(read_sweep(REPOSITORY / "experiments/sweeps/gallery.toml"))
    assert len(jobs) == 100 and sum(job.name.startswith("agent-") for job in jobs) == 50
    breakout = next(job for job in jobs if job.name == "breakout-dqn-fast-0")
    assert "--targets T- LEFT" in words_of(breakout) and breakout.needs == ("agent-breakout-dqn-0",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "without agents|required field output"),
        ("output = 3", "output"),
        ("output = 'x'\nagents = []", "without agents"),
        ("output = 'x'\nagents = ['a']\nseed = [1]", "no setting seed(.|\n)*did you mean seeds"),
        ("output = 'x'\nagents = ['a']\nseeds = [-1]", "seed is -1"),
        (
            "output = 'x'\nagents = ['a']\n[run]\ntrain.minuts = 3",
            r"no setting run\.train\.minuts(.|\n)*did you mean minutes",
        ),
        ("output = 'x'\nagents = ['a']\n[run]\ntrain.minutes = 'long'", r"run\.train\.minutes"),
        ("output = 'x'\nagents = ['a']\n[run]\ncollect.frames = 0", "frames is 0"),
        ("output = 'x'\nagents = ['a']\n[run]\nstore = 'y'", r"run\.store"),
        ("output = 'x'\nagents = ['a']\n[run]\ntrain.recipe = 'paper'", r"run\.train\.recipe"),
        ("output = 'x'\n[[agents]]\ntrain = 'dqn'", "no games"),
        ("output = 'x'\ngames = ['pong']\n[[agents]]\ntrain = 'dqn'", "train is 'dqn'"),
        ("output = 'x'\ngames = ['pnog']\n[[agents]]\ntrain = 'a2c'", "no Atari game"),
        ("output = 'x'\ngames = ['pong']\n[[agents]]\ntrain = 'a2c'\nsettings.stepz = 3", r"agents\.a2c\.settings\.stepz"),
        ("output = 'x'\n[[agents]]\nagent = 'a'\ntrain = 'a2c'", "either of them"),
        ("output = 'x'\nagents = ['a', 'a']", "two entries of agents"),
        ("output = 'x'\nagents = ['a']\ntargets = [['T-'], ['T-']]", "names of runs appear twice"),
        ("output = 'x'\n[[agents]]\nagent = 'a'\ngames = ['pong']", "plays pong"),
        ("output = 'x'\nagents = ['a']\n[resources]\nthreads = 0", "threads is 0"),
        ("output = [", "cannot be read"),
    ],
)
def test_invalid_sweep_files_are_explained(tmp_path, capsys, text, message):
    file = tmp_path / "sweep.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        jobs_of(read_sweep(file))
    assert main(["sweep", str(file), "--list"]) == 2
    assert "error:" in capsys.readouterr().err


def test_jobs_that_need_each_other_are_refused(tmp_path):
    one, other = counted_job(tmp_path, "one", needs=("other",)), counted_job(tmp_path, "other", needs=("one",))
    with pytest.raises(ConfigError, match="one, other need each other"):
        ordered([one, other])
    assert [job.name for job in ordered([counted_job(tmp_path, "b", needs=("a",)), counted_job(tmp_path, "a")])] == [
        "a",
        "b",
    ]


def test_every_other_job_is_done_once_beside_jobs_that_fail(tmp_path):
    jobs = bad_jobs(tmp_path)
    evidence = execute(tmp_path, jobs, make_executor("local", tmp_path), retries=1)
    assert evidence.statuses == {
        "healthy-1": "done", "crashes": "failed", "explains": "failed", "hangs": "failed", "needs-crashes": "not run",
        "healthy-2": "done", "healthy-3": "done",
    }  # fmt: skip
    assert evidence.completions == {
        "healthy-1": 1, "crashes": 0, "explains": 0, "hangs": 0, "needs-crashes": 0, "healthy-2": 1, "healthy-3": 1
    }  # fmt: skip
    attempts = {job.name: job_folder(tmp_path, job.name).attempts() for job in jobs}
    assert attempts["crashes"] == attempts["hangs"] == 2 and attempts["explains"] == 1  # its error stays the same
    crashed, hung = evidence.outcomes["crashes"], evidence.outcomes["hangs"]
    assert "exit status 3: it is broken" in crashed.reason and "it is broken" in crashed.log.read_text()
    assert "no end after" in hung.reason
    assert evidence.once and not evidence.left  # nothing of a job that hangs is left
    again = execute(tmp_path, jobs, make_executor("local", tmp_path), retries=0)
    assert again.statuses["healthy-1"] == again.statuses["healthy-3"] == "earlier"
    assert again.completions == evidence.completions and again.outcomes["crashes"].status == "failed"


def test_a_killed_attempt_is_repeated(tmp_path):
    evidence = worker_killed(tmp_path, "local")
    assert evidence.once and evidence.completions["stalls"] == 1 and evidence.statuses["healthy-2"] == "done"
    assert job_folder(tmp_path, "stalls").attempts() == 2


def test_an_attempt_that_cannot_end_itself_is_given_up(tmp_path):
    job = counted_job(tmp_path, "frozen", f"touch {tmp_path}/frozen.began; sleep 600", resources=Resources(hours=1 / 3600))

    def freeze(attempt: int, parent: int) -> int:
        os.kill(attempt, signal.SIGSTOP)
        return subprocess.Popen(["sleep", "60"]).pid  # something else to kill

    killer = Thread(target=kill_when_begun, args=(tmp_path, "frozen", freeze))
    killer.start()
    evidence = execute(tmp_path, [job], LocalExecutor(1, Resources()), retries=0, grace=1.0)
    killer.join()
    assert evidence.statuses == {"frozen": "failed"} and "after its start" in evidence.outcomes["frozen"].reason
    assert not evidence.left


def test_a_killed_driver_is_replaced(tmp_path):
    evidence = driver_killed(tmp_path, "local")
    assert evidence.completions == {"first": 1, "middle": 1, "last-1": 1, "last-2": 1}
    assert set(evidence.statuses.values()) <= {"earlier", "done"} and evidence.statuses["middle"] == "done"
    assert evidence.once


def test_two_drivers_do_not_work_on_one_sweep(tmp_path):
    command = [sys.executable, "-m", "lab.faults", str(tmp_path), "local"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "middle.began").exists():
            time.sleep(0.05)
        with closing(LocalExecutor(1, Resources())) as executor, pytest.raises(RunError, match="another process"):
            run_jobs([counted_job(tmp_path, "one")], tmp_path, executor, 0)
    finally:
        driver.kill()
        driver.wait()


def test_a_job_is_repeated_if_its_outputs_or_what_it_needs_are_gone(tmp_path):
    output = tmp_path / "agent"
    jobs = [
        Job("agent", (("sh", "-c", f"echo agent >> {tmp_path}/completions.txt; touch {output}"),), (str(output),)),
        counted_job(tmp_path, "run", needs=("agent",)),
        counted_job(tmp_path, "other"),
    ]
    for _ in range(2):
        evidence = execute(tmp_path, jobs, LocalExecutor(2, Resources()))
    assert evidence.completions == {"agent": 1, "run": 1, "other": 1}
    output.unlink()
    evidence = execute(tmp_path, jobs, LocalExecutor(2, Resources()))
    assert evidence.completions == {"agent": 2, "run": 2, "other": 1}


def test_a_damaged_mark_does_not_count(tmp_path):
    job = counted_job(tmp_path, "one")
    execute(tmp_path, [job], LocalExecutor(1, Resources()))
    (tmp_path / "jobs/one/done.json").write_text('{"key": "')
    assert execute(tmp_path, [job], LocalExecutor(1, Resources())).completions == {"one": 2}


def test_a_job_that_does_not_write_its_outputs_has_failed(tmp_path):
    job = Job("liar", (("true",),), (str(tmp_path / "nothing"),))
    evidence = execute(tmp_path, [job], LocalExecutor(1, Resources()), retries=0)
    assert "ended without writing" in evidence.outcomes["liar"].reason


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no permission to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_loses_nothing(small_disk):
    first, second = full_disk(small_disk, "local")
    assert first.statuses["fills"] == "failed" and "no space left" in first.outcomes["fills"].reason
    assert first.statuses["after-2"] == "not run"
    assert set(second.statuses.values()) <= {"earlier", "done"}
    assert second.completions == {"before": 1, "fills": 1, "after-1": 1, "after-2": 1}


def test_a_disk_that_is_full_from_the_start_is_an_error(small_disk):
    (small_disk / "big").write_bytes(b"")
    subprocess.run(["sh", "-c", f"cat /dev/zero > {small_disk}/big"], stderr=subprocess.DEVNULL)
    with closing(LocalExecutor(1, Resources())) as executor, pytest.raises(StorageError, match="no space left"):
        run_jobs([counted_job(small_disk, "one")], small_disk, executor, 0)


def test_slurm_through_its_local_stand_in(tmp_path):
    jobs = [counted_job(tmp_path, "healthy"), counted_job(tmp_path, "explains", "echo error: no such agent; exit 2")]
    evidence = execute(tmp_path, jobs, make_executor("slurm-local", tmp_path), retries=1)
    assert evidence.statuses == {"healthy": "done", "explains": "failed"} and evidence.completions["healthy"] == 1
    assert "no such agent" in evidence.outcomes["explains"].reason


def test_a_machine_without_slurm_and_wrong_parameters_are_errors(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch
    with pytest.raises(ConfigError, match="cannot use slurm"):
        SlurmExecutor(tmp_path, {"partition": "gpu"}, 1)
    with pytest.raises(ConfigError, match="nonsense"):
        SlurmExecutor(tmp_path, {"nonsense": "gpu"}, 1, "local")
    monkeypatch.setattr("weakspot.sweep.slurm.find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=r"weakspot\[slurm\]"):
        SlurmExecutor(tmp_path, {}, 1, "local")


def test_slurm_puts_the_same_submission_back_into_the_queue(tmp_path):
    """On submitit's local stand-in: the signal before the end of a submission ends the attempt, and the next one goes on."""
    job, folder = stalled_job(tmp_path, "stalls"), job_folder(tmp_path, "stalls")
    folder.write(job)
    executor = submitit.AutoExecutor(tmp_path / "slurm", cluster="local")
    executor.update_parameters(timeout_min=5)
    submitted = executor.submit(Submission(str(folder.path)))
    while not (tmp_path / "stalls.began").exists():
        time.sleep(0.05)
    os.kill(folder.attempt(1).parent, signal.SIGUSR2)  # as Slurm does before it ends a submission
    while folder.done(job.key) is None:
        time.sleep(0.05)
    assert completions(tmp_path, [job]) == {"stalls": 1} and folder.done(job.key).attempt == 2
    submitted.wait()


def test_processes_of_environments_respect_the_cores_of_a_job(monkeypatch):
    monkeypatch.setenv("WEAKSPOT_CORES", "1")
    assert shares(8, None) == [range(0, 8)]
    monkeypatch.delenv("WEAKSPOT_CORES")
    assert len(shares(64, None)) == len(os.sched_getaffinity(0))


SMALL = """
    collect = {frames = 240, streams = 2, shard-steps = 30, epsilon = 1.0}
    train = {steps = 6, batch-size = 8}
    synthesize = {states = 3, steps = 5, candidates = 16}
    goggles = {episodes = 2, longest = 40}
    fidelity.reconstructions = 3
    ground = {states = 1, trials = 20, steps = 8}
    confirm = {controls = 4, rollouts = 2, first = 2, horizon = 10, holds = [3], losing = 2, probes = 1}
"""
"""Settings of a run that takes seconds."""


def small_sweep(folder: Path, targets: str) -> Path:
    """A sweep file of runs that take seconds."""
    file = folder / "sweep.toml"
    file.write_text(
        f"output = '{folder}/out'\ngames = ['pong']\nrecipes = ['fast-gaussian']\ntargets = {targets}\n"
        f"agents = ['{AGENT}']\n[slurm]\npartition = 'gpu'\n[run]\n{SMALL}"
    )
    return file


def commands_of(page: str) -> list[list[str]]:
    """The commands `weakspot sweep` in a page of the documentation, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", (REPOSITORY / "docs" / page).read_text(), re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.startswith("weakspot sweep ")]


@pytest.mark.slow
def test_the_commands_of_the_page_on_clusters_lead_from_one_machine_to_ray_and_slurm(tmp_path, capfd):
    """The commands that need no running cluster are executed, on a small sweep. Every executor but the first finds all
    results in the store, since only the marks of the jobs are deleted."""
    file, name = str(small_sweep(tmp_path, "[['T-']]")), "pong-tiny_agent-fast-gaussian-0"
    commands = commands_of("clusters.md")
    assert len(commands) == 7
    executed = []
    for command in commands:
        words = [file if word == "sweep.toml" else word for word in command]
        if "--address" in words or words[-1] == "slurm":
            continue
        shutil.rmtree(tmp_path / "out/jobs", ignore_errors=True)
        assert main(words) == 0, words
        executed.append(capfd.readouterr().out)
    listed, first, *others = executed
    assert "1 to do" in listed and "1 done" in first and name in first
    assert len(others) == 3 and all("1 done" in output for output in others)
    run = load_run(runs_of(read_sweep(Path(file)))[0].config.output)
    assert list(run.findings) == ["T-"] and run.folder.name == name
    log = (tmp_path / "out/jobs" / name / "attempt-1.log").read_text()
    assert "nothing to do" in log
    assert main(["sweep", file]) == 0 and "1 done before" in capfd.readouterr().out
    assert main(["sweep", file, "--only", "nothing"]) == 2 and "no job is called" in capfd.readouterr().err
    assert main(["sweep", file, "--only", name, "--list"]) == 0 and capfd.readouterr().out.endswith("1 done\n")


@pytest.mark.slow
def test_a_run_finds_the_states_that_a_job_recorded_for_it(tmp_path):
    sweep = read_sweep(small_sweep(tmp_path, "[['T-'], ['LEFT']]"))
    jobs = jobs_of(sweep)
    assert len(jobs) == 4 and jobs[0].name == "states-pong-tiny_agent-0"
    evidence = execute(sweep.output, jobs[:1], LocalExecutor(1, Resources()))
    assert evidence.statuses == {jobs[0].name: "done"}
    for run in runs_of(sweep):
        missing = Pipeline(run.config).plan()
        assert "train" in missing and not {"subject", "collect", "saliency"} & set(missing)


def test_the_example_on_the_page_is_a_sweep():
    blocks = re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs/clusters.md").read_text(), re.DOTALL)
    first, game, slurm = (tomllib.loads(block) for block in blocks)
    jobs = jobs_of(sweep_of(first | {"games": [*first["games"], *game["games"]], **slurm}))
    kinds = Counter(job.name.partition("-")[0] if job.name.startswith(("agent-", "states-")) else "run" for job in jobs)
    assert kinds == {"agent": 6, "states": 8, "run": 16}  # dqn in three games and an agent in one, two seeds, two recipes
    assert sum("--targets T- LEFT" in " ".join(job.commands[0]) for job in jobs) == 4
