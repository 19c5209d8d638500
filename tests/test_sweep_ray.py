"""Sweeps on a real Ray cluster on this machine; ``python -m benchmarks.faults`` has the faults that take longer."""

import os
from importlib import metadata
from importlib.util import find_spec

import pytest

from lab.faults import counted_job, worker_killed
from weakspot.cli import main
from weakspot.errors import ConfigError
from weakspot.sweep import ray_cluster
from weakspot.sweep.driver import job_folder
from weakspot.sweep.executor import make_attempt
from weakspot.sweep.ray_cluster import RayExecutor

if find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)


def test_every_other_job_is_done_once_though_a_worker_is_killed(tmp_path):
    evidence = worker_killed(tmp_path, "ray")
    assert evidence.statuses == {
        "stalls": "done", "healthy-1": "done", "crashes": "failed", "explains": "failed", "hangs": "failed",
        "needs-crashes": "not run", "healthy-2": "done", "healthy-3": "done",
    }  # fmt: skip
    assert evidence.once and evidence.completions["stalls"] == 1
    assert job_folder(tmp_path, "stalls").attempts() == 2
    assert "it is broken" in evidence.outcomes["crashes"].reason and "no end after" in evidence.outcomes["hangs"].reason
    import ray

    assert os.environ["RAY_AUTH_MODE"] == "token" and not ray.is_initialized()


def test_a_cluster_that_cannot_be_reached_is_an_error(tmp_path, capsys):
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(f"output = '{tmp_path}/out'\nagents = ['pong-double-dqn']")
    assert main(["sweep", str(sweep), "--executor", "ray", "--address", "127.0.0.1:1"]) == 2
    assert "cannot use Ray at 127.0.0.1:1" in capsys.readouterr().err
    assert main(["sweep", str(sweep), "--address", "127.0.0.1:1"]) == 2
    assert "an address for the executor local" in capsys.readouterr().err


def test_a_cluster_without_tokens_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ConfigError, match="RAY_AUTH_MODE is disabled"):
        RayExecutor(None, 1, 1)


@pytest.mark.parametrize(("installed", "message"), [("2.51.2", "2.52 or newer"), (None, "not installed")])
def test_an_old_ray_is_refused(monkeypatch, installed, message):
    def version(package: str) -> str:
        if installed is None:
            raise metadata.PackageNotFoundError(package)
        return installed

    monkeypatch.setattr(ray_cluster, "version", version)
    with pytest.raises(ConfigError, match=message):
        RayExecutor(None, 1, 1)


def test_tasks_of_a_cluster_get_paths_only(tmp_path):
    """The counts of a job on a cluster come from its marks: a task returns nothing but the error of its attempt."""
    folder = job_folder(tmp_path, "one")
    folder.write(counted_job(tmp_path, "one"))
    assert make_attempt(str(folder.path)) == ""
    assert make_attempt(str(tmp_path / "nothing")) != ""
