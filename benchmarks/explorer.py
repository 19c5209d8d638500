"""Pictures a second that the explorer's page shows while a slider is dragged, in headless Chromium.

    python -m benchmarks.explorer runs/pong --output docs/explorer

The slider of each of the first directions is moved at every frame of the browser. What counts is how often another picture
of the state, with the agent's answers beside it, is decoded and shown. Needs chromium, chromedriver and selenium.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lab.command import run_command, say
from lab.records import all_versions, save_record
from weakspot.errors import ConfigError, RunError

START = 300.0
"""Seconds in which the explorer has to start."""
DRAG = """
const [seconds, name, done] = arguments;
const picture = document.querySelector(".screen .strip"), sliders = [...document.querySelectorAll(".slider input")];
const slider = sliders[name], times = [];
let last = picture.src, over = false;
const watch = () => picture.decode().then(() => {
    if (picture.src !== last) { last = picture.src; times.push(performance.now()); }
}, () => {}).finally(() => { if (!over) requestAnimationFrame(watch); });
const drag = () => {
    slider.value = String(3 * Math.sin(performance.now() / 700));
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    if (!over) requestAnimationFrame(drag);
};
watch(); drag();
setTimeout(() => { over = true; done(times); }, 1000 * seconds);
"""
"""Drags a slider, and returns when other pictures were shown, in milliseconds."""


def measure(run: Path, seconds: float, directions: int) -> dict[str, Any]:
    """Shown pictures a second: of each direction, and their median."""
    with _server(run) as address, _browser() as driver:
        driver.get(address)
        _wait(driver, "document.body.dataset.ready === 'true'")
        _wait(driver, "document.querySelectorAll('.slider input').length > 0")
        rates: list[float] = []
        gaps: list[float] = []
        for number in range(directions):
            times = np.array(driver.execute_async_script(DRAG, seconds, number))
            rates.append(round(len(times) / seconds, 2))
            gaps += np.diff(times).tolist()
            say(f"direction {number + 1}: {rates[-1]} pictures a second")
    if not gaps:
        raise RunError("no picture changed while a slider was dragged")
    return {
        "pictures_per_second": rates, "median": float(np.median(rates)),
        "longest_gap_ms": round(max(gaps), 1), "gap_95_ms": round(float(np.percentile(gaps, 95)), 1), "seconds": seconds,
    }  # fmt: skip


@contextmanager
def _server(run: Path) -> Generator[str]:
    """The explorer of a run in a process of its own, and its address."""
    command = [sys.executable, "-m", "weakspot", "explore", str(run), "--no-open", "--port", "0"]
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + START
            while not (found := re.search(r"http://\S+", Path(log.name).read_text())):
                if process.poll() is not None:
                    raise RunError(f"the explorer ended: {Path(log.name).read_text()[-500:]}")
                if time.monotonic() > end:
                    raise RunError(f"the explorer has no address after {START:.0f} s")
                time.sleep(0.2)
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def _browser() -> Generator[Any]:
    from selenium import webdriver

    browser, driver_path = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if browser is None or driver_path is None:
        raise ConfigError("no chromium with a chromedriver on this machine", expected="both", todo="install them")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("headless", "no-sandbox", "disable-gpu", "window-size=1280,900"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    driver.set_script_timeout(600)
    try:
        yield driver
    finally:
        driver.quit()


def _wait(driver: Any, script: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not driver.execute_script(f"return Boolean({script})"):
        if time.monotonic() > end:
            raise RunError(f"the page is not ready after {seconds:.0f} s: {script}")
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder with a state model")
    parser.add_argument("--seconds", type=float, default=5.0, help="to drag each slider")
    parser.add_argument("--directions", type=int, default=4, help="number of sliders")
    parser.add_argument("--output", type=Path, help="folder for explorer.json")
    arguments = parser.parse_args()
    result = measure(arguments.run, arguments.seconds, arguments.directions)
    say(f"{result['median']:.1f} pictures a second, 95 % of them within {result['gap_95_ms']} ms of the one before")
    if arguments.output:
        command = "python -m benchmarks.explorer RUN"
        save_record(arguments.output / "explorer.json", {"command": command, "versions": all_versions(), **result})


if __name__ == "__main__":
    run_command(main)
