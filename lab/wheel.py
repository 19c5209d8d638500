"""Checks sdist and wheel: builds both, installs the wheel into an empty environment outside the checkout, and runs it there.

The wheel is built from the sdist, so that nothing is missing in either.

python -m lab.wheel
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
RUN = [
    *("run", "--agent", "pong-double-dqn", "--targets", "T-", "--output", "run"),
    *("--collect.frames", "240", "--collect.streams", "2", "--train.steps", "2", "--train.prior-steps", "2"),
    *("--synthesize.states", "2", "--synthesize.steps", "2", "--synthesize.candidates", "16"),
    *("--goggles.episodes", "1", "--goggles.longest", "20", "--fidelity.held-out", "20"),
    *("--ground.states", "1", "--ground.trials", "20", "--ground.steps", "8", "--confirm.controls", "4"),
    *("--confirm.rollouts", "2", "--confirm.first", "2", "--confirm.horizon", "10", "--confirm.holds", "3"),
    *("--confirm.losing", "2", "--confirm.probes", "1"),
]
"""A run on the smallest budget."""
READ = """
import shutil, sys, weakspot
from weakspot.cli import main

run = weakspot.load_run("run")
assert weakspot.__file__.startswith(sys.prefix), weakspot.__file__
assert run.findings["T-"].states.shape[0] == 2 and run.report.stat().st_size > 10_000
shutil.rmtree(run.entries["report"].folder)
assert main(sys.argv[1:]) == 0 and weakspot.load_run("run").report, "only the report is rebuilt"
assert main(sys.argv[1:]) == 0
assert "torch" not in sys.modules, "neither the report nor a run with nothing to do needs torch"
print("1 passed, 0 failed")
"""


NEEDED = (
    "py.typed",
    "agents/zoo/pong-double-dqn.safetensors",
    "report/templates/report.html.j2",
    "report/static/report.css",
)
"""Files besides the modules that must be in the wheel, relative to the package."""


def check_contents(wheel: Path) -> None:
    """Raises if a file is missing in the wheel, or if it contains more than the package."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "src/weakspot"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    modules = {name.removeprefix("src/") for name in tracked.splitlines() if name.endswith(".py")}
    missing = (modules | {f"weakspot/{name}" for name in NEEDED}) - names
    assert not missing, f"missing in the wheel: {sorted(missing)}"
    assert any(name.endswith("licenses/LICENSE") for name in names), "the licence is missing in the wheel"
    others = {name.partition("/")[0] for name in names} - {"weakspot"}
    assert all(name.endswith(".dist-info") for name in others), others


def main() -> None:
    """Does all of it in a temporary folder; raises where a command fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*command: str | Path, folder: Path = ROOT) -> None:
        print("$", *command, flush=True)
        subprocess.run([str(word) for word in command], cwd=folder, env=environment, check=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--sdist", "--outdir", folder / "sdist", ".")
        (sdist,) = (folder / "sdist").glob("weakspot-*.tar.gz")
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "wheels", sdist)
        (wheel,) = (folder / "wheels").glob("weakspot-*.whl")
        check_contents(wheel)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, wheel, folder=folder)
        weakspot = folder / "venv" / "bin" / "weakspot"
        for command in ("--version", "agents", "doctor"):
            run(weakspot, command, folder=folder)
        run(python, "-m", "weakspot", "completion", "bash", folder=folder)
        run(weakspot, *RUN, folder=folder)
        run(python, "-c", READ, *RUN, folder=folder)


if __name__ == "__main__":
    main()
